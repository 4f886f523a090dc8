"""The folder for large files, fetched or made, and how a file gets into it: whole or not at all."""

from __future__ import annotations

import contextlib
import glob
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast


def cache_folder() -> Path:
    """Where networks are kept: the environment variable ``NUMPYVGG_CACHE``, else the platform's own cache folder.

    Without platformdirs, which knows the platform's, ``.cache/numpyvgg`` in the home folder. A user without a home, as
    in many containers, has a path that holds nothing and cannot be made.
    """
    try:
        return Path(os.environ.get("NUMPYVGG_CACHE") or _platforms_folder()).expanduser()
    except RuntimeError:  # neither HOME nor an entry among the system's users
        return Path(os.devnull) / "numpyvgg"


def _platforms_folder() -> str:
    try:
        from platformdirs import user_cache_dir
    except ImportError:
        return os.path.join("~", ".cache", "numpyvgg")
    return user_cache_dir("numpyvgg", appauthor=False)


@contextlib.contextmanager
def written_whole(path: Path, *, sweeps: bool = True) -> Iterator[BinaryIO]:
    """Open a new file that appears under `path` when it is complete, and leaves nothing behind when it fails.

    Without `sweeps` the folder is not searched for what killed processes have left of the same file, which takes longer
    the more files there are; see `sweep`.

    Yields
    ------
    binary file
        With a name of its own in the same folder, so that two processes writing the same file do not meet.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if sweeps:
        sweep(path.parent, glob.escape(path.name))
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f"{path.name}.", suffix=".part", delete=False) as file:
        try:
            yield cast(BinaryIO, file)
            file.close()
            os.chmod(file.name, 0o666 & ~_umask())  # tempfile's own mode lets nobody else read a shared cache
            os.replace(file.name, path)
        except BaseException:
            with contextlib.suppress(OSError):  # closing writes what is left, which a full disk refuses once more
                file.close()
            os.unlink(file.name)
            raise


def sweep(folder: Path, pattern: str = "*") -> None:
    """Delete what processes that were killed have left of files in a folder, a day ago or longer."""
    for leftover in folder.glob(f"{pattern}.*.part"):
        with contextlib.suppress(OSError):
            if time.time() - leftover.stat().st_mtime > 86_400:
                leftover.unlink()


def _umask() -> int:
    """The process's umask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
