"""Break the code on purpose, a piece at a time, and see that a test fails: mutation testing, small.

    python tools/mutate.py --count 150 --seed 0          # an hour or two
    python tools/mutate.py --only files/wire.py --show   # what would be changed

Each mutant is one change in a module's syntax tree: a comparison turned, a number off by one, `and` for `or`, plus for
minus, a call or a sign dropped, a branch always or never taken. The module's own tests (`TESTS`) run on a copy of the
project, in a process of their own, with a time limit. A mutant that passes them is printed as a difference: either it
changes nothing that anybody can see, or a test is missing.

Not on Windows, which has no fork.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import difflib
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import hypothesis  # noqa: F401  here and below: loaded once, for all children
import onnxruntime  # noqa: F401
import pytest

ROOT = Path(__file__).parents[1]
LAYERS = (
    "convolution or winograd or depthwise or strip or image or fused or bit or output or fit or helps or fails or stop"
)
#: module -> the tests that hold it to its promises
TESTS = {
    "files/wire.py": ["test_onnx_file.py", "test_hostile_files.py"],
    "files/tensor.py": ["test_onnx_file.py", "test_memory.py", "test_hostile_files.py", "test_half_precision.py"],
    "files/onnx.py": ["test_onnx_file.py", "test_hostile_files.py", "test_graph.py"],
    "layers.py": ["test_layers.py", "test_vgg16.py"],
    "vgg/recognise.py": ["test_vgg16.py", "test_layouts.py", "test_graph.py"],
    "kernels/images.py": ["test_kernels.py", "-k", LAYERS],
    "kernels/im2col.py": ["test_kernels.py", "-k", LAYERS],
    "kernels/winograd.py": ["test_kernels.py", "-k", LAYERS],
    "kernels/fully_connected.py": ["test_kernels.py", "-k", "fully or pass or memory or blas"],
    "parity/bounds.py": ["test_parity.py"],
}
#: A counterexample is enough, it need not be a small one
NO_SHRINKING = """
import hypothesis
hypothesis.settings.register_profile("mutants", phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate])
hypothesis.settings.load_profile("mutants")
"""
COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
OPERATORS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr,
}  # fmt: skip


def changes(node: ast.AST) -> Iterator[ast.AST]:
    """What a node may be replaced by."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARISONS:
        yield ast.Compare(node.left, [COMPARISONS[type(node.ops[0])](), *node.ops[1:]], node.comparators)
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
        yield from (ast.BoolOp(node.op, [v for v in node.values if v is not one]) for one in node.values[1:])
    elif isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        yield ast.BinOp(node.left, OPERATORS[type(node.op)](), node.right)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield node.operand
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):  # a bool is an int
        yield ast.Constant(not node.value if isinstance(node.value, bool) else node.value + 1)
    elif isinstance(node, ast.IfExp):
        yield ast.IfExp(node.test, node.orelse, node.body)
    elif isinstance(node, ast.If):
        yield ast.If(ast.Constant(False), node.body, node.orelse)
        yield ast.If(ast.Constant(True), node.body, node.orelse)
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield ast.Pass()


class Mutator(ast.NodeTransformer):
    """Makes the change that has this number, in the order of the syntax tree; `count` is how many there are."""

    def __init__(self, wanted: int = -1):
        self.wanted, self.count = wanted, 0

    def visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.JoinedStr):  # what a message says is not tested to the letter
            return node
        made = node
        for changed in changes(node):
            made = changed if self.count == self.wanted else made
            self.count += 1
        return made if made is not node else self.generic_visit(node)


def mutant(source: str, number: int) -> str:
    """A module with one change."""
    return ast.unparse(ast.fix_missing_locations(Mutator(number).visit(ast.parse(source))))


def draw(modules: list[str], count: int, seed: int) -> list[tuple[str, int]]:
    """Mutants at random, in a random order -> (module, number of the change)."""
    every = []
    for module in modules:
        counter = Mutator()
        counter.visit(ast.parse((ROOT / "numpyvgg" / module).read_text("utf-8")))
        every += [(module, number) for number in range(counter.count)]
    return random.Random(seed).sample(every, min(count, len(every)))


def run_tests(folder: Path, module: str, limit: float) -> bool:
    """Whether a module's tests pass on the copy of the project in a folder, within so many seconds."""
    child = multiprocessing.get_context("fork").Process(target=in_child, args=(folder, module))
    child.start()
    child.join(limit)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid or 0, signal.SIGKILL)  # what the tests have started too
    child.join()
    return child.exitcode == 0


def in_child(folder: Path, module: str) -> None:
    """What a forked process does: it has the libraries, and loads this package from the folder."""
    os.setsid()
    resource.setrlimit(resource.RLIMIT_AS, (16 << 30, 16 << 30))
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    os.chdir(folder / "tests")
    sys.path[:0] = [str(folder), str(folder / "tests"), str(folder / "tools")]
    sys.dont_write_bytecode = True  # of a module that will be another in a moment
    os.environ.update(PYTHONPATH=str(folder), PYTHONDONTWRITEBYTECODE="1")
    options = ["-xq", "-p", "no:randomly", "-p", "no:cacheprovider", "-m", "not full_size"]
    os._exit(pytest.main([*options, *TESTS[module]]))


def difference(module: str, changed: str) -> str:
    source = ast.unparse(ast.parse((ROOT / "numpyvgg" / module).read_text("utf-8")))
    lines = difflib.unified_diff(source.splitlines(), changed.splitlines(), module, module, lineterm="", n=2)
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=150, help="mutants (150)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=TESTS, default=list(TESTS), metavar="MODULE")
    parser.add_argument("--show", action="store_true", help="print the mutants and test nothing")
    args = parser.parse_args()
    survivors = 0
    chosen = draw(args.only, args.count, args.seed)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in ("numpyvgg", "tests", "tools", "models", "pyproject.toml"):
            (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, copy / name)
        with (copy / "tests" / "conftest.py").open("a", encoding="utf-8") as file:
            file.write(NO_SHRINKING)
        for module in sorted({module for module, _ in chosen} if not args.show else ()):
            if not run_tests(copy, module, limit=1200):
                print(f"left out, {module}: its tests fail without a change already: {' '.join(TESTS[module])}")
                chosen = [one for one in chosen if one[0] != module]
        for place, (module, number) in enumerate(chosen, start=1):
            original = (ROOT / "numpyvgg" / module).read_text("utf-8")
            changed = mutant(original, number)
            if args.show:
                print(difference(module, changed))
                continue
            (copy / "numpyvgg" / module).write_text(changed, "utf-8")
            began = time.monotonic()
            if run_tests(copy, module, limit=600):
                survivors += 1
                print(f"survives, {module} {number}:\n{difference(module, changed)}", flush=True)
            (copy / "numpyvgg" / module).write_text(original, "utf-8")
            print(
                f"{place}/{len(chosen)} {module} {number}: {time.monotonic() - began:.0f} s",
                file=sys.stderr,
                flush=True,
            )
    print(f"{survivors} of {len(chosen)} mutants survive")
    return bool(survivors)


if __name__ == "__main__":
    sys.exit(main())
