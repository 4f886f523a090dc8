"""The page with a server behind it: any value of any layer taken apart, and the answer with a part covered.

It answers on this machine alone, below an address that holds a secret made anew for each start, and only where the
browser names that very address as its host: so a page of another site cannot read it, whatever name it has for this
machine (DNS rebinding). Three addresses exist; no file is opened for any of them. Whoever can read the address can read
the page, and the command line of the browser that is opened may show it to other users of the machine.

waitress does the speaking of HTTP: pure Python, kept by the Pylons project, with limits on connections, sizes and time
that ``http.server`` ("not recommended for production") leaves to its users.
"""

from __future__ import annotations

import hmac
import json
import logging
import re
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

import numpy as np

from ..errors import ArgumentError, MissingExtraError, NumpyVggError, printable
from ..graph.graph import Graph
from ..photo.answers import answer
from .explanation import Explanation, tensors_of
from .gradients import score
from .occlusion import hidden
from .page import name_of, render, words_of
from .pixel import finite, take_apart

try:
    import waitress
except ImportError:
    raise MissingExtraError("the live page needs waitress: pip install waitress") from None

HOST = "127.0.0.1"
#: Of the server: what a browser asks for is far below each of them
LIMITS = {
    "threads": 4,
    "connection_limit": 64,  # others wait in the system's own queue
    "backlog": 1024,
    "channel_timeout": 30,  # seconds without a byte
    "cleanup_interval": 10,
    "max_request_header_size": 8192,
    "max_request_body_size": 0,
    "asyncore_use_poll": True,
}
_POLICY = {
    "default-src": "'none'",
    "img-src": "data:",
    "style-src": "'unsafe-inline'",
    "script-src": "'unsafe-inline'",
    "connect-src": "'self'",
    **dict.fromkeys(("base-uri", "form-action", "frame-ancestors"), "'none'"),
}
_HEADERS = [
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "; ".join(f"{what} {whence}" for what, whence in _POLICY.items())),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
]


class Live:
    """The page and its answers, as a WSGI application (PEP 3333).

    Parameters
    ----------
    explanations : sequence of Explanation
        Of one photograph; layers are those of the first, and all are asked about what is covered.
    title, note : str
        See `page.render`.

    Attributes
    ----------
    token : str
        The first part of every address.
    host : str
        What the browser must name as its host; see `serve`.
    """

    def __init__(self, explanations: Sequence[Explanation], title: str, note: str = "") -> None:
        self.token, self.host = secrets.token_urlsafe(24), HOST
        self._explanations = list(explanations)
        self._page = render(explanations, title, note, live=True).encode()
        first = explanations[0]
        self._graph, self._layers = Graph(first.network.model), [view.layer for view in first.layers]
        self._values = tensors_of(first.network, first.x)
        self._whole = [each.network.network(each.x) for each in explanations]
        self._turn = threading.Lock()  # one forward pass at a time

    def __call__(self, environ: Mapping[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        status, kind, body = self._answer(environ)
        headers = [("Content-Type", kind), ("Content-Length", str(len(body))), *_HEADERS]
        start_response(status, headers)
        return [body]

    def _answer(self, environ: Mapping[str, Any]) -> tuple[str, str, bytes]:
        if environ.get("HTTP_HOST") != self.host:
            return _text("403 Forbidden", f"this server is http://{self.host} and nothing else")
        _, token, name = (*environ["PATH_INFO"].split("/", 2), "", "")[:3]
        if not hmac.compare_digest(token.encode("utf-8", "replace"), self.token.encode()):
            return _text("404 Not Found", "there is no such page")
        if environ["REQUEST_METHOD"] != "GET":
            return _text("405 Method Not Allowed", "only GET is answered")
        if name == "":
            return "200 OK", "text/html; charset=utf-8", self._page
        ask = {"pixel": self.pixel, "covered": self.covered}.get(name)
        if ask is None:
            return _text("404 Not Found", "there is no such page")
        try:
            found = ask(environ.get("QUERY_STRING", ""))
        except ArgumentError as error:
            return _text("400 Bad Request", str(error))
        except (NumpyVggError, MemoryError) as error:
            return _text("500 Internal Server Error", printable(str(error)))
        return "200 OK", "application/json", json.dumps(found, allow_nan=False).encode()

    def pixel(self, query: str) -> dict[str, Any]:
        """``layer=7&index=3,10,12``: one value, taken apart; see `pixel.take_apart`.

        Raises
        ------
        ArgumentError
            The query is another, or there is no such layer or value.
        """
        ((number,), place) = _numbers(query, {"layer": 1, "index": None})
        layer = self._layers[_below(number, len(self._layers), "layer")]
        if len(place) != len(layer.output_shape):
            raise ArgumentError(f"layer {number} has {len(layer.output_shape)} axes, and {len(place)} are given")
        for index, size in zip(place, layer.output_shape, strict=True):
            _below(index, size, "index")
        return take_apart(self._graph, self._values, layer, place)

    def covered(self, query: str) -> list[dict[str, Any]]:
        """``top=40&left=60&side=56``: what each network answers with a square of the first's crop painted over.

        Raises
        ------
        ArgumentError
            The query is another, or the square is not in the crop.
        """
        ((top,), (left,), (side,)) = _numbers(query, {"top": 1, "left": 1, "side": 1})
        height, width = self._explanations[0].x.shape[2:]
        if not 0 < side <= min(height, width) or top + side > height or left + side > width:
            raise ArgumentError(f"no square of {side} pixels at {top}, {left} is in a crop of {height} x {width}")
        square = np.array([top / height, left / width, (top + side) / height, (left + side) / width])
        with self._turn:
            return [
                self._without(each, whole, square) for each, whole in zip(self._explanations, self._whole, strict=True)
            ]

    def _without(self, explanation: Explanation, whole: np.ndarray, square: np.ndarray) -> dict[str, Any]:
        """One network's answer without a square, whose edges are shares of the image's sides."""
        top, left, bottom, right = np.rint(square * np.tile(explanation.x.shape[2:], 2)).astype(int).tolist()
        outputs = explanation.network.network(hidden(explanation.x, top, left, bottom, right))
        before, after = score(np.concatenate([whole[:1], outputs[:1]]), explanation.labels).tolist()
        return {
            "network": name_of(explanation),
            "answer": str(answer(outputs[0], explanation.labels)),
            "change": finite(after - before),
            "unit": words_of(explanation)[3],
        }


def _text(status: str, text: str) -> tuple[str, str, bytes]:
    return status, "text/plain; charset=utf-8", text.encode()


def _numbers(query: str, fields: Mapping[str, int | None]) -> list[tuple[int, ...]]:
    """The numbers of a query: each field once, with so many numbers, each of at most six digits."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, max_num_fields=len(fields))
    except ValueError:
        pairs = []
    given = dict(pairs)
    if given.keys() != fields.keys() or len(pairs) != len(fields):
        raise ArgumentError(f"ask with {', '.join(fields)}, each once")
    found = []
    for name, count in fields.items():
        if not re.fullmatch(r"[0-9]{1,6}(,[0-9]{1,6}){0,7}", given[name]):
            raise ArgumentError(f"{name} takes whole numbers of at most six digits")
        found.append(tuple(map(int, given[name].split(","))))
        if count not in (None, len(found[-1])):
            raise ArgumentError(f"{name} takes one number")
    return found


def _below(number: int, size: int, what: str) -> int:
    if number >= size:
        raise ArgumentError(f"{what} {number} does not exist; they are numbered 0 to {size - 1}")
    return number


class Server:
    """A server that is bound to a free port of the loopback interface; `run` answers until Ctrl-C.

    Attributes
    ----------
    address : str
        Of the page.
    """

    def __init__(self, live: Live) -> None:
        logging.getLogger("waitress").addHandler(logging.NullHandler())  # a full queue is no news to whoever reads
        self._server = waitress.create_server(live, host=HOST, port=0, ident="", **LIMITS)
        live.host = f"{HOST}:{self._server.effective_port}"
        self.address = f"http://{live.host}/{live.token}/"

    def run(self) -> None:
        """Answer until Ctrl-C, and free the port."""
        try:
            self._server.run()
        finally:
            self._server.close()
