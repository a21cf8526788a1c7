"""The program of `make demo`: an embedded server, a job per file of the standard library, and a million empty jobs.

Everything is real: server and worker are separate processes, and the reports of the jobs are compared with a plain loop
over the same files. The exit code is 1 if anything differs.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from check_index import differences
from index_files import files_under, standard_library
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from fastjobs import FastJobs, Job, Status
from fastjobs.server import embedded

HERE = Path(__file__).resolve().parent
SCRIPTS = Path(sysconfig.get_path("scripts"))
#: Statuses of jobs that have not ended.
OPEN = (Status.SCHEDULED, Status.QUEUED, Status.EXECUTING, Status.RETRYING)
#: Number of differences to print.
SHOWN = 10
#: File that marks a directory as made by a demo, which the next demo may replace.
CLAIM = "made-by-the-demo"

console = Console(highlight=False, soft_wrap=True)


@contextmanager
def own_server(home: Path) -> Iterator[embedded.ServerInfo]:
    """Starts an embedded server without data, for this run only."""
    settings = [name for name in os.environ if name.startswith("FASTJOBS_") and name != "FASTJOBS_SERVER_BIN"]
    for name in [*settings, "REDIS_URL", "VALKEY_URL"]:
        os.environ.pop(name, None)
    embedded.stop(home)  # A demo that was killed leaves one behind.
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    (home / CLAIM).touch()
    os.environ["FASTJOBS_DIR"] = str(home)
    try:
        yield embedded.start()
    finally:
        embedded.stop()


@contextmanager
def worker(home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Runs the command that a user would run; its log goes to a file, the terminal shows the progress."""
    command = [SCRIPTS / "fastjobs-worker", HERE / "demo_jobs.py", "-p", "2", "--burst"]
    with (home / "worker.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def watch(app: FastJobs, process: subprocess.Popen[bytes], totals: dict[str, int]) -> None:
    """Shows the progress of the queues until the worker ends."""
    columns = (TextColumn("{task.description:8}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bars = {queue: progress.add_task(queue, total=total) for queue, total in totals.items()}
        ended = False
        while not ended:
            ended = process.poll() is not None
            for queue, counts in app.jobs.counts(list(totals)).items():
                waiting = sum(counts[status] for status in OPEN)
                progress.update(bars[queue], completed=totals[queue] - waiting)
            if not ended:
                time.sleep(0.1)


def show_totals(took_s: float) -> dict[str, dict[str, int]]:
    """Prints the totals of the queues, from the JSON of `fastjobs info`."""
    command = [SCRIPTS / "fastjobs", "info", "--json"]
    info = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    totals: dict[str, dict[str, int]] = {name: queue["totals"] for name, queue in info["queues"].items()}
    table = Table(title="jobs by status", title_justify="left")
    table.add_column("queue")
    for name in ("finished", "failed", "cancelled", "enqueued"):
        table.add_column(name, justify="right")
    for queue, of_queue in totals.items():
        numbers = (of_queue[name] for name in ("finished", "failed", "cancelled", "enqueued"))
        table.add_row(queue, *(f"{number:,}" for number in numbers))
    console.print(table)
    ended = sum(of_queue["finished"] + of_queue["failed"] for of_queue in totals.values())
    console.print(f"{ended:,} jobs in {took_s:.2f} s: {ended / took_s:,.0f} jobs/s, with start and end of the worker")
    return totals


def show_jobs(jobs: Sequence[Job]) -> None:
    """Prints the slowest job, and the errors by type."""
    slowest = max((job for job in jobs if job.duration is not None), key=lambda job: job.duration, default=None)
    if slowest is not None and slowest.duration is not None and slowest.args:
        milliseconds = slowest.duration.total_seconds() * 1000
        console.print(Text(f"slowest job: {milliseconds:.1f} ms, {slowest.type} {slowest.args[0]}"))
    by_type: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        if job.status == Status.FAILED and job.error is not None:
            by_type[job.error.type].append(job)
    for name, failed in by_type.items():
        first = failed[0]
        example = f"{first.args[0] if first.args else first.id}: {first.error.message if first.error else ''}"
        console.print(Text(f"{len(failed)} failed with {name}, for example {example}"))


def demo(home: Path, directory: str, number: int) -> list[str]:
    """Runs the jobs; returns everything that differs from what is expected."""
    # Imported only now that the environment is set: importing the module makes the app.
    from demo_jobs import app, index_file, nothing  # noqa: PLC0415

    report = home / "report.jsonl"
    paths = list(files_under(directory))
    began_s = time.monotonic()
    ids = index_file.enqueue_many([(path, str(report)) for path in paths], progress=True)
    nothing.enqueue_many(range(number), progress=True)
    took_s = time.monotonic() - began_s
    console.print(f"enqueued {len(paths):,} files of {directory}")
    console.print(f"and {number:,} jobs that do nothing, together in {took_s:.2f} s")

    began_s = time.monotonic()
    with worker(home) as process:
        watch(app, process, {"index": len(paths), "nothing": number})
    took_s = time.monotonic() - began_s
    if process.returncode:
        return [f"the worker exited with {process.returncode}, see {home / 'worker.log'}"]

    totals = show_totals(took_s)
    jobs = [app.jobs.find(job_id, queue="index") for job_id in ids]
    app.close()
    show_jobs(jobs)

    failed = {
        path: job.error.type if job.error else "?"
        for path, job in zip(paths, jobs, strict=True)
        if job.status == Status.FAILED
    }
    wrong = differences(report, paths, failed)
    wrong += [f"{path}: job is {job.status}" for path, job in zip(paths, jobs, strict=True) if job.status in OPEN]
    finished = totals.get("nothing", {}).get("finished", 0)
    if finished != number:
        wrong.append(f"of {number:,} jobs that do nothing {finished:,} finished")
    if not wrong:
        described = len(paths) - len(failed)
        console.print(f"a plain loop over the files finds the same: {described:,} described, {len(failed):,} failed")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=HERE.parent / ".demo", help="directory to replace; default: .demo")
    parser.add_argument("--directory", default=standard_library(), help="default: the standard library")
    parser.add_argument(
        "--jobs", type=int, default=1_000_000, help="number of jobs that do nothing; default: a million"
    )
    arguments = parser.parse_args()
    home = arguments.home.resolve()
    if home.exists() and not (home / CLAIM).exists():
        parser.error(f"{home} was not made by the demo, so it is not replaced")
    with own_server(home) as server:
        console.print(f"{server.version} runs in {server.directory}")
        wrong = demo(home, arguments.directory, arguments.jobs)
    for line in wrong[:SHOWN]:
        console.print(Text(line, style="red"))
    if wrong:
        console.print(Text(f"{len(wrong)} differences", style="bold red"))
        return 1
    console.print(f"look around: FASTJOBS_DIR={home} {SCRIPTS / 'fastjobs'} info")
    return 0


if __name__ == "__main__":
    sys.exit(main())
