"""Run the command line under every kind of output encoding, with file names of every kind: no traceback may come.

    python tools/try_locales.py            # each command line in a process of its own; exit code 1 if one fails

A command line passes when its exit code is one of those that the README promises (0, 1, 2) and its output holds no
traceback, no control character and nothing that its own encoding cannot decode.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from make_standin import write_standin
from PIL import Image
from tqdm import tqdm

PORTRAIT = Path(__file__).parents[1] / "numpyvgg" / "data" / "eileen_collins.jpg"
#: what a shell or a service sets -> the encoding of the output then
ENVIRONMENTS: dict[str, tuple[dict[str, str], str]] = {
    "ascii": ({"PYTHONIOENCODING": "ascii"}, "ascii"),
    "cp1252": ({"PYTHONIOENCODING": "cp1252"}, "cp1252"),
    "latin-1": ({"PYTHONIOENCODING": "latin-1"}, "latin-1"),
    "utf-8:strict": ({"PYTHONIOENCODING": "utf-8:strict"}, "utf-8"),
    "C locale": ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, "ascii"),
    "C.UTF-8": ({"LC_ALL": "C.UTF-8"}, "utf-8"),
}
#: names as bytes, as the file system keeps them
NAMES = [
    b"plain.png",
    "grüße.png".encode(),
    "年😀.png".encode(),
    b"caf\xe9.png",  # Latin-1: no UTF-8
    b"two\nlines.png",
    b"cr\rname.png",
    b"\x1b[31mred\x07.png",
    b"=cmd|calc!A1.png",
    b"-dash.png",
    b'a "quoted", name.png',
    "rtl\u202egnp.png".encode(),
]
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def make_folder(folder: Path) -> None:
    """A tiny network, and a photograph under every name."""
    write_standin(folder / "age.onnx", width=1 / 16)
    photo = Image.open(PORTRAIT).resize((64, 64))
    for name in NAMES:
        with open(os.path.join(os.fsencode(folder), name), "wb") as file:
            photo.save(file, "PNG")
    (folder / "broken\x1b[2J.jpg").write_bytes(b"\xff\xd8 nothing more")
    with open(os.path.join(os.fsencode(folder), b"net\xe9\n.onnx"), "wb") as file:
        file.write((folder / "age.onnx").read_bytes())


def command_lines() -> Iterator[list[str]]:
    """Each command with names of every kind, right and wrong."""
    model = ["--model", "age.onnx"]
    names = [os.fsdecode(b"./" + name) for name in NAMES]
    for name in names:
        yield ["predict", name, *model]
        yield ["predict", name, *model, "--csv"]
        yield ["inspect", name]
        yield ["predict", f"{name}.missing", *model]
        yield ["fetch", name]
    for form in ([], ["--csv"], ["--json"], ["--top", "3"]):
        yield ["predict", ".", *model, *form]
        yield ["predict", "plain.png", "--model", os.fsdecode(b"net\xe9\n.onnx"), *form]
    yield ["predict", "plain.png", "--model", names[3]]
    yield ["predict", "plain.png", *model, "--nonsense\x1b[1m"]
    yield ["explain", names[2], *model, "--terminal"]
    yield ["explain", "plain.png", *model, "-o", f"missing{os.fsdecode(NAMES[3])}/page.html"]
    yield ["inspect", os.fsdecode(b"net\xe9\n.onnx")]
    yield ["inspect", "age.onnx", "--json"]
    yield ["models"]
    yield ["models", "--json"]
    yield ["parity", "age.onnx", "--against", names[2]]
    yield ["--help"]


def fault(returncode: int, stdout: bytes, stderr: bytes, encoding: str, text: bool) -> str:
    """What is wrong with how a command line went, or ""."""
    try:
        out, err = stdout.decode(encoding), stderr.decode(encoding)
    except UnicodeDecodeError as error:
        return f"output is no {encoding}: {error}"
    if returncode not in (0, 1, 2):
        return f"exit code {returncode}"
    if "Traceback" in err or "fault of numpyvgg" in err:
        return err.splitlines()[-1]
    if returncode == 2 and err.count("\n") != 1:
        return f"{err.count(chr(10))} lines of error"
    if _CONTROL.search(err) or (text and _CONTROL.search(out)):
        return "a control character"
    return ""


def main() -> int:
    failed = count = 0
    with tempfile.TemporaryDirectory() as folder:
        make_folder(Path(folder))
        package = str(Path(__file__).parents[1])
        for name, (setting, encoding) in ENVIRONMENTS.items():
            inherited = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "PYTHON"))}
            environment = {**inherited, "PYTHONPATH": package, "NUMPYVGG_CACHE": folder, **setting}
            for arguments in tqdm(list(command_lines()), desc=name, disable=None):
                count += 1
                command = [sys.executable, "-m", "numpyvgg", *arguments]
                done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
                wrong = fault(done.returncode, done.stdout, done.stderr, encoding, "--csv" not in arguments)
                if wrong:
                    failed += 1
                    print(f"{name}: {arguments!a}: {wrong!a}")
    print(f"{count} command lines, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
