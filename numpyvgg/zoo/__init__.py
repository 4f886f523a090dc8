"""Networks by name: `registry` (what there is), `store` (what is on this machine), `download` (how it gets here).

It imports from `files` only. Its public names are those below.
"""

from .download import fetch
from .registry import PUBLISHED, Published, published
from .store import adopt, find, open_model, record, require

__all__ = ["PUBLISHED", "Published", "adopt", "fetch", "find", "open_model", "published", "record", "require"]
