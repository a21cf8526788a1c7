"""Prints what one call of each script costs in a queue of few jobs and in one of many: `make cost`."""

from __future__ import annotations

import click

from tests.cost.measure import costs
from tests.harness.server import ServerProcess


@click.command(help=__doc__)
@click.option("--few", default=1000, show_default=True, help="Jobs in each status of the smaller queue.")
@click.option("--many", default=1_000_000, show_default=True, help="Jobs in each status of the larger queue.")
def main(few: int, many: int) -> None:
    """Measures both and prints a table."""
    with ServerProcess() as server:
        small, large = costs(server, few), costs(server, many)
    click.echo(f"| script | commands, {few:,} | commands, {many:,} | us, {few:,} | us, {many:,} |")
    click.echo("|---|---|---|---|---|")
    for name in sorted(small):
        one, other = small[name], large[name]
        click.echo(f"| `{name}` | {one.commands} | {other.commands} | {one.microseconds} | {other.microseconds} |")


if __name__ == "__main__":
    main()
