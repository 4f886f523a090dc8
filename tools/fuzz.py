"""Change files in ways that a program or a stranger might, and see what the package makes of them.

Whatever a file says, there are two right outcomes: an answer, or one `NumpyVggError`; within 2 s of CPU time, and
without more memory than the file and 200 MB. Answers are compared with ONNX Runtime's, where it answers too.

Files of five kinds are changed: ONNX, Caffe's binary and text forms, photographs, and folders of golden tensors. Seven
changes of ten know the format (another number, name, operator or type; a field doubled, dropped, moved, or taken from
another file), three are blind. A change depends on the seed and on its own number only, and can be made again:

    python tools/fuzz.py --seconds 60                       # a fresh seed, which is printed
    python tools/fuzz.py --seed 7 --count 100000 runs       # results go to that folder; called again, it goes on there
    python tools/fuzz.py --seed 7 --show 4711               # one change again, in this process
    python tools/fuzz.py --replay tests/data/hostile        # files as they are

A child process with limits opens the files. When it dies or hangs, that is counted, and another child goes on with the
next file. Exit code 1 where anything but the two right outcomes was seen. Needs Linux, onnx and onnxruntime.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import io
import json
import operator
import os
import pickle
import random
import re
import resource
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from make_standin import NO_OPS, Layout, standin_model

import numpyvgg
from numpyvgg.errors import InternalError, NumpyVggError
from numpyvgg.files import wire, write
from numpyvgg.files.caffe import read_caffe, read_mean
from numpyvgg.files.source import Source
from numpyvgg.parity.golden import read_golden, write_golden
from numpyvgg.photo.images import load_image, to_tensor
from numpyvgg.text import table

SLOW = 2.0  # seconds of CPU time
LARGE = 200_000_000  # bytes beyond the file's own
HANGS = 30.0  # seconds of wall clock without a sign of life
ROOM = 3 << 30  # address space that a child may take beyond what it has at its start
DATA = Path(__file__).parents[1] / "tests" / "data"

LAYOUTS = {
    "published": Layout(),
    "modern": Layout(opset=17, storage="raw", initializers_as_inputs=False, flatten="Flatten", no_ops=NO_OPS),
    "convolutions": Layout(opset=13, storage="raw", head="Conv", pool="GlobalAveragePool", batch_norm=True),
    "products": Layout(opset=22, storage="raw", head="MatMul", flatten="Constant", softmax=False, batch="N"),
}
#: outcomes that are never right
FAULTS = ("death", "hang", "foreign", "slow", "large", "unescaped")


@dataclasses.dataclass
class Seed:
    """A sound file: its kind, a name, and its bytes (of a golden folder's one file)."""

    kind: str
    name: str
    data: bytes


# ---------------------------------------------------------------------- seeds


def onnx_seeds() -> Iterator[Seed]:
    """VGG networks in several layouts, what was found before, and the test cases of ONNX's operators."""
    for name, layout in LAYOUTS.items():
        yield Seed("onnx", name, standin_model(layout, configuration="A", width=1 / 64, classes=5).SerializeToString())
    for path in sorted(DATA.glob("hostile/*.onnx")):
        yield Seed("onnx", path.name, path.read_bytes())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its cases are computed on import, overflows and all
        from onnx.backend.test.loader import load_model_tests

        models = {case.name: case.model for case in load_model_tests(kind="node")}
    for name, model in models.items():
        data = model.SerializeToString() if model is not None else b""
        with contextlib.suppress(NumpyVggError):
            if 0 < len(data) < 20_000 and numpyvgg.InferenceSession(data):
                yield Seed("onnx", name, data)


def caffe_layer(name: str, kind: str, bottom: str, top: str, parameters: bytes = b"", *blobs: bytes) -> bytes:
    """A layer in Caffe's newer form."""
    fields = [write.bytes_field(1, name), write.bytes_field(2, kind), write.bytes_field(4, top), parameters]
    fields += [write.bytes_field(3, bottom)] if bottom else []
    return write.bytes_field(100, b"".join(fields + [write.bytes_field(7, blob) for blob in blobs]))


def blob(*dims: int) -> bytes:
    numbers = np.random.default_rng(0).standard_normal(int(np.prod(dims))).astype("<f4").tobytes()
    return write.bytes_field(5, numbers) + write.bytes_field(7, write.bytes_field(1, write.packed_varints(dims)))


def caffe_network() -> bytes:
    conv = b"".join(write.integer_field(number, value) for number, value in ((1, 4), (3, 1), (4, 3)))
    pool = write.integer_field(2, 2) + write.integer_field(3, 2)
    shape = write.bytes_field(1, write.packed_varints((1, 3, 8, 8)))
    product = write.bytes_field(117, write.integer_field(1, 2))
    return b"".join(
        [
            write.bytes_field(1, "net"),
            caffe_layer("data", "Input", "", "data", write.bytes_field(143, write.bytes_field(1, shape))),
            caffe_layer(
                "conv1", "Convolution", "data", "conv1", write.bytes_field(106, conv), blob(4, 3, 3, 3), blob(4)
            ),
            caffe_layer("relu1", "ReLU", "conv1", "conv1"),
            caffe_layer("norm1", "LRN", "conv1", "norm1"),
            caffe_layer("pool1", "Pooling", "norm1", "pool1", write.bytes_field(121, pool)),
            caffe_layer("drop1", "Dropout", "pool1", "pool1"),
            caffe_layer("fc8", "InnerProduct", "pool1", "fc8", product, blob(2, 64), blob(2)),
            caffe_layer("prob", "Softmax", "fc8", "prob"),
        ]
    )


PROTOTXT = """name: "net"
input: "data"
input_shape { dim: 1 dim: 3 dim: 8 dim: 8 }
layer {
  name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  param { lr_mult: 1 decay_mult: 1 }
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "gaussian" std: 0.01 } }  # text
}
layer { name: 'relu1', type: "ReLU"; bottom: "conv1" top: "conv1" }
layer {
  name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 }
}
layer { name: "fc8" type: "InnerProduct" bottom: "pool1" top: "fc8" inner_product_param { num_output: 2 } }
layer { name: "prob" type: "Softmax" bottom: "fc8" top: "prob" include { phase: TEST } }
"""


def caffe_branches() -> bytes:
    """Layers of several inputs and outputs, and those that are computed from their weights."""
    shape = write.bytes_field(143, write.bytes_field(1, write.bytes_field(1, write.packed_varints((1, 4, 8, 8)))))
    cut = write.bytes_field(126, write.integer_field(2, 2))
    conv = write.bytes_field(106, b"".join(write.integer_field(*field) for field in ((1, 2), (4, 2), (5, 2), (6, 2))))
    one = np.ones(1, "<f4").tobytes()
    factor = write.bytes_field(5, one) + write.bytes_field(7, write.bytes_field(1, b"\1"))
    both = write.bytes_field(3, "b")  # a second bottom, or a second top
    return b"".join(
        [
            caffe_layer("data", "Input", "", "data", shape),
            caffe_layer("cut", "Slice", "data", "a", cut + write.bytes_field(4, "b")),
            caffe_layer("bn", "BatchNorm", "a", "a", b"", blob(2), blob(2), factor),
            caffe_layer(
                "scale", "Scale", "a", "a", write.bytes_field(142, write.integer_field(4, 1)), blob(2), blob(2)
            ),
            caffe_layer("sum", "Eltwise", "a", "sum", both + write.bytes_field(110, write.integer_field(1, 1))),
            caffe_layer("all", "Concat", "sum", "all", both),
            caffe_layer("slope", "PReLU", "all", "all", b"", blob(4)),
            caffe_layer("power", "Power", "all", "power", write.bytes_field(122, write.single_field(1, 2.0))),
            caffe_layer("up", "Deconvolution", "power", "up", conv, blob(4, 1, 2, 2), blob(2)),
            caffe_layer("mean", "Pooling", "up", "mean", write.bytes_field(121, write.integer_field(12, 1))),
            caffe_layer("flat", "Flatten", "mean", "flat"),
        ]
    )


def caffe_old_network() -> bytes:
    """The older form of layers and of shapes, as in the networks of 2014."""

    def layer(name: str, kind: int, bottom: str, top: str, parameters: bytes = b"", *blobs: bytes) -> bytes:
        fields = [write.bytes_field(2, bottom), write.bytes_field(3, top), write.bytes_field(4, name)]
        fields += [write.integer_field(5, kind), parameters, *(write.bytes_field(6, blob) for blob in blobs)]
        return write.bytes_field(2, b"".join(fields))

    def old_blob(*dims: int) -> bytes:
        numbers = np.random.default_rng(0).standard_normal(int(np.prod(dims))).astype("<f4").tobytes()
        sizes = [write.integer_field(i, size) for i, size in enumerate((1,) * (4 - len(dims)) + dims, start=1)]
        return b"".join(sizes) + write.bytes_field(5, numbers)

    conv = write.bytes_field(10, b"".join(write.integer_field(*field) for field in ((1, 4), (4, 3), (6, 2))))
    pool = write.bytes_field(19, write.integer_field(2, 3) + write.integer_field(3, 2))
    return b"".join(
        [
            write.bytes_field(1, "old"),
            layer("conv1", 4, "data", "conv1", conv, old_blob(4, 3, 3, 3), old_blob(4)),
            layer("relu1", 18, "conv1", "conv1"),
            layer("pool1", 17, "conv1", "pool1", pool),
            layer("norm1", 15, "pool1", "norm1", write.bytes_field(18, write.integer_field(1, 3))),
            layer(
                "fc8",
                14,
                "norm1",
                "fc8",
                write.bytes_field(17, write.integer_field(1, 2)),
                old_blob(2, 16),
                old_blob(2),
            ),
            layer("prob", 20, "fc8", "prob"),
            write.bytes_field(3, "data"),
            *(write.integer_field(4, size) for size in (10, 3, 12, 12)),
        ]
    )


def caffe_seeds() -> Iterator[Seed]:
    yield Seed("caffe", "net.caffemodel", caffe_network())
    yield Seed("caffe", "branches.caffemodel", caffe_branches())
    yield Seed("caffe", "old.caffemodel", caffe_old_network())
    yield Seed("caffe", "mean.binaryproto", blob(1, 3, 8, 8))


def text_seeds() -> Iterator[Seed]:
    """A definition of the same network in Caffe's newer form and in the older one."""
    yield Seed("text", "net.prototxt", PROTOTXT.encode())
    old = PROTOTXT.replace("layer {", "layers {").replace("InnerProduct", "INNER_PRODUCT")
    yield Seed("text", "old.prototxt", re.sub(r'type: "([A-Z]\w+)"', lambda m: f"type: {m[1].upper()}", old).encode())


def image_seeds() -> Iterator[Seed]:
    """A small photograph in the formats that people have."""
    from PIL import Image

    with Image.open(Path(numpyvgg.__file__).parent / "data" / "eileen_collins.jpg") as photograph:
        small = photograph.convert("RGB").resize((96, 72))
    exif = Image.Exif()
    exif[0x0112] = 6
    modes: dict[str, tuple[str, ...]] = {
        "JPEG": ("RGB", "L", "CMYK"),
        "PNG": ("RGB", "RGBA", "P", "I;16", "1"),
        "WEBP": ("RGB", "RGBA"),
        "TIFF": ("RGB", "L", "CMYK", "F"),
        "GIF": ("P",),
        "BMP": ("RGB", "1"),
        "JPEG2000": ("RGB",),
        "PPM": ("RGB",),
        "ICO": ("RGBA",),
        "TGA": ("RGB",),
    }
    for kind, names in modes.items():
        for mode in names:
            file = io.BytesIO()
            with contextlib.suppress(OSError, KeyError):  # a Pillow without that format
                more = {"exif": exif} if kind in ("JPEG", "PNG", "WEBP") else {}
                small.convert("L" if mode == "I;16" else "RGB").convert(mode).save(file, kind, **more)
                yield Seed("image", f"{mode.replace(';', '')}.{kind.lower()}", file.getvalue())


def golden_seeds() -> Iterator[Seed]:
    """The files of a folder of golden tensors; each is changed in a copy of the folder."""
    x = np.random.default_rng(0).uniform(0, 255, (1, 3, 224, 224)).astype(np.float32)
    with tempfile.TemporaryDirectory() as temporary:
        write_golden(golden_model(), x, temporary)
        for file in sorted(Path(temporary).rglob("*.*")):
            if file.is_file() and file.stat().st_size < 1_000_000:
                yield Seed("golden", str(file.relative_to(temporary)), file.read_bytes())


def golden_model() -> numpyvgg.OnnxModel:
    return numpyvgg.read_onnx(standin_model(LAYOUTS["published"], configuration="A", width=1 / 64, classes=5))


# ---------------------------------------------------------------------- changes

#: message -> field number -> the message in it; what is not listed is a number, a text or bytes
_PARAMETERS = dict.fromkeys((100, 101, 104, 106, 108, 117, 118, 121, 123, 125, 143), "any")
MESSAGES: dict[str, dict[int, str]] = {
    "model": {7: "graph", 8: "any", 14: "any"},
    "graph": {1: "node", 5: "tensor", 11: "value", 12: "value", 13: "value"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph"},
    "value": {2: "type"},
    "type": {1: "array"},
    "array": {2: "shape"},
    "shape": {1: "any"},
    "tensor": {13: "any"},
    "net": {100: "layer", 2: "layer", 8: "any"},
    "layer": {**_PARAMETERS, 6: "blob", 7: "blob"},
    "blob": {7: "any"},
}
NUMBERS = [
    0,
    1,
    2,
    3,
    4,
    7,
    16,
    64,
    65,
    255,
    1000,
    -1,
    -2,
    -3,
    2**15,
    2**31 - 1,
    2**31,
    2**32,
    2**62,
    2**63 - 1,
    -(2**63),
]
TEXTS = [
    "",
    "x",
    "\x1b[31m",
    "a\nb",
    "\0",
    "../x",
    "NOTSET",
    "SAME_UPPER",
    "VALID",
    "ü",
    "\u202e",
    "nearest",
    "x" * 5000,
]
Field = list[Any]  # [number, wire type, value]


def parse(data: bytes) -> list[Field] | None:
    """A message's fields; None where it is none."""
    fields: list[Field] = []
    source = Source("<fuzz>", data)
    try:
        message = wire.Message(source, "", [])
        position = 0
        while position < len(data):
            key, position = message._varint(position, len(data))
            number, kind, value = key >> 3, key & 7, b""  # type: int, int, Any
            if kind == wire.VARINT:
                value, position = message._varint(position, len(data))
            elif kind in (wire.FIXED32, wire.FIXED64, wire.LENGTH):
                size = {wire.FIXED32: 4, wire.FIXED64: 8}.get(kind, 0)
                if kind == wire.LENGTH:
                    size, position = message._varint(position, len(data))
                value, position = data[position : position + size], position + size
                if len(value) != size:
                    return None
            else:
                return None
            fields.append([number, kind, value])
    except NumpyVggError:
        return None
    return fields


def serialize(fields: list[Field]) -> bytes:
    parts = []
    for number, kind, value in fields:
        head = write.varint(number << 3 | kind)
        if kind == wire.VARINT:
            parts.append(head + write.varint(value))
        else:
            parts.append(head + (write.varint(len(value)) if kind == wire.LENGTH else b"") + bytes(value))
    return b"".join(parts)


class Changes:
    """The changes of one seed of the random numbers.

    Parameters
    ----------
    seeds : dict of str to list of Seed
        By kind.
    seed : int
    """

    def __init__(self, seeds: dict[str, list[Seed]], seed: int):
        self.seeds, self.seed = seeds, seed
        self.names = sorted(
            {name for s in seeds.get("onnx", []) for name in re.findall(rb"[A-Z][A-Za-z]{2,20}", s.data)}
        )
        self.layers = [
            kind.encode() for kind in ("Convolution", "Pooling", "LRN", "Concat", "Slice", "Eltwise", "Scale")
        ]
        self.layers += [kind.encode() for kind in ("BatchNorm", "PReLU", "ELU", "Reshape", "Power", "Flatten", "Split")]

    def __getitem__(self, index: int) -> tuple[Seed, bytes]:
        """Number `index`: what was changed, and what it became."""
        rng = random.Random(f"{self.seed} {index}")
        kinds = [kind for kind in ("onnx", "caffe", "text", "image", "golden") if self.seeds.get(kind)]
        weights = {"onnx": 70, "caffe": 8, "text": 7, "image": 10, "golden": 5}
        kind = rng.choices(kinds, [weights[k] for k in kinds])[0]
        seed = rng.choice(self.seeds[kind])
        data = seed.data
        for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 5))):
            data = self._change(seed, data, rng)
        return seed, data

    def _change(self, seed: Seed, data: bytes, rng: random.Random) -> bytes:
        if rng.random() < 0.3 or seed.kind == "image":
            return blind(data, rng)
        if seed.kind == "text":
            return self._text(data, rng)
        roots = {"onnx": "model", "caffe": "blob" if "mean" in seed.name else "net", "golden": "tensor"}
        if seed.name.endswith(".npz"):
            return blind(data, rng)
        return self._message(data, roots[seed.kind], rng)

    def _message(self, data: bytes, kind: str, rng: random.Random) -> bytes:
        """Change one field somewhere in a message."""
        fields = parse(data)
        if not fields:
            return blind(data, rng)
        inner = [
            i for i, (number, wire_type, _) in enumerate(fields) if wire_type == 2 and number in MESSAGES.get(kind, {})
        ]
        if inner and rng.random() < 0.85:
            i = rng.choice(inner)
            fields[i][2] = self._message(fields[i][2], MESSAGES[kind][fields[i][0]], rng)
            return serialize(fields)
        i = rng.randrange(len(fields))
        action = rng.choice(("value", "value", "value", "value", "drop", "double", "move", "renumber", "take"))
        if action == "value":
            self._value(fields, i, kind, rng)
        elif action == "drop":
            del fields[i]
        elif action == "double":
            fields[i:i] = [list(fields[i])] * rng.choice((1, 1, 2, 70))
        elif action == "move":
            fields.insert(rng.randrange(len(fields)), fields.pop(i))
        elif action == "renumber":
            fields[i][0] = rng.choice((fields[i][0] + 1, rng.randrange(1, 21), rng.randrange(1, 150)))
        else:
            known = self.seeds.get("caffe" if kind in ("net", "layer", "blob") else "onnx") or next(
                iter(self.seeds.values())
            )
            other = parse(rng.choice(known).data) or []
            donors = [field for field in other if field[1] == 2] or [fields[i]]
            graph = parse(rng.choice(donors)[2]) or fields
            fields.insert(i, list(rng.choice(graph)))
        return serialize(fields)

    def _value(self, fields: list[Field], i: int, kind: str, rng: random.Random) -> None:
        """Another value in a field's own form."""
        _, wire_type, value = fields[i]
        if wire_type == wire.VARINT:
            fields[i][2] = rng.choice((rng.choice(NUMBERS), value + rng.choice((-1, 1)), rng.randrange(20)))
        elif wire_type in (wire.FIXED32, wire.FIXED64):
            number = rng.choice((0.0, -1.0, 1e-5, 1e30, float("nan"), float("inf"), -float("inf"), rng.gauss(0, 1)))
            fields[i][2] = struct.pack("<f" if wire_type == wire.FIXED32 else "<d", number)
        else:
            texts = [field[2] for field in fields if field[1] == wire.LENGTH]
            if kind in ("node", "layer") and rng.random() < 0.4:
                fields[i][2] = rng.choice(self.names if kind == "node" and self.names else self.layers)
            else:
                mutated = blind(value, rng) if value else b"x"
                fields[i][2] = rng.choice(
                    (rng.choice(TEXTS).encode(), rng.choice(texts), mutated, value[: len(value) // 2])
                )

    @staticmethod
    def _text(data: bytes, rng: random.Random) -> bytes:
        """Change one word of a text."""
        words = re.findall(rb"\s+|[\w.]+|\"[^\"]*\"|.", data)
        if not words:
            return data
        i = rng.randrange(len(words))
        action = rng.randrange(5)
        if action == 0:
            del words[i]
        elif action == 1:
            words[i:i] = [words[i]] * rng.choice((1, 2, 300))
        elif action == 2:
            words[i] = rng.choice(
                [*(str(number).encode() for number in NUMBERS), b"{", b"}", b"<", b'"', b"'", b":", b"1e999"]
            )
        elif action == 3:
            words[i] = rng.choice(words)
        else:
            words[i] = rng.choice(
                (b"nan", b"inf", b"true", b"MAX", b"\xff", b"\0", b"#", b'"\\x1b[31m"', b"0x7fffffffffffffff")
            )
        return b"".join(words)


def blind(data: bytes, rng: random.Random) -> bytes:
    """Change bytes without a thought."""
    changed = bytearray(data or b"\0")
    at, size = rng.randrange(len(changed)), min(rng.choice((1, 2, 4, 16, 256)), len(changed))
    action = rng.randrange(6)
    if action == 0:
        changed[at] ^= 1 << rng.randrange(8)
    elif action == 1:
        changed[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
    elif action == 2:
        del changed[at : at + size]
    elif action == 3:
        changed[at:at] = changed[at : at + size] * rng.choice((1, 1, 1, 50))
    elif action == 4:
        changed[at : at + size] = rng.randbytes(size)
    else:
        del changed[at:]
    return bytes(changed)


# ---------------------------------------------------------------------- judging one file


class Judge:
    """Opens files of each kind, and uses what it gets.

    Parameters
    ----------
    folder : path
        For what has to lie in a file.
    stage : callable
        Told what is being done, so that a death has a place.
    """

    def __init__(self, folder: Path, stage: Callable[[str], None]):
        self.folder, self.stage = folder, stage
        self.golden_model = golden_model()
        self.compare: Callable[[], str] | None = None  # what is left to do when the package has answered
        self.weights = folder / "net.caffemodel"
        self.weights.write_bytes(caffe_network())
        self.runtime: Any = None
        with contextlib.suppress(ImportError):
            import onnxruntime

            onnxruntime.set_default_logger_severity(4)
            self.runtime = onnxruntime

    def __call__(self, kind: str, name: str, data: bytes) -> list[str]:
        """What became of a file, as words to be counted; exceptions go to the caller."""
        path = self.folder / f"changed-{Path(name).name}"
        self.compare = None
        self.stage("read")
        if kind == "onnx":
            return self._onnx(numpyvgg.read_onnx(data), data)
        if kind == "caffe":
            path.write_bytes(data)
            if "mean" in name:
                read_mean(path)
                return ["read"]
            return self._onnx(read_caffe(path), None)
        if kind == "text":
            path.write_bytes(data)
            return self._onnx(read_caffe(self.weights, path), None)
        if kind == "image":
            path.write_bytes(data)
            image = load_image(path)
            self.stage("run")
            to_tensor(image)
            return ["read", "ran"]
        target = self.folder / "golden" / name
        whole = target.read_bytes()
        try:
            target.write_bytes(data)
            read_golden(self.golden_model, self.folder / "golden")
        finally:
            target.write_bytes(whole)
        return ["read"]

    def _onnx(self, model: numpyvgg.OnnxModel, data: bytes | None) -> list[str]:
        words = ["read"]
        for name in model.initializers:
            _ = model.initializers[name]
        self.stage("vgg")
        try:
            numpyvgg.VGG.from_onnx(model)
            words.append("VGG")
        except NumpyVggError as error:
            check(error)
        self.stage("session")
        feeds, ours = {}, None
        try:
            session = numpyvgg.InferenceSession(model)
            words.append("session")
            feeds = {value.name: feed(value) for value in session.get_inputs()}
            self.stage("run")
            ours = session.run(None, feeds)
            words.append("ran")
        except NumpyVggError as error:
            check(error)
            words.append("refused")
        if data is not None and self.runtime is not None and ours is not None:
            answers = ours
            self.compare = lambda: self._compare(data, feeds, answers)
        return words

    def _compare(self, data: bytes, feeds: dict[str, np.ndarray], ours: list[Any]) -> str:
        """Whether ONNX Runtime says the same."""
        options = self.runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        try:
            session = self.runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
            theirs = session.run(None, {v.name: feeds[v.name] for v in session.get_inputs()})
        except Exception as error:
            return "ONNX Runtime has no such operator" if "NOT_IMPLEMENTED" in str(error) else "ONNX Runtime refuses"
        return "equal" if all(map(agree, ours, theirs)) else self._explain(data, feeds, ours)

    def _explain(self, data: bytes, feeds: dict[str, np.ndarray], ours: list[Any]) -> str:
        """Why the two differ, where that can be told: a third opinion is ONNX's own reference."""
        import onnx
        from onnx.reference import ReferenceEvaluator

        try:
            model = onnx.load_from_string(data)
            if any(node.op_type == "Dropout" for node in model.graph.node):
                return "differs: Dropout in training is random"
            if any(map(leaves_gaps, model.graph.node)):
                return "differs: SAME, and strides beyond the window: ONNX Runtime begins inside the image"
            third = ReferenceEvaluator(model).run(None, feeds)
        except Exception:
            return "differs"
        return "differs: ONNX's reference says what this package says" if all(map(agree, ours, third)) else "differs"


def leaves_gaps(node: Any) -> bool:
    """Whether windows that `auto_pad` places leave pixels between them.

    The specification's sum of pads is then below zero. TensorFlow, where SAME comes from, and this package take 0 and
    begin at the first pixel; ONNX Runtime begins inside the image for averages and convolutions (by two rules), and
    refuses MaxPool.
    """
    at = {attribute.name: attribute for attribute in node.attribute}
    if not {"auto_pad", "strides", "kernel_shape"} <= set(at) or not at["auto_pad"].s.startswith(b"SAME"):
        return False
    return any(map(operator.gt, at["strides"].ints, at["kernel_shape"].ints))


def feed(value: Any) -> np.ndarray:
    """Random numbers for an input; a size that the file leaves open is 2."""
    types = {"float": "f4", "double": "f8", "float16": "f2", "bool": "?", "string": "O"}
    name = re.sub(r"^tensor\((.*)\)$", r"\1", value.type or "")
    dtype = np.dtype(types.get(name, name if re.fullmatch(r"u?int\d+", name) else "f4"))
    shape = [size if isinstance(size, int) and size >= 0 else 2 for size in value.shape or ()]
    if np.prod([size or 1 for size in shape], dtype=float) > 1e6 or len(shape) > 32:
        raise numpyvgg.ArgumentError("too large an input to be tried")
    rng = np.random.default_rng(0)
    if dtype.kind == "O":
        return np.full(shape, "text", object)
    if dtype.kind == "f":
        return rng.standard_normal(shape).astype(dtype)
    return rng.integers(0, 2 if dtype.kind == "b" else 5, shape).astype(dtype)


def agree(ours: Any, theirs: Any) -> bool:
    """Whether two answers are the same up to rounding."""
    if not isinstance(theirs, np.ndarray) or not isinstance(ours, np.ndarray):
        return repr(ours) == repr(theirs)
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return False
    if ours.dtype.kind not in "fc":
        return bool(np.array_equal(ours, theirs))
    tolerance = {2: 2e-2, 4: 1e-3, 8: 1e-6}[ours.dtype.itemsize]
    with np.errstate(all="ignore"):
        return bool(np.allclose(ours, theirs, rtol=tolerance, atol=tolerance, equal_nan=True))


class Unescaped(Exception):
    """A message with control characters."""


def check(error: NumpyVggError) -> None:
    """What a refusal must be: this package's own, in one printable line."""
    if isinstance(error, InternalError):
        raise error
    if not all(character.isprintable() or ord(character) > 127 for character in str(error)):
        raise Unescaped(repr(str(error)))


# ---------------------------------------------------------------------- the child


def memory() -> int:
    """The most memory that this process has had since the last call, in bytes; 0 where the system does not tell."""
    try:
        status = Path("/proc/self/status").read_text()
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return 0
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) * 1024  # type: ignore[index]


def outcome(judge: Judge, kind: str, name: str, data: bytes) -> tuple[list[str], str]:
    """Words to be counted for one file, and the traceback of what should not have been."""
    warnings.simplefilter("ignore")
    memory()
    before, begin, details = memory(), time.process_time(), ""
    try:
        words = judge(kind, name, data)
    except NumpyVggError as error:
        words = ["refused"]
        try:
            check(error)
        except InternalError:
            words, details = ["foreign"], traceback.format_exc()
        except Unescaped:
            words, details = ["unescaped"], traceback.format_exc()
    except MemoryError:
        words = ["out of memory"]
    except Unescaped:
        words, details = ["unescaped"], traceback.format_exc()
    except Exception:
        words, details = ["foreign"], traceback.format_exc()
    if time.process_time() - begin > SLOW:
        words.append("slow")
    if memory() - before > len(data) + LARGE:
        words.append("large")
    if judge.compare is not None:
        judge.stage("onnxruntime")
        words.append(judge.compare())
    return words, details


SEEDS = {"onnx": onnx_seeds, "caffe": caffe_seeds, "text": text_seeds, "image": image_seeds, "golden": golden_seeds}


def collect_seeds(kinds: Sequence[str]) -> dict[str, list[Seed]]:
    return {kind: list(SEEDS[kind]()) for kind in SEEDS if kind in kinds}


def write_golden_folder(seeds: Sequence[Seed], folder: Path) -> None:
    for seed in seeds:
        path = folder / "golden" / seed.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(seed.data)


def child(args: argparse.Namespace) -> None:
    """Judge one file after another; each line of the output says what became of one, or what is being done."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        seeds = pickle.loads(args.seeds.read_bytes())
        write_golden_folder(seeds.get("golden", []), folder)
        changes = Changes(seeds, args.seed)
        stage = ""

        def told(what: str) -> None:
            nonlocal stage
            stage = what
            os.pwrite(3, what.ljust(16).encode(), 0)

        judge = Judge(folder, told)
        pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
        resource.setrlimit(resource.RLIMIT_AS, (pages * 4096 + ROOM, resource.RLIM_INFINITY))
        for index in range(args.start, args.start + args.count):
            seed, data = changes[index]
            told("start")
            words, details = outcome(judge, seed.kind, seed.name, data)
            print(json.dumps([index, seed.kind, words, stage, details]), flush=True)


# ---------------------------------------------------------------------- the parent


class Campaign:
    """Children one after another, and what they found, in a folder.

    Attributes
    ----------
    counts : Counter
        By kind and word.
    """

    def __init__(self, folder: Path, seed: int, kinds: Sequence[str]):
        self.folder, self.seed = folder, seed
        self.next, self.counts = 0, collections.Counter[str]()
        self.state = folder / f"state-{seed}.json"
        folder.mkdir(parents=True, exist_ok=True)
        self.seeds = folder / "seeds.pickle"
        self.seeds.write_bytes(pickle.dumps(collect_seeds(kinds)))
        if self.state.exists():
            known = json.loads(self.state.read_text())
            self.next, self.counts = known["next"], collections.Counter(known["counts"])

    def run(self, seconds: float, count: int) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.next < count:
            self._child(end, min(count - self.next, 5000))
            self._save()

    def _child(self, end: float, count: int) -> None:
        """One child, until it is through, dies, hangs, or the time is up."""
        command = [sys.executable, __file__, "--child", "--seed", str(self.seed), "--seeds", str(self.seeds)]
        command += ["--start", str(self.next), "--count", str(count)]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        with tempfile.TemporaryFile() as stage, tempfile.TemporaryFile("w+") as errors:

            def third() -> None:
                os.dup2(stage.fileno(), 3)

            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=errors, env=environment, preexec_fn=third, pass_fds=(3,)
            )
            assert process.stdout is not None
            first = self.next
            verdict = self._listen(process, end)
            process.kill()
            process.wait()
            if verdict == "time is up" or (verdict == "ended" and self.next >= first + count):
                return
            doing = os.pread(stage.fileno(), 16, 0).decode().strip()
            errors.seek(0)
            if not doing:
                raise SystemExit(f"the child did not start:\n{errors.read()}")
            word = "hang" if verdict == "hang" else "death"
            word = f"{word} of ONNX Runtime" if doing == "onnxruntime" else word
            self._count(self.next, "?", [word], doing, errors.read()[-2000:])

    def _listen(self, process: subprocess.Popen[bytes], end: float) -> str:
        import selectors

        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)  # type: ignore[arg-type]
            quiet, rest, begins = time.monotonic(), b"", True
            while time.monotonic() < end:
                if selector.select(1.0):
                    chunk = os.read(process.stdout.fileno(), 1 << 16)  # type: ignore[union-attr]
                    if not chunk:
                        return "ended"
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        self._count(*json.loads(line))
                    quiet, begins = time.monotonic(), False
                elif time.monotonic() - quiet > HANGS * (10 if begins else 1):
                    return "hang"
        return "time is up"

    def _count(self, index: int, kind: str, words: list[str], stage: str, details: str) -> None:
        self.next = index + 1
        self.counts["files"] += 1
        self.counts.update([f"{kind}: files", *words])
        if self.next % 500 == 0:
            self._save()
        for word in words:
            if word in (*FAULTS, "differs", "out of memory"):
                with (self.folder / "found.jsonl").open("a") as file:
                    file.write(json.dumps([self.seed, index, kind, word, stage, details]) + "\n")

    def _save(self) -> None:
        part = self.state.with_suffix(".part")
        part.write_text(json.dumps({"next": self.next, "counts": self.counts}, indent=1))
        part.replace(self.state)


KINDS = {".onnx": "onnx", ".caffemodel": "caffe", ".binaryproto": "caffe", ".prototxt": "text"}


def replay(paths: Sequence[str]) -> collections.Counter[str]:
    """Judge files as they are, each in a child process of its own."""
    counts = collections.Counter[str]()
    files = [file for path in map(Path, paths) for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
    for file in files:
        command = [sys.executable, __file__, "--child", "--replay", str(file)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        words, details = json.loads(run.stdout) if run.returncode == 0 else (["death"], run.stderr)
        counts.update(["files", *words])
        if set(words) & set(FAULTS):
            print(f"{file}: {', '.join(words)}\n{details[-2000:]}")
    return counts


def replay_one(path: Path) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        judge = Judge(Path(temporary), lambda stage: None)
        resource.setrlimit(resource.RLIMIT_AS, (ROOM + (1 << 30), resource.RLIM_INFINITY))
        print(json.dumps(outcome(judge, KINDS.get(path.suffix, "image"), path.name, path.read_bytes())))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="where results go; goes on where it stopped")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--count", type=int, default=10**9)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    parser.add_argument("--kinds", default="onnx,caffe,text,image,golden")
    parser.add_argument("--show", type=int, metavar="NUMBER", help="one change of this seed; writes it to a file")
    parser.add_argument("--replay", nargs="+", metavar="PATH", help="files or folders to be judged as they are")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--seeds", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--start", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        replay_one(Path(*args.replay)) if args.replay else child(args)
        return 0
    if args.show is not None:
        return show(args)
    if args.replay:
        counts = replay(args.replay)
    else:
        print(f"seed {args.seed}", flush=True)
        with tempfile.TemporaryDirectory() as temporary:
            campaign = Campaign(args.folder or Path(temporary), args.seed, args.kinds.split(","))
            campaign.run(args.seconds, args.count)
            counts = campaign.counts
            found = (args.folder or Path(temporary)) / "found.jsonl"
            if found.exists() and any(counts[word] for word in FAULTS):
                print(found.read_text()[-20_000:])
    print(table(["outcome", "files"], [[word, f"{count:,}"] for word, count in counts.most_common()], "<>"))
    return int(any(counts[word] for word in FAULTS))


def show(args: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        seeds = collect_seeds(args.kinds.split(","))
        write_golden_folder(seeds.get("golden", []), folder)
        seed, data = Changes(seeds, args.seed)[args.show]
        path = Path(f"changed-{args.seed}-{args.show}-{Path(seed.name).name}").with_suffix(f".{seed.kind}")
        path.write_bytes(data)
        print(f"{seed.kind} {seed.name} -> {path}, {len(data)} bytes", flush=True)
        words, details = outcome(Judge(folder, lambda stage: print(stage, flush=True)), seed.kind, seed.name, data)
        print(", ".join(words), details, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
