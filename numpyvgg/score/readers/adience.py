"""Adience: five folds of photographs with groups of ages, and the two rules by which its labels are read.

Levi and Hassner's rule (2015) takes the eight groups that are written exactly so and leaves out all other texts: 17,424
photographs with a group, 17,603 with a gender. MiVOLO's rule (Kuprashevich and Tolstykh 2023) counts a photograph that
the list has twice once, puts most other ages into a group, and cuts estimated ages at fixed years. Their figures have
different denominators and do not compare.
"""

from __future__ import annotations

from pathlib import Path

from ...errors import ArgumentError
from ..table import Row, Table, gender_of
from .delimited import records

_GROUPS = ("(0, 2)", "(4, 6)", "(8, 12)", "(15, 20)", "(25, 32)", "(38, 43)", "(48, 53)", "(60, 100)")
#: MiVOLO's groups for texts that are none of the eight
_STRAYS = {
    **dict.fromkeys(("2", "3"), "(0, 2)"),
    **dict.fromkeys(("13", "(8, 23)"), "(8, 12)"),
    "22": "(15, 20)",
    **dict.fromkeys(("23", "29", "(27, 32)", "32", "34", "35"), "(25, 32)"),
    **dict.fromkeys(("36", "(38, 42)", "(38, 48)", "42", "45"), "(38, 43)"),
    **dict.fromkeys(("46", "55", "56"), "(48, 53)"),
    **dict.fromkeys(("57", "58"), "(60, 100)"),
}
#: The youngest age of each of MiVOLO's groups
MIVOLO_EDGES = (0.0, 4.0, 7.0, 14.0, 24.0, 36.0, 46.0, 57.0)
_NAMES = {
    "image": ("original_image",),
    **{name: (name,) for name in ("user_id", "face_id", "age", "gender")},
}


def adience(path: Path, protocol: str) -> Table:
    """Adience: ``fold_{0..4}_data.txt`` and the faces in ``aligned/`` or ``faces/``."""
    mivolo = protocol == "mivolo"
    table = Table(path, edges=MIVOLO_EDGES if mivolo else ())
    kind, prefix = ("aligned", "landmark_aligned_face")
    if not (path / kind).is_dir() and (path / "faces").is_dir():
        kind, prefix = "faces", "coarse_tilt_aligned_face"
    seen: set[str] = set()
    for fold in range(5):
        file = path / f"fold_{fold}_data.txt"
        for record in records(file, table, _NAMES, delimiters="\t", required=tuple(_NAMES)):
            image = f"{kind}/{record['user_id']}/{prefix}.{record['face_id']}.{record['image']}"
            if mivolo and image in seen:
                table.leave_out(image, "a face that an earlier row has")
                continue
            seen.add(image)
            group, gender = record["age"], gender_of(record["gender"])
            group = _STRAYS.get(group, group) if mivolo else group
            if group not in _GROUPS:
                table.lost["its age is none of the eight groups"] += 1
                group = ""
            if not gender:
                table.lost["its gender is neither f nor m"] += 1
            table.add(
                Row(image, gender=gender, group=group.replace(", ", "-"), fold=str(fold), subject=record["user_id"])
            )
    if not table.rows:
        raise ArgumentError(f"{path}: the five folds have no row with a label")
    rule = (
        "MiVOLO's: other ages put into groups, each face once" if mivolo else "Levi and Hassner's: the eight texts only"
    )
    table.remarks[:] = [f"label rule: {rule}", f"faces: {kind}/{prefix}.*"]
    return table
