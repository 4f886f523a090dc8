"use strict";

const LARGEST = 16e6; // pixels of a photograph beyond which it is shrunk: Safari's canvas takes no more
const at = (id) => document.getElementById(id);
const controls = ["file", "camera", "shutter", "faces", "network"].map(at);
let worker, ready = false;

// ---------------------------------------------------------------- what is said

function busy(text) {
  at("status").textContent = text;
  at("progress").hidden = false;
  controls.forEach((control) => { control.disabled = true; });
}

function idle(text) {
  at("status").textContent = text;
  at("progress").hidden = true;
  controls.forEach((control) => { control.disabled = !ready; });
}

function say(error) {
  at("error").textContent = error;
  at("error").hidden = !error;
}

function row(...cells) {
  const line = document.createElement("tr");
  line.append(...cells.map((text) => {
    const cell = document.createElement("td");
    cell.textContent = text;
    if (typeof text === "number") cell.className = "number";
    return cell;
  }));
  return line;
}

// ---------------------------------------------------------------- what the worker tells

const told = {
  progress({ text }) { at("status").textContent = text; },

  ready({ version, networks }) {
    ready = true;
    at("version").textContent = version;
    networks.forEach(list);
    idle("Ready.");
  },

  network({ network }) {
    list(network);
    idle(`${network.name} is asked from now on.`);
  },

  answer({ faces, seconds }) {
    at("rows").replaceChildren(...faces.flatMap((face) =>
      face.answers.map(({ network, text }) => row(face.name, network, text))));
    faces.filter((face) => face.box).forEach(draw);
    at("picture").setAttribute("aria-label", `The photograph: ${faces.map((face) => face.name).join(", ")}`);
    const parts = Object.entries(seconds).map(([what, time]) => `${what} ${time.toFixed(2)} s`);
    at("time").textContent = `Time: ${parts.join(", ")}.`;
    idle("Answered.");
  },

  error({ text }) {
    say(text);
    idle(ready ? "Ready." : "Not started.");
  },
};

function list({ name, about, layers }) {
  const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: true, value: name });
  const label = document.createElement("label");
  label.append(box, ` ${name}: ${about}`);
  const head = document.createElement("thead");
  head.innerHTML = ["Layer", "Operator", "Weights", "Numbers"].map((text) => `<th scope="col">${text}</th>`).join("");
  const body = document.createElement("tbody");
  body.append(...layers.map((layer) => row(layer.name, layer.operator, layer.weights, layer.numbers)));
  const table = document.createElement("table");
  table.append(head, body);
  const wide = document.createElement("div");
  Object.assign(wide, { className: "wide", tabIndex: 0, role: "region", ariaLabel: `Layers of ${name}` });
  wide.append(table);
  const details = document.createElement("details");
  details.innerHTML = "<summary></summary>";
  details.firstChild.textContent = `${layers.length} layers of ${name}`;
  details.append(wide);
  at("list").append(label, details);
}

function draw({ name, box }) {
  const pen = at("picture").getContext("2d");
  const size = Math.max(at("picture").width, at("picture").height) / 40;
  const outline = new Path2D(`M${box.map((corner) => corner.join(" ")).join("L")}Z`);
  for (const [colour, width] of [["black", size / 4], ["white", size / 8]]) {
    Object.assign(pen, { strokeStyle: colour, lineWidth: width });
    pen.stroke(outline);
  }
  Object.assign(pen, { font: `bold ${size}px sans-serif`, fillStyle: "white", strokeStyle: "black" });
  pen.strokeText(name, box[0][0], box[0][1] - size / 3);
  pen.fillText(name, box[0][0], box[0][1] - size / 3);
}

// ---------------------------------------------------------------- photographs

// The browser's own decoder: upright as EXIF says, on white where it is transparent, its colours as they are stored.
async function photograph(source, what) {
  say("");
  let image;
  try {
    image = await createImageBitmap(source, { imageOrientation: "from-image", colorSpaceConversion: "none" });
  } catch {
    say(`${what} is no photograph that this browser can read: save it as JPEG or PNG.`);
    return;
  }
  const scale = Math.min(1, Math.sqrt(LARGEST / (image.width * image.height)));
  const canvas = at("picture");
  canvas.width = Math.max(1, Math.floor(image.width * scale));
  canvas.height = Math.max(1, Math.floor(image.height * scale));
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.fillStyle = "white";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(image, 0, 0, canvas.width, canvas.height);
  const { data, width, height } = pen.getImageData(0, 0, canvas.width, canvas.height);
  const networks = [...at("list").querySelectorAll("input:checked")].map((box) => box.value);
  if (!networks.length) {
    say("No network is asked: choose one below.");
    return;
  }
  canvas.setAttribute("aria-label", "The photograph");
  busy("Looking.");
  const faces = at("faces").checked;
  worker.postMessage({ kind: "photograph", pixels: data.buffer, width, height, faces, networks }, [data.buffer]);
}

function choose() {
  const [file] = at("file").files;
  at("file").value = ""; // the same one may be chosen again
  if (file) photograph(file, file.name);
}

function drop(event) {
  event.preventDefault();
  at("drop").classList.remove("over");
  if (!at("file").disabled && event.dataTransfer.files.length) {
    const [file] = event.dataTransfer.files;
    photograph(file, file.name);
  }
}

// ---------------------------------------------------------------- the camera

const REFUSED = {
  NotAllowedError: "The camera is not allowed: allow it beside the address, and try again.",
  NotFoundError: "There is no camera here: choose a file.",
  NotReadableError: "Another program uses the camera: close that, and try again.",
};

async function openCamera() {
  say("");
  if (!navigator.mediaDevices) {
    say("Browsers open a camera for https:// and localhost only: choose a file.");
    return;
  }
  try {
    at("video").srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user" } });
  } catch (error) {
    say(REFUSED[error.name] || `The camera does not open: ${error.message}`);
    return;
  }
  await at("video").play();
  at("video").hidden = at("shutter").hidden = false;
  at("shutter").focus();
}

async function shoot() {
  const video = at("video");
  const still = await createImageBitmap(video);
  video.srcObject.getTracks().forEach((track) => track.stop()); // its light goes out
  video.hidden = at("shutter").hidden = true;
  photograph(still, "The camera's picture");
}

// ---------------------------------------------------------------- networks

function addNetwork() {
  const files = [...at("network").files];
  at("network").value = "";
  if (!files.length) return;
  say("");
  busy(`Opening ${files[0].name}.`);
  worker.postMessage({ kind: "network", files });
}

// ---------------------------------------------------------------- beginning

function begin() {
  at("file").onchange = choose;
  at("camera").onclick = openCamera;
  at("shutter").onclick = shoot;
  at("network").onchange = addNetwork;
  const area = at("drop");
  area.ondragover = (event) => { event.preventDefault(); area.classList.add("over"); };
  area.ondragleave = () => area.classList.remove("over");
  area.ondrop = drop;
  busy("Starting.");
  if (location.protocol === "file:") {
    told.error({ text: "A browser starts no Python from a file: in this folder, run `python -m http.server`, and open " +
      "http://localhost:8000." });
    return;
  }
  worker = new Worker("worker.js", { type: "module" });
  worker.onmessage = ({ data }) => told[data.kind](data);
  worker.onerror = (event) => told.error({ text: `Python stopped: ${event.message || "worker.js cannot be read"}; reload the page.` });
}

begin();
