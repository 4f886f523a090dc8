// Python, in a thread of its own. It is told, by messages that are handled one after the other,
//     {kind: "photograph", pixels: ArrayBuffer of RGBA, width, height, faces: bool, networks: [name]}
//     {kind: "network", files: [File]}
// and tells
//     {kind: "progress", text}    {kind: "ready", version, networks}    {kind: "network", network}
//     {kind: "answer", ...what answers.py gives}    {kind: "error", text}

// Where Pyodide lies with its NumPy. A folder beside this page does as well: "./pyodide/".
const PYODIDE = "https://cdn.jsdelivr.net/pyodide/v0.28.3/full/";

let pyodide, python;
let mounted = 0;

const progress = (text) => postMessage({ kind: "progress", text });

async function fetched(name) {
  const response = await fetch(new URL(name, self.location));
  if (!response.ok) throw new Error(`${name} is not beside this page: ${response.status} ${response.statusText}`);
  return new Uint8Array(await response.arrayBuffer());
}

async function start() {
  const home = new URL(PYODIDE, self.location).href;
  progress("Fetching Python, 12 MB.");
  const { loadPyodide } = await import(home + "pyodide.mjs").catch((error) => {
    throw new Error(`Pyodide cannot be fetched from ${home}: ${error.message}`);
  });
  pyodide = await loadPyodide({ indexURL: home });
  progress("Fetching NumPy, 3 MB.");
  await pyodide.loadPackage("numpy", { messageCallback() {}, errorCallback() {} });
  if (!pyodide.loadedPackages.numpy) throw new Error(`NumPy cannot be fetched from ${home}`);
  progress("Fetching numpyvgg with its networks, 13 MB.");
  pyodide.unpackArchive(await fetched("numpyvgg.whl"), "wheel");
  pyodide.FS.writeFile("answers.py", await fetched("answers.py"));
  progress("Opening the networks.");
  python = pyodide.pyimport("answers");
  return { kind: "ready", ...(await ask("start")) };
}

// Python takes and gives JSON; what goes wrong there comes as {error: words}.
async function ask(name, given = {}) {
  const answer = JSON.parse(await python[name](JSON.stringify(given), progress));
  if (answer.error) throw new Error(answer.error);
  return answer;
}

const handlers = {
  async photograph({ pixels, width, height, faces, networks }) {
    pyodide.FS.writeFile("photograph", new Uint8Array(pixels));
    return { kind: "answer", ...(await ask("answer", { width, height, faces, networks })) };
  },

  // The files are mounted where they are: Python reads from them what it needs.
  async network({ files }) {
    const folder = `networks/${mounted++}`;
    pyodide.FS.mkdirTree(folder);
    pyodide.FS.mount(pyodide.FS.filesystems.WORKERFS, { files }, folder);
    try {
      return { kind: "network", ...(await ask("add", { folder, names: files.map((file) => file.name) })) };
    } catch (error) {
      pyodide.FS.unmount(folder);
      throw error;
    }
  },
};

const inTurn = (work) => work().then(postMessage, (error) => postMessage({ kind: "error", text: error.message }));
let last = inTurn(start);
onmessage = ({ data }) => {
  last = last.then(() => inTurn(() => handlers[data.kind](data)));
};
