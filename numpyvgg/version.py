"""The version: this is its one source, which the build reads too."""

__version__ = "0.1.0"
