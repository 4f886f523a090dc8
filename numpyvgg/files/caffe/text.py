"""The text form of Caffe's messages, ``.prototxt``: a small reader of protobuf's text format.

A message is a run of fields, each ``name: value`` or ``name { message }``::

    layer {                       # comments run to the end of the line
      name: "conv1"
      type: "Convolution"
      convolution_param { num_output: 96 kernel_size: 7 stride: 4 }
    }

The colon before a message may be there or not, ``<`` and ``>`` may stand for the braces, a comma or a semicolon after
a field; strings have either kind of quotes and continue in the next string; a list in brackets is a field repeated.
Fields that `schema` does not have (fillers, learning rates) are walked over.

Source: https://protobuf.dev/reference/protobuf/textformat-spec/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple, NoReturn

from ...errors import ModelFormatError
from .schema import ENUMS, MESSAGES, Fields

_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)"""
    r"""|(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')"""
    r"""|(?P<word>[A-Za-z_]\w*)"""
    r"""|(?P<number>[-+]?(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?[fF]?))"""
    r"""|(?P<mark>[{}<>:;,\[\]-])"""
)
_ESCAPE = re.compile(r"\\([0-7]{1,3}|[xX][0-9a-fA-F]{1,2}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_DEPTH = 64  # of messages in messages; Caffe's own go five deep
_CLOSING = {"{": "}", "<": ">"}


class _Token(NamedTuple):
    kind: str  # string, word, number, mark; "" at the end
    text: str
    line: int


def parse_text(text: str, source: str, kind: str = "NetParameter") -> Fields:
    """Read a message in text form.

    Parameters
    ----------
    text : str
    source : str
        The file's name, for errors.
    kind : str
        The message's name in caffe.proto.

    Raises
    ------
    ModelFormatError
        The text is not of this form, or a value is not of its field's type; with the line.
    """
    return _Parser(text.removeprefix("\ufeff"), source).message(kind, "", 1, 0)


class _Parser:
    def __init__(self, text: str, source: str):
        self.source = source
        self.tokens = self._tokens(text)
        self.token = next(self.tokens)

    def _tokens(self, text: str) -> Iterator[_Token]:
        position, line = 0, 1
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None:
                self._fail(f"{text[position : position + 12]!r} is no word, number or string", line)
            if match.lastgroup != "space":
                yield _Token(str(match.lastgroup), match.group(), line)
            line += match.group().count("\n")
            position = match.end()
        yield _Token("", "the end", line)

    def _fail(self, reason: str, line: int | None = None) -> NoReturn:
        raise ModelFormatError(f"{self.source}: line {self.token.line if line is None else line}: {reason}")

    def _next(self) -> _Token:
        token, self.token = self.token, next(self.tokens, self.token)
        return token

    def _skip(self, *marks: str) -> bool:
        """Step over a mark, if it is here."""
        return self.token.kind == "mark" and self.token.text in marks and bool(self._next())

    # ------------------------------------------------------------------ messages

    def message(self, kind: str | None, end: str, line: int, depth: int) -> Fields:
        """The fields up to the closing mark, or to the end of the text; of a message that is not known, none."""
        known, values = MESSAGES.get(kind or "", {}), dict[str, list[Any]]()
        if depth > _DEPTH:
            self._fail(f"messages in messages, more than {_DEPTH} deep")
        while self.token.text != end if end else self.token.kind:
            if self.token.kind != "word":
                wanted = f"a field or {end!r}" if end else "a field"
                self._fail(f"{self.token.text!r} where {wanted} belongs")
            name = self._next().text
            for value in self._values(known.get(name, (0, ""))[1], name, depth):
                if name in known:
                    values.setdefault(name, []).append(value)
            self._skip(",", ";")
        self._next()
        return Fields(self.source, f"line {line}", values)

    def _values(self, kind: str, name: str, depth: int) -> Iterator[Any]:
        """What stands after a field's name: one value, or a list of them."""
        colon = self._skip(":")
        if not self._skip("["):
            yield self._value(kind, name, colon, depth)
            return
        while not self._skip("]"):
            yield self._value(kind, name, True, depth)
            if not self._skip(",") and self.token.text != "]":
                self._fail(f"{self.token.text!r} where ',' or ']' belongs")

    def _value(self, kind: str, name: str, colon: bool, depth: int) -> Any:
        line = self.token.line
        if self.token.kind == "mark" and self.token.text in _CLOSING:
            if kind and kind.rstrip("*") not in MESSAGES and kind != "blobs":
                self._fail(f"a message where {name} has a value")
            return self.message(kind.rstrip("*"), _CLOSING[self._next().text], line, depth + 1)
        if not colon or kind.rstrip("*") in MESSAGES:
            wanted = "a message" if kind.rstrip("*") in MESSAGES else "a colon"
            self._fail(f"{self.token.text!r} where {name} has {wanted}")
        return self._scalar(kind, name)

    # ------------------------------------------------------------------ single values

    def _scalar(self, kind: str, name: str) -> Any:
        sign = "-" if self._skip("-") else ""
        token = self._next()
        if token.kind not in ("string", "word", "number"):
            self._fail(f"{token.text!r} where {name} has a value", token.line)
        if token.kind == "string":
            text = _unquoted(token.text)
            while self.token.kind == "string":  # strings that follow each other are one
                text += _unquoted(self._next().text)
            token = token._replace(text=text)
        try:
            return _typed(token, sign, kind.rstrip("s"))
        except (ValueError, KeyError):
            words = ", ".join(list(ENUMS.get(kind, ()))[:4])
            wanted = _KINDS.get(kind.rstrip("s"), f"one of its words ({words}, ...)")
            self._fail(f"{name} is {sign + token.text!r}, which is not {wanted}", token.line)


_BOOLS = {"true": True, "True": True, "t": True, "1": True, "false": False, "False": False, "f": False, "0": False}
_KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "string": "a string in quotes"}


def _typed(token: _Token, sign: str, kind: str) -> Any:
    """A token as a value of a field's type; ValueError or KeyError where it is none."""
    if not kind or kind == "blob":
        return None
    if (kind == "string") != (token.kind == "string"):
        raise ValueError
    if kind == "string":
        return token.text
    if kind == "float":
        return float(sign + token.text.rstrip("fF") if token.kind == "number" else sign + token.text)
    if kind == "bool":
        return _BOOLS[token.text]
    if kind in ENUMS and token.kind == "word":
        return ENUMS[kind][token.text]
    octal = re.fullmatch(r"[-+]?0[0-7]+", token.text)
    value = int(sign + token.text, 8 if octal else 0)
    if not -(1 << 63) <= value < 1 << 64:
        raise ValueError
    return value


def _unquoted(text: str) -> str:
    def escape(match: re.Match[str]) -> str:
        code = match.group(1)
        if code[0] in "xX" and len(code) > 1:
            return chr(int(code[1:], 16))
        return chr(int(code, 8)) if code[0] in "01234567" else _ESCAPES.get(code, code)

    return _ESCAPE.sub(escape, text[1:-1])
