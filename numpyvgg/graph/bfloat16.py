"""Which tensors of a graph are bfloat16: a float32 without its lower half, which NumPy has no type for.

Such a tensor is an array of float32 here, and what computes it rounds once, at the end: nodes compute in float32, as
processors with instructions for bfloat16 do in their sums.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..files.onnx import Node, OnnxModel
from ..files.tensor import BFLOAT16
from ..operators.signatures import SIGNATURES


def bfloat16_tensors(model: OnnxModel, nodes: Sequence[Node]) -> frozenset[str]:
    """The names, from what inputs and Cast nodes say, and from the types that operators' inputs and outputs share."""
    found = {value.name for value in model.inputs if value.dtype == "bfloat16"}
    if not found and not any(node.op_type == "Cast" and node.attributes.get("to") == BFLOAT16 for node in nodes):
        return frozenset()
    found |= {name for name in model.initializers if model.initializers.stored(name).bfloat16}
    for node in nodes:
        row = SIGNATURES.get(node.op_type)
        if node.op_type == "Cast":
            found.update(node.outputs if node.attributes.get("to") == BFLOAT16 else ())
        elif row is not None:
            words = {row.slot(row.inputs, i).word for i, name in enumerate(node.inputs) if name in found}
            found |= {name for i, name in enumerate(node.outputs) if row.slot(row.outputs, i).word in words}
    return frozenset(found - {""})
