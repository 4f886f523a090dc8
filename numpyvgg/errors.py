"""What can go wrong, by kind: one error class for each thing that a user can put right.

Every message names the file, the place in it and the reason, in one sentence, and the mend where there is one. Names
come from files, and files from strangers: `printable` makes them harmless wherever they are printed, and every message
passes through it.
"""

from __future__ import annotations

import contextlib
import unicodedata
from collections.abc import Iterator
from numbers import Integral

#: Characters of a message beyond which its middle is left out: a name in a file may have millions
LONGEST_MESSAGE = 4000
_JOINERS = "\u200c\u200d"  # between letters of Persian and parts of an emoji; invisible, but harmless


def printable(text: str) -> str:
    """Text that a terminal can be given: control characters, line ends and the like are escaped as Python escapes them.

    They could recolour, overwrite or reorder what else is printed. Surrogates, which stand for the bytes of a file name
    that is no UTF-8, are escaped too, so that the text can be encoded.

    Examples
    --------
    >>> print(printable("a\\x1b[31mb\\n"))
    a\\x1b[31mb\\n
    """
    return text if text.isprintable() else "".join(map(_printable_character, text))


def _printable_character(character: str) -> str:
    if character.isprintable() or unicodedata.category(character) == "Zs" or character in _JOINERS:
        return character
    return character.encode("unicode_escape").decode()


class NumpyVggError(Exception):
    """Whatever is wrong with a file, an image or an argument: the base of all errors that this package raises."""

    def __init__(self, message: object = ""):
        text = printable(str(message))
        if len(text) > LONGEST_MESSAGE:
            half = LONGEST_MESSAGE // 2
            text = f"{text[:half]} [... {len(text) - 2 * half} characters ...] {text[-half:]}"
        super().__init__(text)


class ModelFormatError(NumpyVggError):
    """A file is damaged, or is not the kind of file that it is read as."""


class MissingModelError(ModelFormatError, FileNotFoundError):
    """There is no such file; also a `FileNotFoundError`, for programs that look for that."""


class UnsupportedModelError(NumpyVggError):
    """A file is sound, but holds a network that this package does not run."""


class ImageError(NumpyVggError):
    """A photograph cannot be read or used."""


class MissingImageError(ImageError, FileNotFoundError):
    """There is no such photograph; also a `FileNotFoundError`, for programs that look for that."""


class ArgumentError(NumpyVggError, ValueError):
    """A call or a command line asks for something that does not exist: a shape, an option, a name."""


class FetchError(NumpyVggError):
    """A published network cannot be fetched or verified."""


class MissingExtraError(NumpyVggError, ImportError):
    """A feature needs an optional package that is not installed; the message says which one to install."""


class InternalError(NumpyVggError):
    """A fault of this package: something happened that it did not foresee."""


@contextlib.contextmanager
def reported_as_argument(what: str) -> Iterator[None]:
    """Turn what Python or NumPy says of a value that it cannot take into the `ArgumentError` that names the argument.

    Examples
    --------
    >>> with reported_as_argument("mean"):
    ...     float("red")
    Traceback (most recent call last):
    numpyvgg.errors.ArgumentError: mean: could not convert string to float: 'red'
    """
    try:
        yield
    except NumpyVggError:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        raise ArgumentError(f"{what}: {error}") from None


class NotPickled:
    """What holds mapped files, threads and locks, and cannot be copied or sent to another process."""

    def __reduce__(self) -> str | tuple[object, ...]:
        raise ArgumentError(
            f"{type(self).__name__} cannot be pickled or copied: it holds mapped files and threads; send the path of "
            "its file, and open that where it is needed"
        )


def whole_number(name: str, value: object, least: int, most: float = float("inf")) -> int:
    """The value of an argument that has to be a whole number, True and False not among them.

    Raises
    ------
    ArgumentError
        It is none, or out of range.
    """
    if isinstance(value, Integral) and not isinstance(value, bool) and least <= int(value) <= most:
        return int(value)
    limits = f"at least {least}" if most == float("inf") else f"from {least} to {most}"
    raise ArgumentError(f"{name}={value!r}: a whole number is needed, {limits}")


@contextlib.contextmanager
def reported_as_ours(what: object) -> Iterator[None]:
    """Turn whatever else is raised inside into the `InternalError` that says whose fault it is.

    The last net under a public function: what a user can put right has an error of its own. `MemoryError` passes, since
    a machine that is too small is nobody's fault; so do `KeyboardInterrupt` and its like.

    Parameters
    ----------
    what : object
        What was being worked on, shown by `str`: a file's path, a node.

    Examples
    --------
    >>> with reported_as_ours("age.onnx"):  # doctest: +IGNORE_EXCEPTION_DETAIL
    ...     [].pop()
    Traceback (most recent call last):
    numpyvgg.errors.InternalError: age.onnx: a fault of numpyvgg ...
    """
    try:
        yield
    except (NumpyVggError, MemoryError):
        raise
    except Exception as error:
        raise InternalError(
            f"{what}: a fault of numpyvgg, which did not foresee this: {type(error).__name__}: {error}; "
            "please report it, with the file if you can"
        ) from error
