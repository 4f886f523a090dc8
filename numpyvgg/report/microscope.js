// The microscope: any pixel of the embedded layers taken apart, computed here from the image and the weights.
"use strict";

const data = JSON.parse(document.getElementById("microscope-data").textContent);

// ------------------------------------------------------------------ numbers

function numbers(text, type) {
  return text && new type(Uint8Array.from(atob(text), letter => letter.charCodeAt(0)).buffer);
}

const input = { shape: data.input.shape, out: numbers(data.input.numbers, Float32Array) };
for (const layer of Object.values(data.layers)) {
  for (const stored of [layer.weight, layer.bias])
    if (stored) stored.numbers = numbers(stored.numbers, Float32Array);
  layer.scale = numbers(layer.scale, Float64Array);
  layer.shift = numbers(layer.shift, Float64Array);
}

/** The layer's, or (-1) the image's, value at a channel, row and column; computed when first asked for. */
function value(number, channel, row, column) {
  const layer = number < 0 ? input : data.layers[number];
  const [channels, height, width] = layer.shape;
  layer.out ??= new Float64Array(channels * height * width).fill(NaN);
  const at = (channel * height + row) * width + column;
  if (Number.isNaN(layer.out[at])) layer.out[at] = takeApart(layer, channel, row, column).value;
  return layer.out[at];
}

/** The places of a window that lie inside the image: tap (i, j) sees row y and column x. */
function taps(layer, row, column) {
  const [, height, width] = shapeOf(layer.reads[0]), found = [];
  for (let i = 0; i < layer.kernel[0]; i++)
    for (let j = 0; j < layer.kernel[1]; j++) {
      const y = row * layer.strides[0] - layer.pads[0] + i * layer.dilations[0];
      const x = column * layer.strides[1] - layer.pads[1] + j * layer.dilations[1];
      if (y >= 0 && y < height && x >= 0 && x < width) found.push({ i, j, y, x });
    }
  return found;
}

function shapeOf(number) {
  return number < 0 ? input.shape : data.layers[number].shape;
}

/** All that goes into one pixel: the sum before the bias, what follows it, and (of a convolution) the first channel. */
function takeApart(layer, channel, row, column) {
  let sum = 0, from = 0, per = 0, seen = [];
  if (layer.op === "Conv") {
    per = shapeOf(layer.reads[0])[0] / layer.group;
    from = Math.floor(channel / (layer.shape[0] / layer.group)) * per;
    seen = taps(layer, row, column);
    for (let k = 0; k < per; k++)
      for (const tap of seen)
        sum += value(layer.reads[0], from + k, tap.y, tap.x) * layer.weight.numbers[weightAt(layer, channel, k, tap)];
  } else if (layer.kernel) {
    seen = taps(layer, row, column);
    const values = seen.map(tap => value(layer.reads[0], channel, tap.y, tap.x));
    sum = layer.op === "MaxPool" ? Math.max(...values) : values.reduce((a, b) => a + b, 0) / values.length;
  } else {
    for (const number of layer.reads) sum += value(number, channel, row, column);
  }
  const bias = layer.bias ? layer.bias.numbers[channel] : 0;
  const before = layer.scale ? (sum + bias) * layer.scale[channel] + layer.shift[channel] : sum + bias;
  return { sum, bias, before, value: layer.relu ? Math.max(before, 0) : before, from, per, seen };
}

/** Where a weight [channel, k, i, j] is among the numbers. */
function weightAt(layer, channel, k, tap) {
  const [height, width] = layer.kernel;
  const per = shapeOf(layer.reads[0])[0] / layer.group;
  return ((channel * per + k) * height + tap.i) * width + tap.j;
}

// ------------------------------------------------------------------ the same as a line of NumPy

function slices(taps, first, second, step) {
  const range = (key, by) => {
    const all = taps.map(tap => tap[key]);
    return `${Math.min(...all)}:${Math.max(...all) + 1}${by > 1 ? ":" + by : ""}`;
  };
  return `${range(first, step[0])}, ${range(second, step[1])}`;
}

function lineOfNumPy(layer, channel, row, column) {
  const parts = takeApart(layer, channel, row, column);
  const read = name => `values[${JSON.stringify(name)}][0, `;
  let line;
  if (layer.op === "Conv") {
    const pixels = slices(parts.seen, "y", "x", layer.dilations), weights = slices(parts.seen, "i", "j", [1, 1]);
    line = `(${read(layer.tensors[0])}${parts.from}:${parts.from + parts.per}, ${pixels}] * `
      + `weights[${JSON.stringify(layer.weight.name)}][${channel}, :, ${weights}]).sum()`;
    if (layer.bias) line += ` + weights[${JSON.stringify(layer.bias.name)}][${channel}]`;
  } else if (layer.kernel) {
    const pixels = slices(parts.seen, "y", "x", layer.dilations);
    line = `${read(layer.tensors[0])}${channel}, ${pixels}].${layer.op === "MaxPool" ? "max" : "mean"}()`;
  } else {
    line = layer.tensors.map(name => `${read(name)}${channel}, ${row}, ${column}]`).join(" + ");
  }
  if (layer.scale) line = `(${line}) * ${layer.scale[channel]} + ${layer.shift[channel]}`;
  return layer.relu ? `max(${line}, 0)` : line;
}

// ------------------------------------------------------------------ what is shown

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, given] of Object.entries(attributes)) made.setAttribute(name, given);
  made.append(...children);
  return made;
}

function text(number) {
  const size = Math.abs(number);
  return (size && size < 0.01 ? number.toExponential(1) : number.toFixed(size >= 100 ? 1 : 2)).replace("-", "−");
}

/** A window as a table: warm where positive, cool where negative. */
function grid(layer, caption, seen, valueAt) {
  const values = new Map(seen.map(tap => [`${tap.i} ${tap.j}`, valueAt(tap)]));
  const largest = Math.max(...[...values.values()].map(Math.abs), 1e-30);
  const table = element("table", { class: "grid" }, element("caption", {}, caption));
  for (let i = 0; i < layer.kernel[0]; i++) {
    const row = table.insertRow();
    for (let j = 0; j < layer.kernel[1]; j++) {
      const cell = row.insertCell(), number = values.get(`${i} ${j}`);
      cell.textContent = number === undefined ? "·" : text(number);
      if (number === undefined) continue;
      cell.style.setProperty("--strength", `${Math.round(40 * Math.abs(number) / largest)}%`);
      cell.className = number < 0 ? "below" : "above";
    }
  }
  return table;
}

const SHOWN = 3; // channels taken apart in the panel; the others are in the sum

/** Each channel's part of a convolution's sum, strongest first. */
function channelsOf(layer, channel, parts) {
  const found = [];
  for (let k = 0; k < parts.per; k++) {
    let sum = 0;
    for (const tap of parts.seen)
      sum += value(layer.reads[0], parts.from + k, tap.y, tap.x) * layer.weight.numbers[weightAt(layer, channel, k, tap)];
    found.push({ k, sum });
  }
  return found.sort((a, b) => Math.abs(b.sum) - Math.abs(a.sum));
}

function convolutionShown(layer, channel, parts) {
  const shown = [], channels = channelsOf(layer, channel, parts), filter = layer.weight.numbers;
  for (const { k, sum } of channels.slice(0, SHOWN)) {
    const pixel = tap => value(layer.reads[0], parts.from + k, tap.y, tap.x);
    const weight = tap => filter[weightAt(layer, channel, k, tap)];
    shown.push(element("div", { class: "grids" },
      grid(layer, `input, channel ${parts.from + k}`, parts.seen, pixel),
      grid(layer, `filter ${channel}, its channel ${k}`, parts.seen, weight),
      grid(layer, `products: ${text(sum)} together`, parts.seen, tap => pixel(tap) * weight(tap))));
  }
  const rest = channels.slice(SHOWN);
  if (rest.length) {
    const sum = rest.reduce((total, each) => total + each.sum, 0);
    shown.push(element("p", {}, `And ${rest.length} weaker channels: ${text(sum)} together.`));
  }
  shown.push(bytesShown(layer, channel, channels.slice(0, SHOWN), parts.seen));
  return shown;
}

/** For each weight that is shown its place in the file and its four bytes there. */
function bytesShown(layer, channel, channels, seen) {
  const table = element("table", { class: "bytes" });
  table.createTHead().append(element("tr", {},
    ...["weight", "value", "offset in the file", "bytes"].map(word => element("th", { scope: "col" }, word))));
  const body = table.createTBody(), { numbers, offset, name } = layer.weight;
  for (const { k } of channels)
    for (const tap of seen) {
      const at = weightAt(layer, channel, k, tap);
      const bytes = [...new Uint8Array(numbers.buffer, 4 * at, 4)].map(byte => byte.toString(16).padStart(2, "0"));
      const cells = [`[${channel}, ${k}, ${tap.i}, ${tap.j}]`, String(numbers[at]),
        offset === null ? "stored in another form" : String(offset + 4 * at), bytes.join(" ")];
      body.append(element("tr", {}, ...cells.map(cell => element("td", {}, cell))));
    }
  return element("details", {}, element("summary", {}, `These weights as bytes of the file (${name})`),
    element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Bytes of the weights" }, table));
}

function othersShown(layer, channel, row, column, parts) {
  if (layer.kernel) {
    const pixel = tap => value(layer.reads[0], channel, tap.y, tap.x);
    return [element("div", { class: "grids" }, grid(layer, `input, channel ${channel}`, parts.seen, pixel))];
  }
  const terms = layer.reads.map((number, i) => `${layer.tensors[i]}: ${text(value(number, channel, row, column))}`);
  return [element("p", {}, terms.join("; "))];
}

function sentence(layer, channel, parts) {
  const what = { Conv: `sum of ${parts.seen.length * parts.per} products`, MaxPool: "largest", AveragePool: "mean" };
  let words = `${what[layer.op] ?? "sum"} ${text(parts.sum)}`;
  if (layer.bias) words += `, with the bias ${text(parts.bias)}: ${text(parts.sum + parts.bias)}`;
  if (layer.scale) words += `, × ${text(layer.scale[channel])} + ${text(layer.shift[channel])} = ${text(parts.before)}`;
  return layer.relu ? `${words}; ReLU: ${text(parts.value)}` : words;
}

/** The pixel's place on the crop. */
function placeShown(layer, row, column) {
  const [, height, width] = input.shape, svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const edges = [row, column].map((index, axis) => {
    const [size, jump, start] = layer.field[axis], centre = start + index * jump, side = [height, width][axis];
    return [Math.max(centre - size / 2, 0), Math.min(centre + size / 2, side)];
  });
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `It sees rows ${edges[0].join(" to ")}, columns ${edges[1].join(" to ")} of the crop`);
  svg.innerHTML = `<use href="#crop0"/><rect class="outline" x="${edges[1][0]}" y="${edges[0][0]}" `
    + `width="${edges[1][1] - edges[1][0]}" height="${edges[0][1] - edges[0][0]}"/>`;
  return svg;
}

function copied(caption, line) {
  const button = element("button", { type: "button" }, "Copy");
  button.addEventListener("click", () => navigator.clipboard.writeText(line).then(() => { button.textContent = "Copied"; }));
  return element("figure", { class: "line" }, element("figcaption", {}, caption, " ", button),
    element("pre", { tabindex: "0", "aria-label": caption }, element("code", {}, line)));
}

const result = element("p", { class: "figures", role: "status" });
const panel = element("section", { class: "microscope", "aria-label": "Microscope" });

function show(number, channel, row, column) {
  const layer = data.layers[number], parts = takeApart(layer, channel, row, column);
  const shown = layer.op === "Conv" ? convolutionShown(layer, channel, parts) : othersShown(layer, channel, row, column, parts);
  result.textContent = `${layer.title}[0, ${channel}, ${row}, ${column}] = ${text(parts.value)}: ${sentence(layer, channel, parts)}`;
  panel.replaceChildren(result, element("div", { class: "parts" },
    ...(layer.field.length ? [element("figure", { class: "place" }, placeShown(layer, row, column))] : []),
    element("div", {}, ...shown)),
    copied("The same number in NumPy", lineOfNumPy(layer, channel, row, column)),
    element("details", {}, element("summary", {}, "What comes before that line"), copied("Once for the page", data.setup)));
  const home = document.getElementById(`layer${number}`);
  if (panel.parentNode !== home) home.append(panel);
}

// ------------------------------------------------------------------ hands

const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/** Make a map a button: the pointer or the arrow keys choose its pixel. */
function lens(image, number) {
  const channel = Number(image.dataset.channel), [, height, width] = data.layers[number].shape;
  const mark = element("i", { "aria-hidden": "true" });
  const button = element("button", { type: "button", class: "lens",
    "aria-label": `Channel ${channel} of ${data.layers[number].title}: arrow keys choose a pixel` });
  let row = height >> 1, column = width >> 1;
  image.replaceWith(button);
  image.alt = "";
  button.append(image, mark);
  const choose = (y, x) => {
    [row, column] = [Math.min(Math.max(y, 0), height - 1), Math.min(Math.max(x, 0), width - 1)];
    for (const other of document.querySelectorAll(".lens.chosen")) other.classList.remove("chosen");
    button.classList.add("chosen");
    mark.style.cssText = `left:${100 * column / width}%;top:${100 * row / height}%;width:${100 / width}%;height:${100 / height}%`;
    show(number, channel, row, column);
  };
  const point = event => {
    const box = image.getBoundingClientRect();
    choose(Math.floor((event.clientY - box.top) / box.height * height), Math.floor((event.clientX - box.left) / box.width * width));
  };
  button.addEventListener("pointermove", point);
  button.addEventListener("click", event => event.detail ? point(event) : choose(row, column));
  button.addEventListener("keydown", event => {
    const step = STEPS[event.key];
    if (!step) return;
    event.preventDefault();
    choose(row + step[0], column + step[1]);
  });
}

for (const number of Object.keys(data.layers).map(Number))
  for (const image of document.querySelectorAll(`#layer${number} .tiles img`)) lens(image, number);
const first = Number(Object.keys(data.layers)[0] ?? NaN);
if (first >= 0) show(first, ...data.layers[first].strongest);
for (const hint of document.querySelectorAll(".scripted")) hint.hidden = false;

// ------------------------------------------------------------------ sizes: a window on a row of pixels

const sizes = document.getElementById("sizes");

function drawSizes() {
  const [size, kernel, stride, padding, dilation] = [...sizes.querySelectorAll("input")].map(each => Number(each.value));
  for (const each of sizes.querySelectorAll("input")) each.nextElementSibling.value = each.value;
  const span = dilation * (kernel - 1) + 1, room = size + 2 * padding - span, count = Math.floor(room / stride) + 1;
  sizes.querySelector(".formula").textContent = `⌊(${size} + 2·${padding} − (${dilation}·(${kernel} − 1) + 1)) / ${stride}⌋ + 1`
    + (room < 0 ? `: a window of ${span} pixels does not fit on ${size + 2 * padding}` : ` = ${count}`)
    + (room > 0 && room % stride ? `; pixels at the end that no window sees: ${room % stride}` : "");
  const pixels = size + 2 * padding, rows = room < 0 ? 0 : count;
  const cell = (x, y, kind) => `<rect class="${kind}" x="${x + 0.05}" y="${y + 0.05}" width=".9" height=".9"/>`;
  let drawn = "";
  for (let x = 0; x < pixels; x++) drawn += cell(x, 0, x < padding || x >= padding + size ? "pad" : "pixel");
  for (let window = 0; window < rows; window++)
    for (let tap = 0; tap < kernel; tap++) drawn += cell(window * stride + tap * dilation, 1.4 + 1.1 * window, "tap");
  const svg = sizes.querySelector("svg");
  svg.setAttribute("viewBox", `0 0 ${pixels} ${1.4 + 1.1 * rows}`);
  svg.setAttribute("aria-label", `${rows} windows of ${kernel} taps on ${pixels} pixels`);
  svg.innerHTML = drawn;
}

sizes.hidden = false;
sizes.addEventListener("input", drawSizes);
drawSizes();
