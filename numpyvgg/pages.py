"""Files that lie beside a module, and the templates among them: what every page of HTML is made from."""

from __future__ import annotations

import importlib.resources

import jinja2


def beside(package: str, name: str) -> str:
    """The text of a file in a package's folder, also where that is within a zip."""
    return importlib.resources.files(package).joinpath(name).read_text("utf-8")


def environment(package: str) -> jinja2.Environment:
    """Jinja's settings for a package's templates: whatever is filled in is escaped."""
    loader = jinja2.FunctionLoader(lambda name: beside(package, name))
    return jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
