"""Puts the newest complete results, with and without peers, into the documents: `python -m bench.publish`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from bench.peers.report import head, newest_whole, short_table, whole_table
from bench.report import newest_run
from bench.worker import ROOT


def put(path: Path, name: str, text: str) -> None:
    """Replaces the text between `<!-- name -->` and `<!-- /name -->`.

    Raises:
        SystemExit: the document has no such place.
    """
    document = path.read_text()
    replaced, count = re.subn(
        rf"(?s)(<!-- {name} -->\n).*(<!-- /{name} -->)", lambda match: match[1] + text + match[2], document
    )
    if count != 1:
        raise SystemExit(f"{path} has no place for {name!r}")
    path.write_text(replaced)
    print(path)


def put_rows(server: str) -> bool:
    """Puts the table of all rows on a server into its document; False when there is none."""
    results = newest_run(server)
    if results is None:
        print(f"no complete run on {server} in bench/out: run `python -m bench.run --server {server}`", file=sys.stderr)
        return False
    about, _, rows = results.with_suffix(".md").read_text().partition("\n\n")
    put(ROOT / "bench/README.md", f"rows on {server}", f"> {about.strip()}\n\n{rows.strip()}\n")
    return True


def put_peers() -> bool:
    """Puts the tables of the peers into their documents; False when there are none."""
    results = newest_whole()
    if results is None:
        print("no complete comparison in bench/out: run `make bench-peers`", file=sys.stderr)
        return False
    about = results["about"]
    lowest, highest = about["load_during"]
    caption = f"{about['server']}, {about['cpus']} x {about['cpu']}; medians of {about['rounds']} rounds"
    short = f"{short_table(results['rows'])}\n\n{caption}; load {lowest:.0f} to {highest:.0f} meanwhile.\n"
    put(ROOT / "README.md", "peers", short)
    whole = f"> {head(about)}\n{whole_table(results['rows'])}\n"
    put(ROOT / "bench/README.md", "peers", whole)
    return True


def main() -> int:
    """The command; returns 1 when a result to publish is missing."""
    return 0 if all([put_rows("valkey"), put_rows("redis"), put_peers()]) else 1


if __name__ == "__main__":
    sys.exit(main())
