"""One layer's output held against the exact one: its error as a share of the bound, and the verdict."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from ..files.onnx import Node, OnnxModel
from . import excuses, winograd
from .layer import FOLDABLE, Input, Layer, Value, as_dtype, evaluate, looked_through, root_mean_square, rounded_inputs
from .layouts import fit
from .operations import PRODUCTS, forward, operation, winograd_pads
from .precision import PRECISIONS, Precision
from .products import as_product
from .sums import Sums, look_at_sums

#: Verdicts that need no further explanation.
EXPLAINED = (
    "exact",
    "rounding",
    "like terms",
    "Winograd",
    "FFT",
    "Strassen",
    "fused",
    "alias",
    "end to end",
    "not exposed",
)
#: Verdicts that are neither: whatever came, the bound would have held.
UNDECIDED = ("cannot tell",)
#: Exponents e of a histogram's bins: errors from 2^(e-1) to 2^e of the bound; the first and the last are open.
BINS = range(-23, 9)
#: What a layer that is not explained is tried as: hint -> precision.
_SHORTER = {"bfloat16": PRECISIONS["bfloat16"], "float16 or TF32": PRECISIONS["float16"]}


@dataclass(frozen=True)
class Judgement:
    """How one output of a runtime compares with the exact one.

    Attributes
    ----------
    verdict : str
        ``exact``: equal, as it must be. ``rounding``: within the probable bound. ``like terms``: beyond it, but as far
        off as terms that round alike may be (`excuses`). ``Winograd``, ``FFT``, ``Strassen``: not a plain sum's errors,
        but those of that kernel in float32; `tile` says which Winograd. ``fused``: rounding, if the runtime folded the
        node into the one before it, and exposes what it did not use. ``alias``: rounding, but what is exposed is the
        ReLU that follows. ``worst case``: beyond the probable bound, within the worst case. ``wrong``: rounding in
        this precision cannot do this. ``unusual``: within the bound, but larger than float32's errors are (`sums`);
        ``one channel``: only one is. ``cannot tell``: within a bound that is as large as what it judges. ``end to
        end``: the same, but the error is no larger than that of passes of our own (`spread`); ``beyond the spread``:
        it is larger. ``not exposed``: nothing to compare.
    worst, probable : float
        The largest |error| / bound.
    beyond : int
        Elements beyond the probable bound.
    elements : int
    index : tuple of int
        Where |error| / bound is largest.
    theirs, exact : float
        The values there.
    ulps : float
        Their distance in units in the last place of the exact one.
    roundings : int
        n, of which the bounds are made; 0 where the output must be exact.
    tile : int
        m where the errors show the pattern of Winograd F(m x m, 3 x 3), whether or not the plain bound holds; else 0.
    sums : Sums, optional
        The errors' size at sampled outputs as a share of what `sums` allows, and what would be seen there.
    drift, limit : float
        Where no bound could decide: the error end to end as a multiple of that of our own passes, and the largest that
        chance explains (`spread`).
    hint : str
        What else was found out.
    histogram : ndarray of int
        Elements by the size of |error| / bound; see `BINS`.
    errors : ndarray [H, W], optional
        The largest |error| / bound at each pixel, of an output [N, C, H, W].
    """

    verdict: str
    worst: float = 0.0
    probable: float = 0.0
    beyond: int = 0
    elements: int = 0
    index: tuple[int, ...] = ()
    theirs: float = 0.0
    exact: float = 0.0
    ulps: float = 0.0
    roundings: int = 0
    tile: int = 0
    sums: Sums | None = None
    drift: float = 0.0
    limit: float = 0.0
    hint: str = field(default="", compare=False)
    histogram: np.ndarray = field(default_factory=lambda: np.zeros(len(BINS), np.int64), compare=False, repr=False)
    errors: np.ndarray | None = field(default=None, compare=False, repr=False)

    @property
    def explained(self) -> bool:
        return self.verdict in EXPLAINED

    @property
    def failed(self) -> bool:
        """Whether a difference was seen that rounding does not explain."""
        return self.verdict not in EXPLAINED + UNDECIDED


def judge(
    model: OnnxModel,
    node: Node,
    inputs: list[Input],
    theirs: np.ndarray | None,
    precision: Precision,
    output: int = 0,
    following: Node | None = None,
) -> tuple[Judgement, Value]:
    """Judge a node's output, given the runtime's own inputs to it.

    Parameters
    ----------
    inputs : list of Value (tensors), ndarray (what is fixed in the file) or None (left out)
    theirs : ndarray, float64, optional
        The runtime's output; None where it does not expose it.
    precision : Precision
        What the runtime computes in.
    output : int
        Which of the node's outputs.
    following : Node, optional
        The only node that reads it.

    Returns
    -------
    Judgement
    Value
        The output, for the nodes that follow.
    """
    layer = evaluate(model, node, inputs, precision, output, exposed=theirs is not None)
    if theirs is None or layer.exact.dtype.kind != "f":
        value = Value(layer.exact, layer.bound, layer.size, layer.origin)
        return Judgement("not exposed", roundings=layer.roundings), value
    theirs, remark = fit(theirs, layer.exact)
    if theirs.shape != layer.exact.shape:
        size, hint = layer.exact.size, f"its shape is {list(theirs.shape)}, not {list(layer.exact.shape)}"
        return Judgement("wrong", np.inf, np.inf, size, size, hint=hint), Value(layer.exact)
    judgement = judge_numbers(layer, theirs)
    if judgement.failed and node.op_type in FOLDABLE:
        judgement = _as_if_fused(layer, theirs, judgement)
    if judgement.failed and following is not None and following.op_type == "Relu":
        judgement = _as_alias(layer, theirs, judgement)
    hint = "; ".join(filter(None, (judgement.hint, remark)))
    return replace(judgement, hint=hint), Value(theirs, origin=layer.origin)


def judge_numbers(layer: Layer, theirs: np.ndarray) -> Judgement:
    """Hold an output to its bound, to the usual size of errors, and to other kernels' errors where it fails."""
    judgement = _look_for_like_terms(layer, theirs, _compare(layer, theirs))
    judgement = _look_at_sums(layer, theirs, judgement)
    judgement = _look_for_kernels(layer, theirs, judgement)
    product = layer.node.op_type in PRODUCTS
    if judgement.failed and product and layer.bound is not None and np.isfinite(theirs).all():
        judgement = replace(judgement, hint=_reduced_precision(layer, theirs))
    subnormal = 4 * (layer.roundings + 1) * float(np.finfo(np.float32).tiny)  # where zero is right, too
    bound, size = layer.bound, layer.size
    if judgement.explained and bound is not None and root_mean_square(bound.probable, layer.exact) >= size > subnormal:
        unknown = "" if operation(layer.model, layer.node).known else "no bound is known for this operator"
        judgement = replace(judgement, verdict="cannot tell", hint=unknown)
    return judgement


# ---------------------------------------------------------------------- what is exposed, and what was used


def _as_if_fused(layer: Layer, theirs: np.ndarray, judgement: Judgement) -> Judgement:
    """Judge an output once more as if the nodes before it, up to a product, had been computed along with it.

    Runtimes that fold a product and a sum into the convolution before them still show both when asked to, computed
    apart. What they show is then not what they used.
    """
    inputs = [looked_through(layer, array) for array in layer.given]
    if all(new is old for new, old in zip(inputs, layer.given, strict=True)):
        return judgement
    again = judge_numbers(evaluate(layer.model, layer.node, inputs, layer.precision), theirs)
    return replace(again, verdict="fused") if again.explained else judgement


def _as_alias(layer: Layer, theirs: np.ndarray, judgement: Judgement) -> Judgement:
    """Judge an output once more where the runtime shows the ReLU that follows: what that cut off is not judged."""
    if (theirs < 0).any():
        return judgement
    tolerance = 0.0 if layer.bound is None else layer.bound.probable
    again = judge_numbers(layer, np.where((theirs == 0) & (layer.exact <= tolerance), layer.exact, theirs))
    return replace(again, verdict="alias") if again.explained else judgement


# ---------------------------------------------------------------------- errors


def _compare(layer: Layer, theirs: np.ndarray) -> Judgement:
    """The verdict by numbers alone."""
    exact, stored = layer.exact, np.dtype(np.float64 if layer.precision.sums == np.float64 else np.float32)
    error = _error(theirs, exact, stored)
    if layer.bound is None:  # exact, but for what was flushed to zero
        flushed = np.where(theirs == 0, np.finfo(stored).tiny, 0.0)
        worst, probable = (_ratio(error, flushed) for _ in range(2))
    else:
        worst, probable = (_ratio(error, side) for side in layer.bound)
    index = np.unravel_index(int(probable.argmax()), error.shape) if error.size else ()
    largest_worst, largest_probable = float(worst.max(initial=0)), float(probable.max(initial=0))
    verdict = "exact" if layer.bound is None else "rounding"
    if largest_probable > 1:
        verdict = "worst case" if largest_worst <= 1 else "wrong"
    at, at_exact = (float(array[index]) if error.size else 0.0 for array in (theirs, exact))
    with np.errstate(all="ignore"):
        ulp = float(np.spacing(np.abs(np.asarray(at_exact, stored)))) if error.size else 1.0
    return Judgement(
        verdict=verdict,
        worst=largest_worst,
        probable=largest_probable,
        beyond=int((probable > 1).sum()),
        elements=error.size,
        index=tuple(map(int, index)),
        theirs=at,
        exact=at_exact,
        ulps=abs(at - at_exact) / ulp,
        roundings=layer.roundings,
        histogram=_histogram(probable),
        errors=probable.max(axis=(0, 1)).astype(np.float32) if probable.ndim == 4 and probable.size else None,
    )


def _histogram(ratio: np.ndarray) -> np.ndarray:
    """How many are in each of `BINS`; no error is the smallest."""
    with np.errstate(over="ignore", under="ignore"):
        exponents = (ratio.astype(np.float32).view(np.int32) >> 23) - 126  # as numpy.frexp counts them
    return np.bincount(np.clip(exponents, BINS[0], BINS[-1]).ravel() - BINS[0], minlength=len(BINS))


def _error(theirs: np.ndarray, exact: np.ndarray, stored: np.dtype) -> np.ndarray:
    """|theirs - exact|: 0 where both overflow alike or are both not a number, infinite where one is."""
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = exact.astype(stored)
        error = np.abs(theirs - exact)
        same = (np.isinf(theirs) & (theirs == rounded)) | (np.isnan(theirs) & np.isnan(exact))
    return np.where(same, 0.0, np.where(np.isnan(error), np.inf, error))


def _ratio(error: np.ndarray, bound: np.ndarray) -> np.ndarray:
    """error / bound: 0 where there is no error, infinite where there is one and none is allowed."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(error == 0, 0.0, error / bound)
    return np.where(np.isnan(ratio), np.inf, ratio)


def _look_at_sums(layer: Layer, theirs: np.ndarray, judgement: Judgement) -> Judgement:
    """Whether errors within the bound are as small as float32's usually are, of all channels and of each (`sums`)."""
    finite = np.isfinite(theirs).all() and np.isfinite(layer.exact).all()
    if layer.hidden or layer.precision.name != "float32" or not judgement.explained or not finite:
        return judgement
    product = as_product(layer.node, layer.arrays(np.float32))
    sums = look_at_sums(product, theirs - layer.exact, layer.exact) if product else None
    if sums is None:
        return judgement
    one = sums.of_channel > 1 >= sums.others
    verdict = "one channel" if one else "unusual" if max(sums.usual, sums.of_channel) > 1 else judgement.verdict
    return replace(judgement, verdict=verdict, sums=sums)


def _look_for_like_terms(layer: Layer, theirs: np.ndarray, judgement: Judgement) -> Judgement:
    """Whether errors beyond the probable bound are those of terms that round alike (`excuses`)."""
    if judgement.verdict != "worst case" or layer.bound is None or layer.precision.name != "float32":
        return judgement
    node, inputs = layer.product
    arrays, error = [as_dtype(array, np.float32) for array in inputs], np.abs(theirs - layer.exact)
    like = excuses.of_like_terms(node, arrays, error, layer.bound.probable)
    return replace(judgement, verdict="like terms") if like else judgement


def _look_for_kernels(layer: Layer, theirs: np.ndarray, judgement: Judgement) -> Judgement:
    """Hold errors that are not a plain sum's to those of other ways to compute the layer (`excuses`, `winograd`)."""
    if layer.bound is None or not np.isfinite(theirs).all() or layer.precision.name != "float32":
        return judgement  # the trials are float32's
    before = layer.inputs[0]
    if layer.node.op_type == "Relu" and isinstance(before, Value) and before.spread and before.origin:
        node, inputs = before.origin  # a convolution and its ReLU in one
    else:
        node, inputs = layer.node, layer.inputs
    arrays = [as_dtype(array, np.float32) for array in inputs]
    error = np.abs(theirs - layer.exact)
    if node.op_type == "Conv" and (node is layer.node or judgement.failed):
        terms = layer.bound.worst if layer.terms is None else layer.terms
        judgement = _look_for_winograd(node, arrays, error, terms, judgement)
    if judgement.verdict in ("wrong", "worst case") and (
        kernel := excuses.of_kernels(node, arrays, error, layer.exact)
    ):
        judgement = replace(judgement, verdict=kernel)
    return judgement


def _look_for_winograd(
    node: Node, arrays: list[np.ndarray | None], error: np.ndarray, terms: np.ndarray, judgement: Judgement
) -> Judgement:
    """Name the Winograd kernel whose pattern the errors show; beyond the plain bound, hold it to its own."""
    x, weight, bias = (*arrays, None)[:3]
    assert x is not None
    assert weight is not None
    pads = winograd_pads(node, x)
    if pads is None or not np.isfinite(x).all():
        return judgement
    tile = winograd.tile_size(error, terms) or 0
    sums = judgement.sums
    fault = sums is not None and judgement.verdict == "one channel" and sums.of_channel > winograd.FREEDOM
    if judgement.failed and not fault and (like := winograd.excuse(error, x, weight, bias, pads)):
        judgement, tile = replace(judgement, verdict="Winograd"), tile or like
    return replace(judgement, tile=tile)


def _reduced_precision(layer: Layer, theirs: np.ndarray) -> str:
    """Whether the same layer with everything rounded to a shorter significand explains the output."""
    assert layer.bound is not None
    fixed = [array for array in layer.inputs[2:] if isinstance(array, np.ndarray)]
    bias = max((float(np.abs(array).max()) for array in fixed), default=0.0)
    for name, shorter in _SHORTER.items():
        inputs = rounded_inputs(layer.node, layer.given, shorter)
        exact = forward(layer.model, layer.node, [as_dtype(array, np.float64) for array in inputs])
        # The result is rounded once more to be stored; a bias may have kept its float32.
        allowed = layer.bound.probable + shorter.roundoff * 1.01 * (np.abs(exact) + bias)
        if float(_ratio(_error(theirs, exact, np.dtype(np.float32)), allowed).max()) <= 1:
            return f"as if computed in {name}"
    return ""
