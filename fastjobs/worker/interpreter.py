"""Starts further interpreters with the options of this one: `-O`, `-W`, `-X` and the like."""

from __future__ import annotations

import subprocess
import sys


def python(code: str, *arguments: str) -> list[str]:
    """Returns the command that runs code in a new interpreter.

    Args:
        code: the program.
        arguments: its arguments.
    """
    return [sys.executable, *_options(), "-c", code, *arguments]


def _options() -> list[str]:
    # What `multiprocessing` passes on, too; of -X it knows some options only.
    options: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    for name, value in sys._xoptions.items():
        option = name if value is True else f"{name}={value}"
        if option not in options:
            options += ["-X", option]
    return options
