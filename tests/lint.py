"""The checks of `make lint` beside ruff: luacheck reads the scripts, and Lua and Cython keep to the columns of Python.

`python -m tests.lint` prints each problem as `file:line: what`, and fails if there is one.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from fastjobs.store import scripts

ROOT = Path(__file__).resolve().parents[1]
COLUMNS = 120
#: The files that ruff does not read.
CHECKED_FOR_COLUMNS = ("fastjobs/**/*.lua", "fastjobs/**/*.pyx", "fastjobs/**/*.pxi")

#: Stands behind each line of a script while luacheck reads it; then where the line comes from.
_MARK = "  --: "
_REPORT = re.compile(r"^.*?(\w+)\.lua:(\d+):\d+: (.+)$", re.MULTILINE)
_UNUSED = re.compile(r"unused (?:function|variable) '(\w+)'")
_INCLUDE = re.compile(r"^-- @include (lib/\w+)$", re.MULTILINE)
_FUNCTION = re.compile(r"^local function (\w+)", re.MULTILINE)


class Problem(NamedTuple):
    """What luacheck reports of a script."""

    script: str
    #: The file and line that it comes from, as `lib/clock:2`.
    origin: str
    what: str


def main() -> int:
    """Prints all problems; returns the exit code."""
    if shutil.which("luacheck") is None:
        print("luacheck is not installed: it is in the Debian package lua-check (apt-get install lua-check)")
        return 2
    problems = [*long_lines(), *lua_problems()]
    print("\n".join(problems) or "All scripts are in order!")
    return 1 if problems else 0


def long_lines() -> Iterator[str]:
    """Yields the lines of Lua and Cython that have too many columns."""
    for path in sorted(path for pattern in CHECKED_FOR_COLUMNS for path in ROOT.glob(pattern)):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if len(line) > COLUMNS:
                yield f"{path.relative_to(ROOT)}:{number}: {len(line)} columns, at most {COLUMNS}"


def lua_problems() -> list[str]:
    """Returns what luacheck finds in the scripts, each read in one piece as a server gets it.

    A script may leave functions of an included file unused, but not all of them.
    """
    found = set()
    unused: dict[tuple[str, str], set[str]] = defaultdict(set)
    for problem in luacheck(marked_scripts()):
        file, _, line = problem.origin.rpartition(":")
        function = _UNUSED.match(problem.what)
        if function and file.startswith("lib/"):
            unused[problem.script, file].add(function[1])
        else:
            found.add(f"fastjobs/store/scripts/{file}.lua:{line}: {problem.what}")
    for script in scripts.names():
        for file in _INCLUDE.findall(scripts._read(script)):
            if unused[script, file].issuperset(_FUNCTION.findall(scripts._read(file))):
                found.add(f"fastjobs/store/scripts/{script}.lua:1: nothing of {file} is used")
    return sorted(found)


def marked_scripts() -> dict[str, str]:
    """Returns the scripts, completed, with the origin of each line behind it."""
    plain = scripts._read

    def marked(name: str) -> str:
        lines = enumerate(plain(name).splitlines(), 1)
        return "".join(f"{_mark(line, f'{name}:{number}')}\n" for number, line in lines)

    scripts._read = marked
    scripts.load.cache_clear()
    try:
        return {script.name: script.source for script in scripts.all_scripts()}
    finally:
        scripts._read = plain
        scripts.load.cache_clear()


def _mark(line: str, origin: str) -> str:
    return line if line.startswith("-- @") else f"{line}{_MARK}{origin}"


def luacheck(sources: dict[str, str]) -> Iterator[Problem]:
    """Yields the problems that luacheck finds."""
    with tempfile.TemporaryDirectory() as directory:
        for name, source in sources.items():
            Path(directory, f"{name}.lua").write_text(source, encoding="utf-8")
        command = ["luacheck", "--config", str(ROOT / ".luacheckrc"), "--formatter", "plain", directory]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    reports = _REPORT.findall(ended.stdout)
    if len(reports) != len(ended.stdout.splitlines()):
        raise RuntimeError(f"luacheck failed: {ended.stdout}{ended.stderr}")
    for name, number, what in reports:
        _, _, origin = sources[name].splitlines()[int(number) - 1].partition(_MARK)
        yield Problem(name, origin or f"{name}:1", what)


if __name__ == "__main__":
    sys.exit(main())
