"""Tables: with borders and colours on a terminal, if rich is installed; otherwise one line of text per row."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import click

from fastjobs.logs import escape

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

#: Stands for an empty cell in text, so that each line has as many words as there are columns.
_EMPTY = "-"


class Grid(NamedTuple):
    """A table. Its cells come from the store: control characters are escaped when they are printed."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    #: Columns whose cells end at the right.
    right: Collection[str] = ()
    #: Colours of columns; a zero has none.
    colours: Mapping[str, str] = {}


#: Parts of a page, one below the other.
Part = Grid | str


def show(*parts: Part) -> None:
    """Prints parts of a page to standard output."""
    if _is_rich():
        from rich.console import Console  # noqa: PLC0415 - not needed for a pipe, and perhaps not installed

        Console(highlight=False).print(*map(_rich, parts), sep="\n")
    else:
        click.echo("\n".join(map(as_text, parts)))


@contextmanager
def live() -> Iterator[Callable[..., None]]:
    """Yields a function that shows parts of a page in the place of those before, or below them where it cannot."""
    if not _is_rich():
        yield show
        return
    from rich.console import Console, Group  # noqa: PLC0415
    from rich.live import Live  # noqa: PLC0415

    with Live(console=Console(highlight=False), auto_refresh=False) as page:
        yield lambda *parts: page.update(Group(*map(_rich, parts)), refresh=True)


def as_text(part: Part) -> str:
    """Returns a part in lines of text: a table in columns that two spaces or more separate."""
    if isinstance(part, str):
        return _escaped(part)
    rows = [
        [*part.columns],
        *([", ".join(map(escape, cell.split("\n"))) or _EMPTY for cell in row] for row in part.rows),
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if name in part.right else cell.ljust(width)
            for name, cell, width in zip(part.columns, row, widths, strict=True)
        ).rstrip()
        for row in rows
    )


def _is_rich() -> bool:
    return sys.stdout.isatty() and importlib.util.find_spec("rich") is not None


def _rich(part: Part) -> RenderableType:
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    if isinstance(part, str):
        return Text(_escaped(part))
    table = Table(title=part.title or None, title_justify="left", title_style="bold")
    for name in part.columns:
        table.add_column(name, overflow="fold", justify="right" if name in part.right else "left")
    for row in part.rows:
        cells: Iterable[tuple[str, str]] = zip(part.columns, row, strict=True)
        table.add_row(*(Text(_escaped(cell), _style(part, name, cell)) for name, cell in cells))
    return table


def _style(grid: Grid, column: str, cell: str) -> str:
    if cell == "0":
        return "dim"
    return grid.colours.get(column, "")


def _escaped(text: str) -> str:
    return "\n".join(map(escape, text.split("\n")))
