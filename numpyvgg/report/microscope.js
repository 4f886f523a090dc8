// The microscope: any pixel of the first layers taken apart, computed here from the image and the weights; with
// `numpyvgg explain --live` of all layers, computed by the server that the page came from.
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
  const layer = number < 0 ? input : data.layers[number], { shape } = layer;
  layer.out ??= new Float64Array(shape[0] * shape[1] * shape[2]).fill(NaN);
  const at = (channel * shape[1] + row) * shape[2] + column, known = layer.out[at];
  return Number.isNaN(known) ? layer.out[at] = takeApart(layer, channel, row, column).value : known;
}

/** The places of a window that lie inside the image: tap (i, j), the window's number `at`, sees row y and column x. */
function taps(layer, row, column) {
  const [, height, width] = shapeOf(layer.reads[0]), found = [];
  let at = 0;
  for (let i = 0; i < layer.kernel[0]; i++)
    for (let j = 0; j < layer.kernel[1]; j++, at++) {
      const y = row * layer.strides[0] - layer.pads[0] + i * layer.dilations[0];
      const x = column * layer.strides[1] - layer.pads[1] + j * layer.dilations[1];
      if (y >= 0 && y < height && x >= 0 && x < width) found.push({ i, j, y, x, at });
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
    for (let k = 0; k < per; k++) {
      const start = weightAt(layer, channel, k, 0);
      for (const { y, x, at } of seen) sum += value(layer.reads[0], from + k, y, x) * layer.weight.numbers[start + at];
    }
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

/** Where a weight [channel, k] of the window's number `at` is among the numbers. */
function weightAt(layer, channel, k, at) {
  const per = shapeOf(layer.reads[0])[0] / layer.group;
  return (channel * per + k) * layer.kernel[0] * layer.kernel[1] + at;
}

const SHOWN = 3; // channels whose windows are shown; the others are in the sum

/** All that is shown of an embedded layer's pixel; a server's answer has the same fields: see pixel.py. */
function partsOf(layer, channel, row, column) {
  const { sum, before, value: result, from, per, seen } = takeApart(layer, channel, row, column);
  const parts = { op: layer.op, tensors: layer.tensors, taps: seen, kernel: layer.kernel, dilations: layer.dilations, from, per,
    channel, sum, steps: [], value: result, channels: [], others: { count: 0, sum: 0 }, bytes: [], bias: null };
  if (layer.scale)
    parts.steps.push({ op: "scale and shift", by: layer.scale[channel], plus: layer.shift[channel], value: before });
  if (layer.relu) parts.steps.push({ op: "Relu", value: result });
  if (layer.op === "Conv") return { ...parts, ...convolved(layer, channel, parts) };
  if (layer.kernel) {
    const pixels = seen.map(tap => value(layer.reads[0], channel, tap.y, tap.x));
    return { ...parts, from: channel, terms: seen.length, channels: [{ k: 0, sum, pixels, weights: null }] };
  }
  const reads = layer.reads.map((number, i) => [layer.tensors[i], value(number, channel, row, column)]);
  return { ...parts, reads, place: [channel, row, column] };
}

/** A convolution's channels, strongest first, and the weights that are shown of them as bytes. */
function convolved(layer, channel, { from, per, taps }) {
  const found = [], { numbers, offset, name } = layer.weight;
  for (let k = 0; k < per; k++) {
    const pixels = taps.map(tap => value(layer.reads[0], from + k, tap.y, tap.x));
    const weights = taps.map(tap => numbers[weightAt(layer, channel, k, tap.at)]);
    found.push({ k, pixels, weights, sum: pixels.reduce((sum, pixel, t) => sum + pixel * weights[t], 0) });
  }
  found.sort((a, b) => Math.abs(b.sum) - Math.abs(a.sum));
  const channels = found.splice(0, SHOWN), bytes = [];
  for (const { k } of channels)
    for (const tap of taps) {
      const at = weightAt(layer, channel, k, tap.at);
      const hex = [...new Uint8Array(numbers.buffer, 4 * at, 4)].map(byte => byte.toString(16).padStart(2, "0"));
      bytes.push([`[${channel}, ${k}, ${tap.i}, ${tap.j}]`, String(numbers[at]), offset === null ? null : offset + 4 * at, hex.join(" ")]);
    }
  const bias = layer.bias && { name: layer.bias.name, value: layer.bias.numbers[channel] };
  const others = { count: found.length, sum: found.reduce((total, each) => total + each.sum, 0) };
  return { weight: name, bias, terms: per * taps.length, channels, others, bytes };
}

// ------------------------------------------------------------------ the same as a line of NumPy

function slices(taps, first, second, step) {
  const range = (key, by) => {
    const all = taps.map(tap => tap[key]);
    return `${Math.min(...all)}:${Math.max(...all) + 1}${by > 1 ? ":" + by : ""}`;
  };
  return `${range(first, step[0])}, ${range(second, step[1])}`;
}

/** The layer's own operator in NumPy; empty where it is not taken apart. */
function lineOfSum(parts) {
  const read = (name, index) => `values[${JSON.stringify(name)}][${index}]`;
  const weight = index => `constant(${JSON.stringify(parts.weight)})[${index}]`;
  const bias = parts.bias ? ` + constant(${JSON.stringify(parts.bias.name)}).flat[${parts.channel}]` : "";
  if (parts.reads) return parts.reads.map(([name]) => read(name, [0, ...parts.place].join(", "))).join(" + ");
  if (parts.rows) {
    const column = parts.across ? parts.channel : `:, ${parts.channel}`;
    return `(${read(parts.tensors[0], parts.rows.join(", "))} * ${weight(column)}).sum()${bias}`;
  }
  if (!parts.taps.length) return parts.whole ? `${read(parts.tensors[0], `0, ${parts.from}`)}.${reduced(parts)}()` : "";
  const pixels = slices(parts.taps, "y", "x", parts.dilations);
  if (!parts.weight) return `${read(parts.tensors[0], `0, ${parts.from}, ${pixels}`)}.${reduced(parts)}()`;
  const seen = read(parts.tensors[0], `0, ${parts.from}:${parts.from + parts.per}, ${pixels}`);
  return `(${seen} * ${weight(`${parts.channel}, :, ${slices(parts.taps, "i", "j", [1, 1])}`)}).sum()${bias}`;
}

function reduced(parts) {
  return parts.op.includes("Max") ? "max" : "mean";
}

/** The line, and up to which of the layer's steps it goes: all of them where each can be written down. */
function lineOfNumPy(parts) {
  let line = lineOfSum(parts), done = 0;
  for (const { op, by, plus } of line ? parts.steps : []) {
    if (op !== "Relu" && by === undefined) break;
    line = op === "Relu" ? `max(${line}, 0)` : `(${line}) * ${by} + ${plus}`;
    done += 1;
  }
  return { line, before: line && parts.steps[done]?.op };
}

// ------------------------------------------------------------------ what is shown

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, given] of Object.entries(attributes)) made.setAttribute(name, given);
  made.append(...children);
  return made;
}

function text(number) {
  if (number === null || !Number.isFinite(number)) return "not finite";
  const size = Math.abs(number);
  return (size && size < 0.01 ? number.toExponential(1) : number.toFixed(size >= 100 ? 1 : 2)).replace("-", "−");
}

/** A window as a table: warm where positive, cool where negative. */
function grid({ kernel, taps }, caption, numbers) {
  const values = new Map(taps.map((tap, t) => [`${tap.i} ${tap.j}`, numbers[t]]));
  const largest = Math.max(...[...values.values()].map(Math.abs), 1e-30);
  const table = element("table", { class: "grid" }, element("caption", {}, caption));
  for (let i = 0; i < kernel[0]; i++) {
    const row = table.insertRow();
    for (let j = 0; j < kernel[1]; j++) {
      const cell = row.insertCell(), number = values.get(`${i} ${j}`);
      cell.textContent = number === undefined ? "·" : text(number);
      if (number === undefined) continue;
      cell.style.setProperty("--strength", `${Math.round(40 * Math.abs(number) / largest)}%`);
      cell.className = number < 0 ? "below" : "above";
    }
  }
  return table;
}

/** The strongest channels of a window. */
function windowsShown(parts) {
  const shown = parts.channels.map(({ k, sum, pixels, weights }) => {
    const grids = [grid(parts, `input, channel ${parts.from + k}`, pixels)];
    if (weights) {
      grids.push(grid(parts, `filter ${parts.channel}, its channel ${k}`, weights));
      grids.push(grid(parts, `products: ${text(sum)} together`, pixels.map((pixel, t) => pixel * weights[t])));
    }
    return element("div", { class: "grids" }, ...grids);
  });
  return shown;
}

/** The same where a window is one number: a row for each product. */
function productsShown(parts) {
  const rows = parts.channels.map(({ k, sum, pixels, weights }) =>
    [`${(parts.from ?? 0) + k}`, text(pixels[0]), text(weights[0]), text(sum)]);
  return [scrolled("Products", tableOf(["input", "its value", "weight", "product"], rows))];
}

function shownOf(parts) {
  const shown = parts.reads ? [element("p", {}, parts.reads.map(([name, read]) => `${name}: ${text(read)}`).join("; "))]
    : parts.rows || (parts.weight && parts.taps.length === 1) ? productsShown(parts) : windowsShown(parts);
  const { count, sum } = parts.others;
  if (count) shown.push(element("p", {}, `And ${count} weaker ones: ${text(sum)} together.`));
  if (parts.bytes.length) {
    const rows = parts.bytes.map(([index, number, offset, hex]) => [index, number, offset ?? "stored in another form", hex]);
    shown.push(element("details", {}, element("summary", {}, `These weights as bytes of the file (${parts.weight})`),
      scrolled("Bytes of the weights", tableOf(["weight", "value", "offset in the file", "bytes"], rows))));
  }
  return shown;
}

function tableOf(columns, rows) {
  const table = element("table", { class: "bytes" });
  table.createTHead().append(element("tr", {}, ...columns.map(word => element("th", { scope: "col" }, word))));
  table.createTBody().append(...rows.map(row => element("tr", {}, ...row.map(cell => element("td", {}, cell)))));
  return table;
}

function scrolled(label, table) {
  return element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, table);
}

function sentence(parts) {
  const what = { Conv: "sum of # products", Gemm: "sum of # products", MatMul: "sum of # products", MaxPool: "largest of #",
    GlobalMaxPool: "largest of #", AveragePool: "mean of #", GlobalAveragePool: "mean of #", Add: "sum", Sum: "sum", Concat: "handed on" };
  let words = `${(what[parts.op] ?? parts.op).replace("#", parts.terms)} ${text(parts.sum)}`;
  if (parts.bias) words += `, with the bias ${text(parts.bias.value)}: ${text(parts.sum + parts.bias.value)}`;
  for (const { op, by, plus, value } of parts.steps)
    words += `; ${by === undefined ? op : `× ${text(by)} + ${text(plus)}`}: ${text(value)}`;
  return words;
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
const chooser = element("p", { class: "chooser" });
const apart = element("div");
const panel = element("section", { class: "microscope", "aria-label": "Microscope" }, result, chooser, apart);

function draw(number, place, parts) {
  const layer = data.layers[number], { line, before } = lineOfNumPy(parts);
  result.textContent = `${layer.title}[0, ${place.join(", ")}] = ${text(parts.value)}: ${sentence(parts)}`;
  apart.replaceChildren(element("div", { class: "parts" },
    ...(layer.field.length ? [element("figure", { class: "place" }, placeShown(layer, place[1], place[2]))] : []),
    element("div", {}, ...shownOf(parts))));
  if (line)
    apart.append(copied(before ? `The number before ${before} in NumPy` : "The same number in NumPy", line),
      element("details", {}, element("summary", {}, "What comes before that line"), copied("Once for the page", data.setup)));
}

/** Numbers that choose the place by hand; the fields of the layer that is shown. */
function choose(number, place) {
  const layer = data.layers[number], names = layer.shape.length === 3 ? ["channel", "row", "column"] : ["unit"];
  if (chooser.dataset.layer !== String(number)) {
    chooser.dataset.layer = number;
    chooser.replaceChildren(...layer.shape.map((size, axis) => element("label", {}, `${names[axis] ?? `axis ${axis}`} `,
      element("input", { type: "number", min: 0, max: size - 1 }), ` of ${size} `)));
  }
  chooser.querySelectorAll("input").forEach((field, axis) => { field.value = place[axis]; });
}

chooser.addEventListener("change", () => {
  const fields = [...chooser.querySelectorAll("input")];
  const place = fields.map(field => Math.min(Math.max(Math.trunc(Number(field.value)), 0), Number(field.max)));
  show(Number(chooser.dataset.layer), place);
});

/** Ask the server one question at a time; of those that come meanwhile only the last is asked. */
function asker(path, shown) {
  let busy = false, next = null;
  return async function ask(query, ...rest) {
    if (busy) { next = [query, ...rest]; return; }
    busy = true;
    try {
      const answer = await (await fetch(`${path}?${new URLSearchParams(query)}`)).json();
      if (!next) shown(answer, ...rest);
    } catch (error) {
      result.textContent = `The server does not answer (${error.message}): was it ended?`;
    }
    busy = false;
    if (next) { const question = next; next = null; ask(...question); }
  };
}

const askPixel = asker("pixel", (answer, number, place) => draw(number, place, answer));

function show(number, place) {
  const layer = data.layers[number], home = document.getElementById(`layer${number}`);
  if (panel.parentNode !== home) home.append(panel);
  choose(number, place);
  if (layer.op) draw(number, place, partsOf(layer, ...place));
  else askPixel({ layer: number, index: place }, number, place);
}

// ------------------------------------------------------------------ pointer and keys

const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/** Make a picture a button on which the pointer or the arrow keys choose a place of `height` x `width`. */
function pointed(picture, label, height, width, chosen) {
  const mark = element("i", { "aria-hidden": "true" });
  const button = element("button", { type: "button", class: "lens", "aria-label": label });
  let row = height >> 1, column = width >> 1;
  picture.replaceWith(button);
  button.append(picture, mark);
  const move = (y, x) => {
    [row, column] = [Math.min(Math.max(y, 0), height - 1), Math.min(Math.max(x, 0), width - 1)];
    button.classList.add("chosen");
    chosen(row, column, mark, button);
  };
  const point = event => {
    const box = picture.getBoundingClientRect();
    move(Math.floor((event.clientY - box.top) / box.height * height), Math.floor((event.clientX - box.left) / box.width * width));
  };
  button.addEventListener("pointermove", event => { // not where the page moved under a pointer at rest
    if (event.movementX || event.movementY) point(event);
  });
  button.addEventListener("click", event => event.detail ? point(event) : move(row, column));
  button.addEventListener("keydown", event => {
    const step = STEPS[event.key];
    if (!step) return;
    event.preventDefault();
    move(row + step[0], column + step[1]);
  });
  return button;
}

/** A map: its pixels go under the microscope. The Tab key stops at one of a layer; its numbers lead to the others. */
function lens(image, number, stop) {
  const channel = Number(image.dataset.channel), { title, shape: [, height, width] } = data.layers[number];
  image.alt = "";
  const made = pointed(image, `Channel ${channel} of ${title}: arrow keys choose a pixel`, height, width, (row, column, mark, button) => {
    for (const other of document.querySelectorAll(".tiles .lens.chosen")) if (other !== button) other.classList.remove("chosen");
    mark.style.cssText = `left:${100 * column / width}%;top:${100 * row / height}%;width:${100 / width}%;height:${100 / height}%`;
    show(number, [channel, row, column]);
  });
  if (!stop) made.tabIndex = -1;
}

for (const [number, layer] of Object.entries(data.layers)) {
  const home = document.getElementById(`layer${number}`), images = home.querySelectorAll(".tiles img");
  images.forEach((image, i) => lens(image, Number(number), i === 0));
  if (images.length) continue;
  const button = element("button", { type: "button", class: "opener" }, `Take a unit of ${layer.title} apart`);
  button.addEventListener("click", () => show(Number(number), layer.strongest));
  home.append(button);
}
const first = Number(Object.keys(data.layers)[0] ?? NaN);
if (first >= 0) show(first, data.layers[first].strongest);
for (const hint of document.querySelectorAll(".scripted")) hint.hidden = false;

// ------------------------------------------------------------------ cover a part of the photograph, and ask again

function drawCover(cover) {
  const [, height, width] = input.shape, said = cover.querySelector("[role=status]"), size = cover.querySelector("input");
  const asked = asker("covered", answers => {
    said.textContent = answers.map(({ network, answer, change, unit }) =>
      `${network}: ${answer} (${change < 0 ? "" : "+"}${text(change)} ${unit})`).join("; ");
  });
  let at = [height >> 1, width >> 1], mark;
  const ask = () => {
    const side = Math.min(Number(size.value), height, width);
    const [top, left] = [at[0], at[1]].map((middle, axis) =>
      Math.min(Math.max(middle - (side >> 1), 0), [height, width][axis] - side));
    mark.style.cssText = `left:${100 * left / width}%;top:${100 * top / height}%;width:${100 * side / width}%;height:${100 * side / height}%`;
    asked({ top, left, side });
  };
  pointed(cover.querySelector("svg"), "Cover a part of the photograph: arrow keys move the square", height >> 2, width >> 2,
    (row, column, square) => { at = [4 * row + 2, 4 * column + 2]; mark = square; ask(); });
  size.max = Math.min(height, width);
  size.value = size.max >> 2;
  size.addEventListener("input", () => { if (mark) ask(); });
  cover.hidden = false;
}

if (data.live) drawCover(document.getElementById("cover"));

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
