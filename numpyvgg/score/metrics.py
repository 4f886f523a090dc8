"""The field's measures. Each is a mean of numbers that the photographs have one of, so that all are summed up alike:
over all photographs, over a fold, over a group, over a bootstrap's sample.

- MAE, RMSE and bias are of the error, estimate minus truth, in years; CS(L) is the share of errors of L years and less.
- The epsilon-error of ChaLearn LAP (Escalera et al. 2015) weighs an error by how much people differed:
  1 - exp(-(x - mu)^2 / (2 sigma^2)). A photograph without an estimate counts 1. Where sigma is 0 the limit counts: 0 of
  an exact hit, else 1.
- A group is right exactly, or within one group ("1-off": Eidinger et al. 2014).
- Calibration asks whether a network knows how wrong it is: how often the truth is within one and two of its own
  standard deviations (of a normal distribution 68.3 and 95.4 %), and the mean log density of the truth in a normal
  distribution with its mean and deviation, beside what that would be if it were true. A deviation below that of a whole
  year's rounding, 1/sqrt(12), counts as that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
#: Errors of so many years still count as right, in CS(L)
CS_YEARS = (3, 5, 7)
#: The standard deviation of what is rounded to whole years
SMALLEST_DEVIATION = 12**-0.5
RESAMPLES = 1000


def of_ages(estimate: Values, deviation: Values, truth: Values, sigma: Values) -> dict[str, Values]:
    """The numbers that measures of ages are means of.

    Parameters
    ----------
    estimate, deviation : ndarray [N]
        In years; nan where there is none.
    truth, sigma : ndarray [N]
        The true age, and the deviation of people's guesses, in years; nan where it is not known.

    Returns
    -------
    dict of str to ndarray [N]
        By measure; nan for the photographs that it leaves out. Shares are 0 to 100.
    """
    error = estimate - truth
    size = np.abs(error)
    counted = np.where(np.isnan(size), np.nan, 100.0)
    values = {"mae": size, "rmse": error**2, "bias": error}
    values.update((f"cs{years}", counted * (size <= years)) for years in CS_YEARS)
    if not np.isnan(sigma).all():
        values["epsilon_error"] = epsilon_error(estimate, truth, sigma)
    if not np.isnan(deviation).all():
        width = np.maximum(deviation, SMALLEST_DEVIATION)
        known = counted + 0 * width
        values.update((f"within_{n}_sigma", known * (size <= n * width)) for n in (1, 2))
        values["log_score"] = -0.5 * np.log(2 * np.pi * width**2) - error**2 / (2 * width**2)
        values["expected_log_score"] = -0.5 * np.log(2 * np.pi * width**2) - 0.5 + 0 * error
    return values


def epsilon_error(estimate: Values, truth: Values, sigma: Values) -> Values:
    """The epsilon-error of each photograph [N]; nan where truth or sigma is not known."""
    error = estimate - truth
    with np.errstate(divide="ignore", invalid="ignore"):
        missed = 1 - np.exp(-(error**2) / (2 * sigma**2))
    missed = np.where(sigma == 0, (error != 0).astype(np.float64), missed)
    missed = np.where(np.isnan(estimate), 1.0, missed)
    return np.where(np.isnan(truth) | np.isnan(sigma), np.nan, missed)


def of_groups(answer: NDArray[np.int64], truth: NDArray[np.int64]) -> dict[str, Values]:
    """The same of groups of ages, both as their places in the order of ages; -1 where there is none."""
    apart = np.where((answer < 0) | (truth < 0), np.nan, np.abs(answer - truth))
    counted = np.where(np.isnan(apart), np.nan, 100.0)
    return {"exact": counted * (apart == 0), "one_off": counted * (apart <= 1)}


def of_genders(answer: NDArray[np.int64], truth: NDArray[np.int64]) -> dict[str, Values]:
    """The same of genders, both as 0 or 1; -1 where there is none."""
    known = (answer >= 0) & (truth >= 0)
    return {"accuracy": np.where(known, 100.0 * (answer == truth), np.nan)}


def confusion(answer: NDArray[np.int64], truth: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """How often each truth (rows) got each answer (columns): [classes, classes]; without those that have none."""
    known = (answer >= 0) & (truth >= 0)
    counts = np.bincount(truth[known] * classes + answer[known], minlength=classes**2)
    return counts.reshape(classes, classes)


# ---------------------------------------------------------------------- summing up


@dataclass(frozen=True)
class Summary:
    """A measure over photographs.

    Attributes
    ----------
    n : int
        How many photographs count.
    value : float
    low, high : float or None
        95 % of a bootstrap's samples lie between; None where there is nothing to sample.
    fold_mean, standard_error : float or None
        The mean over the folds' values, and its standard error: their standard deviation (of a sample) over the root of
        their number. None with fewer than two folds.
    """

    n: int
    value: float
    low: float | None = None
    high: float | None = None
    fold_mean: float | None = None
    standard_error: float | None = None


def mean(measure: str, values: Values) -> float:
    """A measure's value for these photographs: the mean; of ``rmse`` its root."""
    known = values[~np.isnan(values)]
    return _finish(measure, float(known.mean())) if known.size else float("nan")


def _finish(measure: str, value: float) -> float:
    return value**0.5 if measure == "rmse" else value


def summarise(
    values: Mapping[str, Values], subjects: NDArray[np.int64] | None, folds: NDArray[np.int64]
) -> dict[str, Summary]:
    """Sum up all measures.

    Parameters
    ----------
    values : mapping of str to ndarray [N]
        Of `of_ages` and its like.
    subjects : ndarray [N] of int or None
        The person in each photograph, who is sampled with all photographs; without it photographs are sampled.
    folds : ndarray [N] of int
        -1 where there is none.
    """
    intervals = _bootstrap(values, subjects)
    summaries = {}
    for measure, numbers in values.items():
        n = int((~np.isnan(numbers)).sum())
        if n:
            low, high = intervals[measure]
            summaries[measure] = Summary(n, mean(measure, numbers), low, high, *_over_folds(measure, numbers, folds))
    return summaries


def _over_folds(measure: str, values: Values, folds: NDArray[np.int64]) -> tuple[float, float] | tuple[None, None]:
    each = np.array([mean(measure, values[folds == fold]) for fold in np.unique(folds[folds >= 0])])
    each = each[~np.isnan(each)]
    if len(each) < 2:
        return None, None
    return float(each.mean()), float(each.std(ddof=1) / len(each) ** 0.5)


def _bootstrap(
    values: Mapping[str, Values], subjects: NDArray[np.int64] | None
) -> dict[str, tuple[float | None, float | None]]:
    """Percentile intervals (Efron 1979) of all measures, from the same samples of persons, or of photographs."""
    names, stacked = list(values), np.stack(list(values.values()))  # [M, N]
    known = ~np.isnan(stacked)
    sums, counts = np.where(known, stacked, 0.0), known.astype(np.float64)
    if subjects is not None:
        sums = np.stack([np.bincount(subjects, row) for row in sums]).astype(np.float64)
        counts = np.stack([np.bincount(subjects, row) for row in counts]).astype(np.float64)
    size = sums.shape[1]
    rng, samples = np.random.default_rng(0), np.full((RESAMPLES, len(names)), np.nan)
    for sample in samples:
        times = np.bincount(rng.integers(0, size, size), minlength=size).astype(np.float64)  # each was drawn
        with np.errstate(invalid="ignore", divide="ignore"):
            sample[:] = (sums @ times) / (counts @ times)
    intervals: dict[str, tuple[float | None, float | None]] = {}
    for place, name in enumerate(names):
        drawn = samples[~np.isnan(samples[:, place]), place]
        both = np.quantile(drawn, (0.025, 0.975)) if size > 1 and drawn.size else ()
        intervals[name] = tuple(_finish(name, float(end)) for end in both) or (None, None)  # type: ignore[assignment]
    return intervals
