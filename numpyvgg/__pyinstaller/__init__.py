"""What PyInstaller asks an installed package: where its hooks are."""

from __future__ import annotations

import os


def get_hook_dirs() -> list[str]:
    """The folder of the hooks; named in pyproject.toml as the entry point ``pyinstaller40``."""
    return [os.path.dirname(__file__)]
