"""A fixture for pytest: `assert_parity` that remembers. In ``conftest.py``::

    pytest_plugins = ["numpyvgg.parity.fixture"]

and in a test::

    def test_my_runtime(parity):
        parity("net.onnx", x, my_runtime)

The table is printed, which pytest shows where the test fails; each layer's verdict becomes a property of the test in
JUnit's XML; drifts are kept in pytest's cache, and said beside those of the run before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from .baseline import growth, growth_text
from .compare import compare
from .result import Parity, failure_text, parity_records


@pytest.fixture
def parity(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Callable[..., Parity]:
    """Compare as `numpyvgg.parity.compare` does, and fail unless rounding explains every difference."""
    count = 0

    def check(model: Any, x: Any, runtime: Any, **options: Any) -> Parity:
        nonlocal count
        found = compare(model, x, runtime, **options)
        print(found)
        for layer in found.layers:
            record_property(layer.name, layer.verdict)
        cache, key = getattr(request.config, "cache", None), f"numpyvgg/parity/{request.node.nodeid}/{count}"
        count += 1
        if cache is not None:  # pytest -p no:cacheprovider
            if before := cache.get(key, None):
                print(growth_text(growth(found, before)))
            cache.set(key, parity_records(found))
        assert found.explained, failure_text(found)
        return found

    return check
