"""The whole way from the bytes of an ONNX file and a photograph to an age, to be read from top to bottom.

For the DEX networks: python -m numpyvgg.pico MODEL PHOTO. It trusts both files; the rest of the package checks them.
"""

import sys

import numpy as np
from PIL import Image, ImageOps


# ---- bytes -> messages. ONNX is written in protocol buffers: a message is a row of numbered fields.
def varint(data, at):  # an integer: 7 bits a byte, the lowest first; the high bit says that another byte follows
    more, end = varint(data, at + 1) if data[at] > 127 else (0, at + 1)
    return data[at] & 127 | more << 7, end


def fields(data):  # -> {number: [value, ...]}, each an integer, or a view of the file: no weight is read yet
    found, at = {}, 0
    while at < len(data):
        key, at = varint(data, at)  # field number << 3 | kind of value
        if key & 7 == 0:
            value, at = varint(data, at)
        else:  # 8 or 4 bytes; or a length and as many bytes: a text, packed numbers, another message
            size, at = varint(data, at) if key & 7 == 2 else ({1: 8, 5: 4}[key & 7], at)
            value, at = data[at : at + size], at + size
        found.setdefault(key >> 3, []).append(value)
    return found


def integers(values):  # a list of integers has a field for each, or one field that packs them all
    numbers, at = [], 0
    while isinstance(values[0], memoryview) and at < len(values[0]):
        number, at = varint(values[0], at)
        numbers.append(number - (number >> 63 << 64))  # negative ones are written in 64 bits, two's complement
    return numbers or values


# ---- messages -> arrays. The numbers of the fields are those of onnx.proto.
def tensor(data):  # TensorProto -> name, array
    t = fields(data)
    stored = t.get(9) or t.get(4)  # raw_data or float_data: little-endian numbers side by side, as memory has them
    array = np.frombuffer(stored[0], {1: "<f4", 7: "<i8"}[t[2][0]]) if stored else np.array(integers(t[7]))
    return str(t.get(8, [b""])[0], "utf-8"), array.reshape(integers(t[1]) if 1 in t else ())


def attribute(data):  # AttributeProto -> name, value: a list of integers, a tensor, an integer or a float
    a = fields(data)
    value = integers(a[8]) if 8 in a else tensor(a[5][0])[1] if 5 in a else a[3][0] if 3 in a else None
    return str(a[1][0], "utf-8"), np.frombuffer(a[2][0], "<f4")[0] if 2 in a else value


# ---- a photograph -> the network's input: 224 x 224; blue, green, red; 0..255, nothing subtracted
def photograph(path):
    image = ImageOps.exif_transpose(Image.open(path)).convert("RGB").resize((224, 224), Image.Resampling.BILINEAR)
    return np.asarray(image, np.float32)[:, :, ::-1].transpose(2, 0, 1)[None]  # [224, 224, 3] -> [1, 3, 224, 224]


# ---- the layers, with ONNX's names for their attributes
def windows(x, kernel_shape, strides, pads, fill):  # [N, C, H, W] -> [N, C, outH, outW, kH, kW]
    x = np.pad(x, ((0, 0), (0, 0), pads[0::2], pads[1::2]), constant_values=fill)  # pads: top, left, bottom, right
    return np.lib.stride_tricks.sliding_window_view(x, kernel_shape, (2, 3))[:, :, :: strides[0], :: strides[1]]


def conv(x, weight, bias, strides=(1, 1), pads=(0, 0, 0, 0), **_):  # weight [M, C, kH, kW], bias [M]
    taps = windows(x, weight.shape[2:], strides, pads, fill=0)  # [N, C, outH, outW, kH, kW]
    columns = taps.transpose(0, 1, 4, 5, 2, 3).reshape(len(x), weight[0].size, -1)  # im2col: [N, C*kH*kW, outH*outW]
    y = weight.reshape(len(weight), -1) @ columns + bias[:, None]  # [M, C*kH*kW] @ columns -> [N, M, outH*outW]
    return y.reshape(len(x), len(weight), *taps.shape[2:4])  # [N, M, outH, outW]


def relu(x):
    return np.maximum(x, 0)


def max_pool(x, kernel_shape, strides=(1, 1), pads=(0, 0, 0, 0), **_):  # [N, C, H, W] -> [N, C, outH, outW]
    return windows(x, kernel_shape, strides, pads, fill=-np.inf).max(axis=(4, 5))


def gemm(x, weight, bias, alpha=1, beta=1, transB=0, **_):  # fully connected: [N, K] @ [K, M] + [M] -> [N, M]
    return alpha * x @ (weight.T if transB else weight) + beta * bias


def softmax(x, **_):  # scores -> probabilities, [N, classes]
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


OPERATORS = {"Conv": conv, "Relu": relu, "MaxPool": max_pool, "Gemm": gemm, "Softmax": softmax}
OPERATORS |= {"Reshape": np.reshape, "Flatten": lambda x, **_: x.reshape(len(x), -1)}  # [N, C, H, W] -> [N, C*H*W]
OPERATORS |= {"Dropout": lambda x, *_, **__: x, "Identity": lambda x: x, "Constant": lambda value: value}


# ---- the graph: each node reads tensors by their names and makes a new one
def forward(path, x):  # [N, 3, 224, 224] -> [N, classes]
    graph = fields(fields(memoryview(np.memmap(path, np.uint8, "r")))[7][0])
    names = [str(fields(value)[1][0], "utf-8") for value in graph[11]]
    tensors = dict.fromkeys(names, x) | dict(map(tensor, graph[5]))  # old files list their weights as inputs too
    for node in map(fields, graph[1]):
        operator, inputs = str(node[4][0], "utf-8"), [tensors[str(name, "utf-8")] for name in node.get(1, [])]
        if operator not in OPERATORS:
            sys.exit(f"{path}: pico has no {operator!r}; numpyvgg.InferenceSession runs more networks than VGGs")
        x = OPERATORS[operator](*inputs, **dict(map(attribute, node.get(5, []))))
        tensors[str(node[2][0], "utf-8")] = x
    return x if operator == "Softmax" else softmax(x)  # some files end with the scores


# ---- the answer. DEX is short for deep expectation: the mean over the ages 0 to 100, not the most probable one.
if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m numpyvgg.pico MODEL PHOTO")
    p = forward(sys.argv[1], photograph(sys.argv[2]))[0]  # [101], or [2] of the gender network: 0 female, 1 male
    print(f"{p @ np.arange(101):.1f} years" if len(p) == 101 else f"class {p.argmax()} ({p.max():.1%})")
