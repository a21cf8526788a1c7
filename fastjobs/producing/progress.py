"""A progress bar for bulk enqueues, on terminals only; without rich, a number that grows."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Any

#: Called with the number of jobs that were stored.
Progress = Callable[[int], None]


@contextmanager
def progress_bar(items: Iterable[Any], *, show: bool) -> Iterator[Progress | None]:
    """Shows a bar while its block runs.

    Args:
        items: the items that are enqueued; if they have a length, the bar shows how many are left.
        show: whether a bar is wanted; there is none without a terminal on standard error.

    Yields:
        The function to call with the number of newly stored jobs; None without a bar.
    """
    if not show or not sys.stderr.isatty():
        yield None
        return
    if importlib.util.find_spec("rich") is None:
        yield from _counter()
        return
    from rich import progress  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415 - slow to import, and seldom needed

    columns = (
        progress.TextColumn("enqueued"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("enqueued", total=len(items) if isinstance(items, Sized) else None)
        yield lambda number: bar.advance(task, number)


def _counter() -> Iterator[Progress]:
    enqueued = 0

    def advance(number: int) -> None:
        nonlocal enqueued
        enqueued += number
        print(f"\renqueued {enqueued:,}", end="", file=sys.stderr, flush=True)  # noqa: T201

    yield advance
    print(file=sys.stderr)  # noqa: T201
