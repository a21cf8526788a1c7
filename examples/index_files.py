"""One job per file of a directory: its size, SHA-256, number of lines and most frequent words.

python examples/index_files.py [DIRECTORY] [--report REPORT]

Each job appends one line to the report, so a job that ran twice would show. A file that is not UTF-8
fails its job for good; the job keeps the error.
"""

import argparse
import hashlib
import json
import os
import re
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastjobs import FastJobs, Status

#: Directories that change while Python runs, or are not part of its standard library.
SKIPPED = {"__pycache__", "site-packages", "dist-packages"}
WORD = re.compile(r"[^\W\d_]{3,}")

# The job of every file is looked up at the end, so all of them are kept.
app = FastJobs(finished_keep=1_000_000)


def describe(path: str) -> dict[str, Any]:
    """Returns the line of a file in the report; raises UnicodeDecodeError if it is not UTF-8."""
    data = Path(path).read_bytes()
    text = data.decode("utf-8")
    return {
        "path": path,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "lines": len(text.splitlines()),
        "words": Counter(WORD.findall(text.lower())).most_common(5),
    }


# The file would be no better the second time, so there is no retry.
@app.job(queue="index", retries=0)
def index_file(path: str, report: str) -> None:
    line = json.dumps(describe(path)).encode() + b"\n"
    # One write in append mode: lines of several processes do not mix.
    descriptor = os.open(report, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        if os.write(descriptor, line) != len(line):
            raise OSError(f"{report} took only a part of a line")
    finally:
        os.close(descriptor)


def standard_library() -> str:
    return sysconfig.get_path("stdlib")


def files_under(directory: str) -> Iterator[str]:
    """Yields the regular files of a tree, in a fixed order; files with names that are not text are left out."""
    for place, directories, names in os.walk(directory):
        directories[:] = sorted(set(directories) - SKIPPED)
        for path in (Path(place, name) for name in sorted(names)):
            if not is_text(str(path)):
                print(f"left out, its name is not UTF-8: {os.fsencode(path)!r}", file=sys.stderr)
            elif path.is_file():
                yield str(path)


def is_text(name: str) -> bool:
    """Whether a name is UTF-8 on disk: Python keeps other bytes as lone surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", nargs="?", default=standard_library())
    parser.add_argument("--report", default="index.jsonl", help="default: index.jsonl; replaced")
    arguments = parser.parse_args()
    report = Path(arguments.report).resolve()
    report.unlink(missing_ok=True)

    paths = list(files_under(arguments.directory))
    ids = index_file.enqueue_many(((path, str(report)) for path in paths), progress=True)
    worker = app.pool(processes=2, burst=True)
    worker.start()
    if worker.wait():
        return 1

    failed = 0
    for path, job_id in zip(paths, ids, strict=True):
        job = app.jobs.find(job_id, queue="index")
        if job.status == Status.FAILED and job.error is not None:
            failed += 1
            print(f"{path}: {job.error.type}: {job.error.message}", file=sys.stderr)
    print(f"{len(paths) - failed} files described in {report}, {failed} failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
