"""Benchmarks: from their archives to the field's measures.

`readers` turns each benchmark's layout into one `table`, `scorer` asks networks about photographs, `shards` keeps the
answers in files that survive whatever ends a run, `compute` has them answered here and `cluster` by Dask, `metrics`,
`groups` and `scores` make figures of them, and `published` has those of others.
"""

from .readers import FORMATS, read
from .scorer import Scorer

__all__ = ["FORMATS", "Scorer", "read"]
