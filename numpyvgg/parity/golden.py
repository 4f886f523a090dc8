"""Golden tensors: every layer's input and output in files that other people's tools read.

ONNX keeps the test data of its operators and models in folders ``test_data_set_0``, ``test_data_set_1``, ... of
``input_0.pb`` and ``output_0.pb``, one TensorProto each. Written here are one such folder for the network and one for
each layer, and the same tensors once more as one ``.npz``::

    DIR/test_data_set_0/input_0.pb  output_0.pb
    DIR/conv1_1/test_data_set_0/input_0.pb  output_0.pb
    DIR/test_data_set_0.npz                             every tensor under its name in the graph

Each output is what the layer makes of the input beside it, computed in float64 and rounded once to float32: no float32
runtime can be nearer to the exact layer.
"""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ArgumentError, MissingExtraError, ModelFormatError, NumpyVggError
from ..files.cache import written_whole
from ..files.external import ExternalFiles
from ..files.onnx import OnnxModel, read_onnx
from ..files.source import Source, open_plain, path_name
from ..files.tensor import read_tensor
from ..files.wire import Message
from ..files.write import tensor_proto
from ..text import progress_bar
from .compare import ModelLike
from .graph import ParityGraph
from .operations import operation


def read_tensor_proto(path: str | os.PathLike[str]) -> tuple[str, np.ndarray]:
    """Name and array of a file that holds a TensorProto.

    Raises
    ------
    ModelFormatError
        There is no such file, or something else in it.
    """
    tensor = read_tensor(Message.root(Source.open(path), "TensorProto"), ExternalFiles(path))
    return tensor.name, tensor.array()


def write_golden(model: ModelLike, x: np.ndarray, folder: str | os.PathLike[str]) -> Path:
    """Write every layer's input and output for a batch of images, one data set for each.

    Parameters
    ----------
    model : path, bytes, onnx.ModelProto or OnnxModel
    x : ndarray [N, ...]
    folder : path
        Made where it does not exist; a full-size network takes 330 MB an image.

    Returns
    -------
    Path
        The folder.
    """
    model = model if isinstance(model, OnnxModel) else read_onnx(model)
    graph, folder = ParityGraph(model), Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for i in progress_bar(range(len(x)), unit="image", leave=False):
            _write_data_set(graph, x[i : i + 1].astype(np.float32), folder, f"test_data_set_{i}")
    except OSError as error:
        raise ArgumentError(f"{error.filename or folder}: cannot be written: {error.strerror or error}") from None
    return folder


def _write_data_set(graph: ParityGraph, x: np.ndarray, folder: Path, data_set: str) -> None:
    outputs = {output.name for output in graph.model.outputs}
    values, added = graph.feed(x), set()
    with written_whole(folder / f"{data_set}.npz") as file, zipfile.ZipFile(file, "w") as archive:
        _write(folder / data_set / "input_0.pb", graph.inputs[0], x)
        for node, name, value in graph.forward(x, np.float64, stored=np.float32):
            if not operation(graph.model, node).moves and node.inputs[0] in values:
                of_node = folder / re.sub(r"[^\w.-]+", "_", graph.name(node)).lstrip(".") / data_set
                for side, tensor, array in (("input", node.inputs[0], values[node.inputs[0]]), ("output", name, value)):
                    _write(of_node / f"{side}_0.pb", tensor, array)
                    if tensor not in added:
                        _add(archive, tensor, array)
                        added.add(tensor)
            if name in outputs:
                _write(folder / data_set / "output_0.pb", name, value)
            values[name] = value
            graph.forget(values, node)


def _write(path: Path, name: str, array: np.ndarray) -> None:
    with written_whole(path) as file:
        file.write(tensor_proto(name, array))


def _add(archive: zipfile.ZipFile, name: str, array: np.ndarray) -> None:
    """Add an array to an .npz; `numpy.savez` wants them all in memory at once, and none called "file"."""
    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        np.lib.format.write_array(file, array)


# ---------------------------------------------------------------------- reading


def read_golden(model: OnnxModel, folder: str | os.PathLike[str]) -> list[dict[str, np.ndarray]]:
    """Read golden tensors, made by this package or by another program.

    Parameters
    ----------
    model : OnnxModel
        Its names are what tensors are known by.
    folder : path
        Of ``test_data_set_*`` folders, ``.npz`` and ``.safetensors`` files, and ``.npy`` files that are called after
        their tensors, at any depth; or a single one of those files. A TensorProto without a name is the network's input
        or output at the top, and that of the node whose name the folder has below.

    Returns
    -------
    list of dict
        For each data set, arrays by the names of tensors (or nodes); the network's input is among them.

    Raises
    ------
    ArgumentError
        There are no such files, the network's input is not among them, or two files disagree about a tensor.
    ModelFormatError
        A file is damaged.
    """
    folder = Path(path_name(folder))
    files = [folder] if folder.suffix in _READERS else sorted(p for p in folder.rglob("*") if p.suffix in _READERS)
    graph = ParityGraph(model)
    sets: dict[str, dict[str, np.ndarray]] = {}
    for path in files:
        tensors = sets.setdefault(_data_set(path), {})
        for name, array in _READERS[path.suffix](graph, folder, path).items():
            if not np.array_equal(tensors.setdefault(name, array), array, equal_nan=True):
                raise ArgumentError(f"{path}: {name!r} has other values than in the files before it in {folder}")
    if not sets:
        raise ArgumentError(f"{folder}: no golden tensors: no {', '.join(_READERS)}")
    for name, tensors in sets.items():
        if missing := [one for one in graph.inputs if one not in tensors]:
            raise ArgumentError(f"{folder}: {name} does not hold the network's input {missing[0]!r}")
    return [sets[name] for name in sorted(sets, key=lambda name: (len(name), name))]


def _data_set(path: Path) -> str:
    """``test_data_set_3`` for what lies in such a folder or is called so; other files are the first one's."""
    for part in reversed(path.parts):
        if match := re.fullmatch(r"(test_data_set_\d+)(\.\w+)?", part):
            return match[1]
    return "test_data_set_0"


def _read_npz(graph: ParityGraph, folder: Path, path: Path) -> Mapping[str, np.ndarray]:
    arrays = _read_numpy(path)
    if not isinstance(arrays, dict) or not all(isinstance(array, np.ndarray) for array in arrays.values()):
        raise ModelFormatError(f"{path}: not an .npz of arrays")
    return arrays


def _read_npy(graph: ParityGraph, folder: Path, path: Path) -> Mapping[str, np.ndarray]:
    array = _read_numpy(path)
    if not isinstance(array, np.ndarray):
        raise ModelFormatError(f"{path}: not an .npy of one array")
    return {path.stem: array}


def _read_numpy(path: Path) -> Any:
    try:
        with os.fdopen(open_plain(path), "rb") as file:
            found = np.load(file)
            return {name: found[name] for name in found.files} if hasattr(found, "files") else found
    except MemoryError:
        raise ModelFormatError(f"{path}: says that its arrays have more bytes than this machine has memory") from None
    except Exception as error:  # zipfile, zlib and NumPy have a dozen kinds between them
        reason = f": {error}" if isinstance(error, OSError) else ""
        raise ModelFormatError(f"{path}: not an {path.suffix} of arrays{reason}") from None


def _read_safetensors(graph: ParityGraph, folder: Path, path: Path) -> Mapping[str, np.ndarray]:
    try:
        from safetensors.numpy import load
    except ImportError:
        raise MissingExtraError(f"{path}: reading it needs safetensors: pip install safetensors") from None
    try:
        return dict(load(bytes(Source.open(path).data[:])))
    except (MemoryError, NumpyVggError):
        raise
    except Exception as error:  # its own, which derives from nothing in particular, and KeyError for bfloat16
        raise ModelFormatError(f"{path}: not tensors that NumPy has: {type(error).__name__}: {error}") from None


def _read_pb(graph: ParityGraph, folder: Path, path: Path) -> Mapping[str, np.ndarray]:
    name, array = read_tensor_proto(path)
    inputs, outputs = graph.inputs, [output.name for output in graph.model.outputs]
    if path.parent.parent != folder:
        layer = path.parent.parent.name
        nodes = [node for node in graph.nodes if layer in (graph.name(node), node.name, node.outputs[0])]
        inputs, outputs = [node.inputs[0] for node in nodes], [node.outputs[0] for node in nodes]
    match = re.fullmatch(r"(input|output)_(\d+)\.pb", path.name)
    if not name and match:
        names = inputs if match[1] == "input" else outputs
        name = names[int(match[2])] if int(match[2]) < len(names) else ""
    return {name: array} if name else {}


#: suffix -> (graph, folder, path) -> tensors by name
_READERS = {".npz": _read_npz, ".npy": _read_npy, ".pb": _read_pb, ".safetensors": _read_safetensors}
