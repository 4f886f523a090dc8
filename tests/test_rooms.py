"""The rooms of the package stand in the order of the data: each imports only from rooms above it, never in a circle."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "numpyvgg"

#: from the first byte to the answer; a file stands for itself, a folder for what is in it
ROOMS = ["version", "errors", "text", "files", "layers", "kernels", "operators", "graph", "vgg", "session"]
ROOMS += ["zoo", "photo", "parity", "pages", "report", "score", "lesson", "bench", "cli"]
#: `numpyvgg/__init__.py` and `__main__.py` open the house; pico is a house of its own; PyInstaller alone reads its hook
OUTSIDE = {"__init__", "__main__", "pico", "__pyinstaller"}

MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def imports(path: Path) -> set[str]:
    """The package's modules that this one imports, at its top or within its functions; a package for its `__init__`."""
    folder = path.relative_to(ROOT).parent.parts
    found: set[str] = set()
    for node in _without_type_checking(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            start = list(folder[: len(folder) + 1 - node.level]) if node.level else []
            source = ".".join([*start, *([node.module] if node.module else [])])
            full = {f"{source}.{alias.name}" for alias in node.names}
            found |= full if full <= set(MODULES) else full | {source}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & set(MODULES)


def _without_type_checking(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node but those that only type checkers read."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield node
            yield from _without_type_checking(node)


def room(module: str) -> str | None:
    parts = module.split(".")
    name = parts[1] if len(parts) > 1 else "__init__"
    return None if name in OUTSIDE else name


@pytest.mark.parametrize("module", [name for name in MODULES if room(name)])
def test_a_room_imports_only_from_rooms_above_it(module):
    """Imports within functions count too: they are a room's debts as much as those at its top."""
    place = ROOMS.index(room(module))
    for other in imports(MODULES[module]):
        if other == "numpyvgg":  # which imports the rooms down to `photo`
            assert ROOMS.index("photo") < place, f"{module} imports the package, which imports it"
            continue
        assert ROOMS.index(room(other)) <= place, f"{module} imports {other}, which stands below it"


def test_no_module_is_imported_in_a_circle():
    graph = {}
    for name, path in MODULES.items():  # a module's own packages are loaded before it, and may import it by then
        graph[name] = {other for other in imports(path) if not f"{name}.".startswith(f"{other}.")}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' <- '.join(error.args[1])}")


def test_the_page_of_rooms_lists_them_in_their_order():
    page = (ROOT / "docs" / "layout.md").read_text("utf-8")
    listed = [name.removesuffix(".py") for name in re.findall(r"\]\(\.\./numpyvgg/([\w.]+)\)", page)]
    there = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or any(path.glob("*.py"))}
    assert [name for name in listed if name not in OUTSIDE] == [name for name in ROOMS if name in there]
    assert {*listed, "__init__", "__main__", "__pyinstaller"} == there


def test_every_folder_is_a_package_and_every_module_says_what_it_is():
    for name, path in MODULES.items():
        assert path.with_name("__init__.py").exists(), f"{path.parent} would not be installed"
        assert ast.get_docstring(ast.parse(path.read_text("utf-8"))) or path.name == "__main__.py", name


def test_the_network_can_be_read_in_one_sitting():
    assert (PACKAGE / "vgg" / "network.py").read_text("utf-8").count("\n") <= 160


def test_from_bytes_to_probabilities_numpy_is_the_only_compiled_thing_that_is_imported():
    pure = {"numpyvgg", "threadpoolctl", "platformdirs", "tqdm", *sys.stdlib_module_names}
    for module in (name for name in MODULES if room(name) in ROOMS[: ROOMS.index("zoo")]):
        for node in ast.iter_child_nodes(ast.parse(MODULES[module].read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and not node.level and node.module else []
            assert {name.split(".")[0] for name in names} <= {"numpy", *pure}, module


def test_nothing_is_imported_until_it_is_asked_for():
    code = """if True:
        import sys, numpyvgg
        late = ("numpy.", "numpyvgg.photo", "numpyvgg.session", "numpyvgg.zoo", "numpyvgg.files")
        assert not any(name.startswith(late) for name in sys.modules)
        assert numpyvgg.VGG16
        assert not any(name.startswith(("numpyvgg.photo", "numpyvgg.session", "numpyvgg.zoo")) for name in sys.modules)
        assert set(numpyvgg.__all__) <= set(dir(numpyvgg))
        assert all(getattr(numpyvgg, name) is not None for name in numpyvgg.__all__)
        assert numpyvgg.zoo.find and numpyvgg.session.InferenceSession is numpyvgg.InferenceSession
        assert not hasattr(numpyvgg, "predictor")
    """
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
