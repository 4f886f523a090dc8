"""Figures that others published, to stand beside one's own; each as its source has it.

The networks behind most of them were fine-tuned on the benchmark and are not public, so they say what has been reached
and not what these networks should reach.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..zoo import NETWORKS

OTHER_WEIGHTS = "other weights, not comparable as they stand"


@dataclass(frozen=True)
class Figure:
    """One published figure.

    Attributes
    ----------
    model : str
    measure : str
        As `metrics` calls it; ``accuracy`` is of genders.
    value : float
    source : str
    spread : float or None
        Its standard error over folds.
    remark : str
        Why it does not compare.
    """

    model: str
    measure: str
    value: float
    source: str
    spread: float | None = None
    remark: str = OTHER_WEIGHTS


_PAPERS = "paperswithcode.com, page of DEX"
_RESNET = "cross-entropy ResNet (Paplham and Franc 2024)"
_PAPLHJAK = "README of paplhjak/facial-age-estimation-benchmark"
_YU4U = "README of yu4u/age-gender-estimation and its successor for APPA-REAL"
_MIVOLO = "README of WildChlamydia/MiVOLO"
_LAPUSCHKIN = "README of sebastian-lapuschkin/understanding-age-gender-deep-learning-models"
_LEVI = "paperswithcode.com, page of Levi and Hassner 2015"


def _resnet(value: float) -> Figure:
    return Figure(_RESNET, "mae", value, _PAPLHJAK)


#: By format, and by protocol where a figure belongs to one
FIGURES: Mapping[tuple[str, str], tuple[Figure, ...]] = {
    ("fgnet", ""): (Figure("DEX, fine-tuned, leave one person out", "mae", 3.09, _PAPERS),),
    ("morph2", ""): (Figure("DEX, fine-tuned, Caucasian subset", "mae", 2.68, _PAPERS), _resnet(2.81)),
    ("lap2015", ""): (Figure("DEX, ensemble of 20, test", "epsilon_error", 0.264975, _PAPERS),),
    ("lap2016", "test"): (_resnet(4.49),),
    ("agedb", ""): (_resnet(5.81),),
    ("afad", ""): (_resnet(3.14),),
    ("cacd", "test"): (_resnet(3.96),),
    ("utkface", ""): (
        _resnet(4.38),
        Figure("MiVOLO, face", "mae", 4.23, _MIVOLO),
        Figure("MiVOLO, face", "cs5", 69.72, _MIVOLO),
    ),
    ("appa-real", "test"): (
        Figure("residual DEX, apparent age", "mae", 4.08, _YU4U),
        Figure("yu4u, apparent age", "mae", 5.33, _YU4U),
    ),
    ("appa-real", "test-real"): (
        Figure("residual DEX, real age", "mae", 5.30, _YU4U),
        Figure("yu4u, real age", "mae", 6.22, _YU4U),
    ),
    ("adience", "levi-hassner"): (
        Figure("Levi and Hassner, centre crop", "exact", 49.5, _LEVI),
        Figure("Levi and Hassner, centre crop", "accuracy", 85.9, _LEVI),
        Figure("AdienceNet, aligned, mixed", "exact", 53.6, _LAPUSCHKIN),
        Figure("AdienceNet, aligned, mixed", "one_off", 88.4, _LAPUSCHKIN),
        Figure("AdienceNet, aligned, mixed", "accuracy", 89.0, _LAPUSCHKIN),
        Figure("VGG-16 from IMDB-WIKI, mixed", "exact", 63.0, _LAPUSCHKIN),
        Figure("VGG-16 from IMDB-WIKI, mixed", "one_off", 96.0, _LAPUSCHKIN),
        Figure("VGG-16 from IMDB-WIKI, mixed", "accuracy", 92.3, _LAPUSCHKIN),
    ),
    ("adience", "mivolo"): (
        Figure("MiVOLO", "exact", 68.69, _MIVOLO),
        Figure("MiVOLO", "accuracy", 96.51, _MIVOLO),
    ),
}
#: Which networks were trained on a benchmark's photographs, by what the zoo says of them
_TRAINED_ON = {
    "imdb": "IMDB-WIKI",
    "wiki": "IMDB-WIKI",
    "lap2015": "ChaLearn LAP 2015, apparent age",
    "adience": "Adience",
}


def figures(form: str, protocol: str) -> list[Figure]:
    """What has been published on a benchmark under a protocol."""
    return [*FIGURES.get((form, ""), ()), *FIGURES.get((form, protocol), ())]


def caution(form: str, network: str) -> str:
    """What a reader of a network's scores on a benchmark has to know; "" where it is nothing."""
    known = NETWORKS.get(network)
    trained = _TRAINED_ON.get(form)
    if known is None or trained is None or trained not in known.data_set:
        return ""
    if form == "adience":
        return f"{network} is one network of five folds: over all of them it answers for faces it was trained on"
    return f"{network} was trained on {known.data_set}: a score here is one on training data"
