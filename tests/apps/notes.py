"""Where handlers and hooks of the apps under test note what they did: a file all processes append to."""

from __future__ import annotations

import os
from pathlib import Path


def note(*words: object) -> None:
    line = " ".join(str(word) for word in words) + "\n"
    descriptor = os.open(os.environ["TEST_NOTES"], os.O_WRONLY | os.O_APPEND)
    os.write(descriptor, line.encode())
    os.close(descriptor)


def notes() -> list[str]:
    return Path(os.environ["TEST_NOTES"]).read_text().splitlines()
