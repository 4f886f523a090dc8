"""Networks by name: `registry` (what there is), `store` (what is on this machine), `download` (how it gets here).

`labels` is what a network's outputs mean, `preparation` how it wants its images. It imports from `files` only. Its
public names are those below.
"""

from .download import fetch
from .labels import Labels
from .preparation import Preparation
from .registry import BUNDLED, NETWORKS, PUBLISHED, Published, models_folder, published
from .store import adopt, find, identify, open_model, record, require

__all__ = [
    "BUNDLED",
    "NETWORKS",
    "PUBLISHED",
    "Labels",
    "Preparation",
    "Published",
    "adopt",
    "fetch",
    "find",
    "identify",
    "models_folder",
    "open_model",
    "published",
    "record",
    "require",
]
