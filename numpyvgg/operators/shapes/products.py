"""Products of matrices and more."""

from __future__ import annotations

from typing import Any

from .sizes import Shape, Size, agree, broadcast, broadcast_to, refuse, show


def MatMul(A: Shape, B: Shape) -> Shape:
    if not A or not B:
        refuse(f"there is no product of {show(A)} and {show(B)}")
    agree(A[-1], B[-2] if len(B) > 1 else B[0], f"inner sizes of {show(A)} and {show(B)}")
    return (*broadcast(A[:-2], B[:-2]), *A[-2:-1], *(B[-1:] if len(B) > 1 else ()))


def Gemm(A: Shape, B: Shape, C: Shape | None = None, *, transA: int = 0, transB: int = 0, **attributes: Any) -> Shape:
    if len(A) != 2 or len(B) != 2:
        refuse(f"{show(A)} and {show(B)}: both have to be matrices")
    (M, K), (L, N) = A[:: -1 if transA else 1], B[:: -1 if transB else 1]
    agree(K, L, f"inner sizes of {show(A)} and {show(B)}")
    if C is not None:
        broadcast_to(C, (M, N), "C")
    return M, N


def Einsum(*Inputs: Shape, equation: str) -> Shape:
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(Inputs):
        refuse(f"equation {equation!r} speaks of {len(terms)} inputs, not of {len(Inputs)}")
    sizes: dict[str, Size] = {}
    wide: list[Shape] = []  # what "..." stands for in each term
    for term, shape in zip(terms, Inputs, strict=True):
        before, dots, after = term.partition("...")
        if len(before + after) > len(shape) or (not dots and len(before) != len(shape)):
            refuse(f"term {term!r} of the equation does not go with {show(shape)}")
        rest = len(shape) - len(after)
        wide.append(shape[len(before) : rest] if dots else ())
        within: dict[str, Size] = {}  # a diagonal does not broadcast
        for letter, size in (*zip(before, shape, strict=False), *zip(after, shape[rest:], strict=True)):
            if not letter.isalpha() or not letter.isascii():
                refuse(f"equation {equation!r} has {letter!r}, which is no letter")
            within[letter] = agree(within.get(letter), size, f"sizes of {letter!r} in {term!r}")
            known = sizes.get(letter, 1)
            sizes[letter] = size if known == 1 else known if size == 1 else agree(known, size, f"sizes of {letter!r}")
    if not arrow:
        letters = "".join(term.replace("...", "") for term in terms)
        right = "..." * ("..." in left) + "".join(sorted(c for c in sizes if letters.count(c) == 1))
    before, dots, after = right.partition("...")
    if not set(before + after) <= set(sizes) or len(set(before + after)) < len(before + after):
        refuse(f"equation {equation!r}: {right!r} is no result of {left!r}")
    return (*(sizes[c] for c in before), *(broadcast(*wide) if dots else ()), *(sizes[c] for c in after))


def Det(X: Shape) -> Shape:
    if len(X) < 2:
        refuse(f"{show(X)} is no matrix")
    agree(X[-2], X[-1], f"rows and columns of {show(X)}")
    return X[:-2]
