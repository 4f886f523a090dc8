"""A server for the browser's page, with a stand-in for Pyodide behind ``/pyodide/``: Python in its own process."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

STANDIN = Path(__file__).parent / "pyodide"


class Python:
    """A process that has imported nothing yet, and the folder that it works in."""

    def __init__(self, folder: Path, packages: tuple[str, ...] = ("numpy",)) -> None:
        self.folder, self.packages = folder, packages
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        self._process = subprocess.Popen(
            [sys.executable, STANDIN / "process.py"], cwd=folder, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def put(self, path: str, content: bytes) -> None:
        if path == "unpack":
            zipfile.ZipFile(io.BytesIO(content)).extractall(self.folder)
        else:
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_bytes(content)

    def call(self, request: str) -> Iterator[str]:
        """Lines, as they come, up to the answer's."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(request + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            yield line
            if "answer" in json.loads(line):
                return

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


class Handler(SimpleHTTPRequestHandler):
    """Files of the page; what is posted to the stand-in goes to the process."""

    def __init__(self, *args, python: Python, **kwargs):
        self.python = python
        super().__init__(*args, **kwargs)

    def log_message(self, *args: object) -> None:
        """Tests look at the answers."""

    def translate_path(self, path: str) -> str:
        if path.startswith("/pyodide/"):
            return str(STANDIN / path.removeprefix("/pyodide/"))
        return super().translate_path(path)

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"] or 0))
        what, _, given = unquote(self.path.removeprefix("/pyodide/")).partition("?")
        known = what != "load" or given in self.python.packages
        if what == "put":
            self.python.put(given, content)
        self.send_response(200 if known else 404)
        self.end_headers()
        if what == "call":
            for line in self.python.call(content.decode()):
                self.wfile.write(line.encode())
                self.wfile.flush()


@contextlib.contextmanager
def served(page: Path, python: Python) -> Iterator[str]:
    """The address at which a folder is served on this machine, until the context is left."""
    handler = partial(Handler, directory=str(page), python=python)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        python.end()
