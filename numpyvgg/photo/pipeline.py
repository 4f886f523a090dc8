"""Many photographs at the networks' speed: decode, find and crop, batch, ask the networks; in order, in bounded memory.

    sources -> threads: decode, find faces, crop, resize -> batches -> networks -> answers in the order of the sources

Threads work a few photographs ahead of the networks and no further, so memory does not depend on how many there are.
Where no thread can be started, each photograph is prepared when its turn comes. What is wrong with a photograph stays
with it: its place in the order has the error. Each photograph is decoded once, and prepared once for all networks that
want the same.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from ..errors import ArgumentError, ImageError, NumpyVggError, reported_as_ours
from ..kernels.threads import available_cores
from ..zoo.preparation import Preparation
from .ahead import Ahead, Call
from .answers import Answer
from .estimator import Estimator
from .images import load_image
from .pixels import photograph_size
from .tensors import tensors

if TYPE_CHECKING:
    from PIL import Image

    from .faces.search import Face

Source = str | os.PathLike[str] | bytes | IO[bytes] | np.ndarray | Any
#: Finds the faces of a photograph, given with its name; where there is none, gives one for the whole, `found` False
FaceFinder = Callable[["Image.Image", str], "list[Face]"]

#: Images that the networks are asked about together; the answers of a batch appear together
BATCH = 16
#: Photographs that are prepared ahead of the networks
AHEAD = 2 * BATCH
#: A JPEG is decoded at a half, a quarter or an eighth if that leaves so many pixels along each side, four times what
#: networks take. Against the whole image that changes the input by 0.15 grey levels in the mean, and by 2 at most.
REDUCED = 896


_one_at_a_time = threading.Lock()  # detectors keep what they work with, and use all cores by themselves


@dataclass(frozen=True)
class Answered:
    """What came of one photograph.

    Attributes
    ----------
    source : path, or whatever the photograph was given as
    answers : list of dict of str to Answer
        For each face, by network; for the photograph as a whole one entry. Empty where there is an error.
    faces : list of Face or None
        Beside `answers`; None where nobody looked for faces.
    size : (int, int)
        Width and height of the photograph in pixels; 0 where there is an error.
    error : NumpyVggError or None
        Why there is no answer.
    """

    source: Source
    answers: list[dict[str, Answer]]
    faces: list[Face | None]
    size: tuple[int, int] = (0, 0)
    error: NumpyVggError | None = None


@dataclass(frozen=True)
class _Prepared:
    """A photograph as the networks take it: for each face, or the whole, the views for each preparation."""

    source: Source
    faces: list[Face | None]
    views: list[dict[Preparation, np.ndarray]]  # each [V, 3, H, W]
    size: tuple[int, int] = (0, 0)
    error: NumpyVggError | None = None


def smallest_side(networks: Mapping[str, Estimator]) -> int:
    """The pixels along each side below which a photograph is not to be decoded."""
    return max(REDUCED, *(4 * max(network.preparation.size) for network in networks.values()))


def answer_all(
    sources: Iterable[Source],
    networks: Mapping[str, Estimator],
    ready: Callable[[], Mapping[str, Estimator]],
    find: FaceFinder | None = None,
    stop: threading.Event | None = None,
) -> Iterator[Answered]:
    """Ask networks about photographs.

    Parameters
    ----------
    sources : iterable of paths, or of what else `load_image` takes
        Taken as they are needed.
    networks : mapping of str to Estimator
        What says how photographs are prepared.
    ready : callable
        Gives the same networks as they are to be asked. It is called while the first photographs are decoded:
        transforming filters takes as long as answering for several.
    find : callable, optional
        Finds the faces to ask about; without it each photograph is one.
    stop : threading.Event, optional
        Once it is set, the photographs of the batch in work are answered, and no more.
    Yields
    ------
    Answered
        One for each source, in their order; after each batch of `BATCH` images.
    """
    remaining = iter(sources)
    pending: deque[Call[_Prepared]] = deque()
    with Ahead(max(2, min(available_cores(), 8)), "numpyvgg-decode") as ahead:

        def begin() -> None:
            for source in islice(remaining, AHEAD - len(pending)):
                pending.append(ahead.call(partial(_prepare, source, networks, find)))

        begin()
        asked = ready() if pending else networks
        while True:
            batch: list[_Prepared] = []
            while sum(len(prepared.views) for prepared in batch) < BATCH and not (stop and stop.is_set()):
                begin()
                if not pending:
                    break
                batch.append(pending.popleft().result())
            if not batch:
                return
            yield from _answer(batch, asked)


def _prepare(source: Source, networks: Mapping[str, Estimator], find: FaceFinder | None) -> _Prepared:
    """Decode a photograph, find its faces, and make of each what the networks take; an error becomes the result."""
    name = os.fsdecode(source) if isinstance(source, str | os.PathLike) else f"<{type(source).__name__}>"
    try:
        with reported_as_ours(name):
            image = load_image(source, None if find else smallest_side(networks))
            faces = _faces(image, name, find)
            views = [_views(image, face, networks) for face in faces]
            return _Prepared(source, faces, views, photograph_size(image))
    except MemoryError:
        return _Prepared(source, [], [], error=ImageError(f"{name}: decoding it takes more memory than there is"))
    except ArgumentError:  # what was asked for is wrong, and not this photograph
        raise
    except NumpyVggError as error:
        return _Prepared(source, [], [], error=error)


def _faces(image: Image.Image, name: str, find: FaceFinder | None) -> list[Face | None]:
    if find is None:
        return [None]
    with _one_at_a_time:
        faces = find(image, name)
    if not isinstance(faces, Iterable):
        raise ArgumentError(f"faces: what finds them gave {faces!r}, and has to give a list of Face")
    return check_faces(faces)


def check_faces(faces: Iterable[Any]) -> list[Any]:
    """Faces, if they are some.

    Raises
    ------
    ArgumentError
        One is no `Face`.
    """
    checked = list(faces)
    for face in checked:
        if not (hasattr(face, "with_margin") and hasattr(face, "without_margin")):
            raise ArgumentError(f"faces: {type(face).__name__} is no Face: see numpyvgg.photo.faces.search.align_faces")
    return checked


def _views(image: Image.Image, face: Face | None, networks: Mapping[str, Estimator]) -> dict[Preparation, np.ndarray]:
    preparations = {network.preparation for network in networks.values()}
    views = {}
    for preparation in preparations:
        crop = image
        if face is not None:
            crop = face.with_margin() if preparation.margin else face.without_margin()
        views[preparation] = tensors(crop, preparation)
    return views


def _answer(batch: list[_Prepared], networks: Mapping[str, Estimator]) -> Iterator[Answered]:
    """Ask each network about all images of a batch at once."""
    images = [views for prepared in batch for views in prepared.views]
    answers: list[dict[str, Answer]] = [{} for _ in images]
    stacked: dict[Preparation, np.ndarray] = {}
    for name, network in networks.items() if images else ():
        preparation = network.preparation
        if preparation not in stacked:
            stacked[preparation] = np.stack([views[preparation] for views in images])  # [N, V, 3, H, W]
        for given, found in zip(answers, network.answers(stacked[preparation]), strict=True):
            given[name] = found
    rest = iter(answers)
    for prepared in batch:
        answered = list(islice(rest, len(prepared.views)))
        yield Answered(prepared.source, answered, prepared.faces, prepared.size, prepared.error)
