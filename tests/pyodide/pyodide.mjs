// Stands in for Pyodide where page and worker are tested: the same names, and behind them a Python of this machine.
const here = (name) => new URL(name, import.meta.url);

async function send(name, body) {
  const response = await fetch(here(name), { method: "POST", body });
  if (!response.ok) throw new Error(await response.text());
  return response;
}

// A function of the Python module: its answers are lines, each {tell: text} but the last, {answer: text}.
async function call(module, name, given, tell) {
  const response = await send("call", JSON.stringify({ module, name, given }));
  let rest = "";
  for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + piece).split("\n");
    rest = lines.pop();
    for (const line of lines.map((text) => JSON.parse(text))) {
      if (line.tell === undefined) return line.answer;
      tell(line.tell);
    }
  }
  throw new Error("Python ended");
}

export async function loadPyodide() {
  let work = Promise.resolve(); // what is written is there before Python is asked
  const put = (path, body) => { work = work.then(() => send(`put?${path}`, body)); };
  const loadedPackages = {};
  return {
    loadedPackages,
    async loadPackage(name) {
      await send(`load?${name}`).then(() => { loadedPackages[name] = "here"; }, () => {});
    },
    unpackArchive: (bytes) => put("unpack", bytes),
    pyimport: (module) => new Proxy({}, {
      get: (_, name) => (given, tell) => work.then(() => call(module, name, given, tell)),
    }),
    FS: {
      filesystems: { WORKERFS: "WORKERFS" },
      mkdirTree() {},
      writeFile: put,
      mount: (_, { files }, folder) => files.forEach((file) => put(`${folder}/${file.name}`, file)),
      unmount() {},
    },
  };
}
