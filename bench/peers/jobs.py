"""The handlers, and the settings that the environment names. Needs no package."""

from __future__ import annotations

import os
import time
from pathlib import Path

SOCKET = os.environ.get("PEERS_SOCKET", "")
URL = f"unix://{SOCKET}"
CONFIGURATION = os.environ.get("PEERS_CONFIGURATION", "")
TUNED = CONFIGURATION == "tuned"
#: The directory of the handlers' notes.
NOTES = Path(os.environ.get("PEERS_NOTES", "."))

if os.environ.get("PEERS_COUNTED"):

    def welcome(user_id: int, *, email: str, template: str) -> None:
        """The reference job when each is checked to run once: notes its user id."""
        with (NOTES / "ran").open("a") as file:
            file.write(f"{user_id}\n")

else:

    def welcome(user_id: int, *, email: str, template: str) -> None:
        """The reference job."""


def mark(name: str) -> None:
    """Notes when it ran, on the machine's monotonic clock."""
    now_ns = time.monotonic_ns()
    (NOTES / name).write_text(str(now_ns))


def noted(begun_ns: int) -> None:
    """Notes how long ago it was enqueued."""
    delay_ns = time.monotonic_ns() - begun_ns
    with (NOTES / "delays").open("a") as file:
        file.write(f"{delay_ns}\n")


def hang(name: str) -> None:
    """Notes when it begins, and never ends."""
    with (NOTES / name).open("a") as file:
        file.write(f"{time.monotonic_ns()}\n")
    while True:
        time.sleep(3600)


HANDLERS = (welcome, mark, noted, hang)
