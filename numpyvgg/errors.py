"""What can go wrong, by kind: one error class for each thing that a user can put right.

Every message names the file, the place in it and the reason, in one sentence, and the mend where there is one.
"""


class NumpyVggError(Exception):
    """Whatever is wrong with a file, an image or an argument: the base of all errors that this package raises."""


class ModelFormatError(NumpyVggError):
    """A file is damaged, or is not the kind of file that it is read as."""


class UnsupportedModelError(NumpyVggError):
    """A file is sound, but holds a network that this package does not run."""


class ImageError(NumpyVggError):
    """A photograph cannot be read or used."""


class ArgumentError(NumpyVggError, ValueError):
    """A call or a command line asks for something that does not exist: a shape, an option, a name."""


class FetchError(NumpyVggError):
    """A published network cannot be fetched or verified."""


class MissingExtraError(NumpyVggError, ImportError):
    """A feature needs an optional package that is not installed; the message says which one to install."""
