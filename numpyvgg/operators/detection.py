"""What object detectors end with: boxes that overlap dropped, and features cut out of regions."""

from __future__ import annotations

import numpy as np

from ..errors import ArgumentError

#: Along an axis of a bin; a region of a whole photograph takes a few hundred.
_MOST_SAMPLES = 1 << 12


def NonMaxSuppression_10(
    boxes: np.ndarray,
    scores: np.ndarray,
    max_output_boxes_per_class: np.ndarray | None = None,
    iou_threshold: np.ndarray | None = None,
    score_threshold: np.ndarray | None = None,
    *,
    center_point_box: int = 0,
) -> np.ndarray:
    most = 0 if max_output_boxes_per_class is None else int(max_output_boxes_per_class.reshape(()))
    overlap = 0.0 if iou_threshold is None else float(iou_threshold.reshape(()))
    selected = []
    for batch in range(len(boxes)):
        corners = _corners(boxes[batch], center_point_box)
        for kind in range(scores.shape[1]):
            score = scores[batch, kind]
            order = np.argsort(-score, kind="stable")
            if score_threshold is not None:
                order = order[score[order] > float(score_threshold.reshape(()))]
            selected += [(batch, kind, box) for box in _suppress(corners, order, overlap, most)]
    return np.array(selected, np.int64).reshape(-1, 3)


def _corners(boxes: np.ndarray, center_point_box: int) -> np.ndarray:
    """Boxes as [y1, x1, y2, x2] with y1 <= y2, x1 <= x2."""
    if center_point_box:  # x, y, width, height
        x, y, width, height = boxes.T
        return np.stack([y - height / 2, x - width / 2, y + height / 2, x + width / 2], 1)
    first, second = boxes[:, :2], boxes[:, 2:]
    return np.concatenate([np.minimum(first, second), np.maximum(first, second)], 1)


def _suppress(corners: np.ndarray, order: np.ndarray, overlap: float, most: int) -> list[int]:
    """The best box, then the best that does not overlap with it, and so on."""
    areas = (corners[:, 2:] - corners[:, :2]).prod(1)
    kept: list[int] = []
    while len(order) and len(kept) < most:
        best, order = int(order[0]), order[1:]
        kept.append(best)
        low = np.maximum(corners[best, :2], corners[order, :2])
        high = np.minimum(corners[best, 2:], corners[order, 2:])
        common = np.maximum(high - low, 0).prod(1)
        union = areas[best] + areas[order] - common
        order = order[~((common > 0) & (common > overlap * union))]
    return kept


def RoiAlign_10(
    X: np.ndarray,
    rois: np.ndarray,
    batch_indices: np.ndarray,
    *,
    mode: str = "avg",
    output_height: int = 1,
    output_width: int = 1,
    sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
) -> np.ndarray:
    return RoiAlign_16(
        X,
        rois,
        batch_indices,
        coordinate_transformation_mode="output_half_pixel",
        mode=mode,
        output_height=output_height,
        output_width=output_width,
        sampling_ratio=sampling_ratio,
        spatial_scale=spatial_scale,
    )


def RoiAlign_16(
    X: np.ndarray,
    rois: np.ndarray,
    batch_indices: np.ndarray,
    *,
    coordinate_transformation_mode: str = "half_pixel",
    mode: str = "avg",
    output_height: int = 1,
    output_width: int = 1,
    sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
) -> np.ndarray:
    if ((batch_indices < 0) | (batch_indices >= len(X))).any():
        raise ArgumentError(f"batch_indices {batch_indices.tolist()[:8]} for a batch of {len(X)}")
    half_pixel = coordinate_transformation_mode == "half_pixel"
    Y = np.empty((len(rois), X.shape[1], output_height, output_width), X.dtype)
    for i, (roi, batch) in enumerate(zip(rois, batch_indices.tolist(), strict=True)):
        x1, y1, x2, y2 = (roi * X.dtype.type(spatial_scale) - X.dtype.type(0.5 if half_pixel else 0)).tolist()
        width, height = (x2 - x1, y2 - y1) if half_pixel else (max(x2 - x1, 1.0), max(y2 - y1, 1.0))
        rows = _samples(y1, height, output_height, sampling_ratio, X.shape[2])
        columns = _samples(x1, width, output_width, sampling_ratio, X.shape[3])
        if mode == "avg":  # a mean of bilinear samples is a product of matrices
            down, across = _means(*rows, X.shape[2]), _means(*columns, X.shape[3])
            Y[i] = down.astype(X.dtype) @ X[batch] @ across.astype(X.dtype).T
        else:
            Y[i] = _largest(X[batch], *rows, *columns)
    return Y


def _samples(begin: float, length: float, bins: int, ratio: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The two neighbours along an axis of each sample of each bin, and their weights: [bins, samples, 2] each."""
    count = ratio or max(int(np.ceil(min(length / bins, _MOST_SAMPLES + 1))), 1)
    if count > _MOST_SAMPLES:
        raise ArgumentError(
            f"a region of length {length} takes more than {_MOST_SAMPLES} samples in each of {bins} bins"
        )
    places = begin + (np.arange(bins)[:, None] + (np.arange(count) + 0.5) / count) * (length / bins)
    inside = (places >= -1) & (places <= size)
    places = np.clip(places, 0, size - 1)
    low = np.floor(places).astype(np.int64)
    neighbours = np.stack([low, np.minimum(low + 1, size - 1)], -1)
    weights = np.stack([1 - (places - low), places - low], -1) * inside[..., None]
    return neighbours, weights


def _means(neighbours: np.ndarray, weights: np.ndarray, size: int) -> np.ndarray:
    """The weight of each pixel along an axis in each bin: [bins, size]."""
    means = np.zeros((len(neighbours), size))
    bins = np.arange(len(neighbours)).reshape(-1, 1, 1)
    np.add.at(means, (bins, neighbours), weights / neighbours.shape[1])
    return means


def _largest(image: np.ndarray, y: np.ndarray, down: np.ndarray, x: np.ndarray, across: np.ndarray) -> np.ndarray:
    """ONNX's maximum: of the weighted pixels themselves, before they are added up."""
    pixels = image[:, y[..., None, None, None], x]  # [C, rows, samples, 2, columns, samples, 2]
    weights = (down[..., None, None, None] * across).astype(image.dtype)
    return (pixels * weights).max((2, 3, 5, 6))
