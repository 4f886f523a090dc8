"""Regions and boxes."""

from __future__ import annotations

from typing import Any

from .sizes import Shape, agree, image, product, refuse, show, vector


def RoiAlign(
    X: Shape, rois: Shape, batch_indices: Shape, *, output_height: int = 1, output_width: int = 1, **attributes: Any
) -> Shape:
    _, channels, _, _ = image(X, "input")
    if len(rois) != 2:
        refuse(f"rois has shape {show(rois)}, and has to be a list of regions")
    agree(rois[1], 4, "numbers of a region, and")
    vector(batch_indices, rois[0], "batch_indices")
    return rois[0], channels, output_height, output_width


def NonMaxSuppression(boxes: Shape, scores: Shape, *limits: Shape, **attributes: Any) -> Shape:
    if len(boxes) != 3 or len(scores) != 3:
        refuse(f"boxes {show(boxes)} and scores {show(scores)} have to have three axes")
    agree(boxes[0], scores[0], "sizes of the batch")
    agree(boxes[1], scores[2], "numbers of boxes and of scores")
    agree(boxes[2], 4, "numbers of a box, and")
    for limit in limits:
        if limit is not None and product(limit) not in (None, 1):
            refuse(f"a limit has shape {show(limit)}, and has to be one number")
    return None, 3
