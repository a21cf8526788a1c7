"""Checks a report of index_files.py against a plain loop over the same files.

python examples/check_index.py REPORT [DIRECTORY]
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from index_files import describe, files_under, standard_library


def expect(paths: Iterable[str]) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Returns what a plain loop finds: path -> description, and path -> type of the error."""
    described: dict[str, dict[str, Any]] = {}
    errors: dict[str, str] = {}
    for path in paths:
        try:
            # Through JSON, as the report: tuples become lists.
            described[path] = json.loads(json.dumps(describe(path)))
        except (UnicodeDecodeError, OSError) as error:
            errors[path] = type(error).__name__
    return described, errors


def differences(report: Path, paths: Iterable[str], failed: Mapping[str, str] | None = None) -> list[str]:
    """Returns how the report, and the failed jobs (path -> type of error) if given, differ from the loop."""
    described, errors = expect(paths)
    lines = [json.loads(line) for line in report.read_bytes().splitlines()] if report.exists() else []
    found = {line["path"]: line for line in lines}
    times = Counter(line["path"] for line in lines)

    wrong = [f"{path}: reported {number} times" for path, number in times.items() if number > 1]
    wrong += [f"{path}: not reported" for path in described.keys() - found.keys()]
    wrong += [f"{path}: reported, the loop does not" for path in found.keys() - described.keys()]
    wrong += [
        f"{path}: reported {found[path]}, the loop finds {described[path]}"
        for path in described.keys() & found.keys()
        if found[path] != described[path]
    ]
    if failed is not None:
        wrong += [
            f"{path}: job failed with {failed.get(path)}, the loop with {errors.get(path)}"
            for path in failed.keys() | errors.keys()
            if failed.get(path) != errors.get(path)
        ]
    return sorted(wrong)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path)
    parser.add_argument("directory", nargs="?", default=standard_library())
    arguments = parser.parse_args()
    wrong = differences(arguments.report, list(files_under(arguments.directory)))
    for line in wrong:
        print(line)
    print(f"{len(wrong)} differences")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
