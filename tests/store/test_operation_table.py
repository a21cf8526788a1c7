"""Tries every cell of the table of operations in docs/jobs.md, on each way a job can be stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fastjobs import FastJobs, Job, JobError, JobNotFound, JobType
from fastjobs.model.outcome import Outcome
from tests.harness.queue import Held, QueueUnderTest, record
from tests.harness.server import ServerProcess
from tests.store.conftest import MakeQueue

PAGE = Path(__file__).resolve().parents[2] / "docs" / "jobs.md"
STATUSES = ("scheduled", "queued", "executing", "retrying", "finished", "failed", "cancelled")
COLUMNS = (*STATUSES, "gone")
HOUR_MS = 3_600_000


def read_table() -> dict[str, dict[str, str]]:
    """The table: operation -> column -> cell."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.read_text().splitlines() if "|" in line
    ]
    header = next(number for number, row in enumerate(rows) if row[0] == "operation")
    assert tuple(rows[header][1:]) == COLUMNS
    table = {}
    for row in rows[header + 2 :]:
        if len(row) != len(COLUMNS) + 1:
            break
        table[row[0].replace("`", "")] = dict(zip(COLUMNS, row[1:], strict=True))
    return table


class Jobs:
    """An app, its queue, and one job in the status that is asked for."""

    def __init__(self, server: ServerProcess, queue: QueueUnderTest) -> None:
        self.queue = queue
        self.app = FastJobs(server.url, namespace=queue.config.namespace)
        self.work: JobType[[int], None] = self.app.job(name="work")(_work)

    def handle(self, job_id: str) -> Job:
        return Job(self.app._handles, job_id, self.queue.name)

    def status(self, job_id: str) -> str:
        try:
            return self.handle(job_id).refresh().status.value
        except JobNotFound:
            return "gone"

    def seed(self, kind: str, status: str) -> str:
        """Brings a job into a status; returns its id."""
        if status == "gone":
            return "never~001" if kind == "among others" else "never"
        delay = 3600.0 if status == "scheduled" and kind != "retried" else None
        if kind == "among others":
            job_id = self.work.options(delay=delay).enqueue_many([0, 0, 0])[1]
        else:
            job_id = self.work.options(job_id="chosen", delay=delay).enqueue(0).id
        if kind == "retried":
            self._end(job_id, "retrying", 0)
        if status == "executing":
            self.queue.fetch(self.queue.open(), 10)
        elif self.status(job_id) != status:
            self._end(job_id, status, HOUR_MS)
        return job_id

    def _end(self, job_id: str, state: str, delay_ms: int) -> None:
        """Leases what is queued, lets the job end so, and gives the rest back."""
        held = self.queue.fetch(self.queue.open(), 10)
        chunk_id, _, index = job_id.partition("~")
        in_chunk = f"{chunk_id}~000" not in held.refs
        if state == "finished" and in_chunk:
            taken = self._finish_in_chunk(held, chunk_id, int(index or 0))
        else:
            n = self.queue.size_of(chunk_id) if in_chunk else 0
            ref = chunk_id if in_chunk else f"{chunk_id}~000"
            body = record(job_id)
            outcome = Outcome(ref, n, int(index or 0), state, delay_ms, 0, HOUR_MS, "work", body)
            taken = self.queue.ack(held, (), [outcome])
        assert taken == 1
        self.queue.close_session(held.session)

    def _finish_in_chunk(self, held: Held, chunk_id: str, index: int) -> int:
        n = self.queue.size_of(chunk_id)
        return self.queue.ack(held, [self.queue.run(chunk_id, n, index, 1, keep_ms=HOUR_MS)])


def _work(number: int) -> None:
    raise AssertionError("nothing is run here")


@pytest.fixture
def jobs(server: ServerProcess, make_queue: MakeQueue) -> Iterator[Jobs]:
    made = Jobs(server, make_queue())
    yield made
    made.app.close()


OPERATIONS: dict[str, Callable[[Jobs, str], Any]] = {
    "app.jobs.find(id)": lambda jobs, job_id: jobs.app.jobs.find(job_id),
    "job.refresh()": lambda jobs, job_id: jobs.handle(job_id).refresh(),
    "job.cancel()": lambda jobs, job_id: jobs.handle(job_id).cancel(),
    "job.reschedule()": lambda jobs, job_id: jobs.handle(job_id).reschedule(),
    "job.reschedule(delay=60)": lambda jobs, job_id: jobs.handle(job_id).reschedule(delay=60),
    "job.retry()": lambda jobs, job_id: jobs.handle(job_id).retry(),
    "job.set_priority(5)": lambda jobs, job_id: jobs.handle(job_id).set_priority(5),
    "job.destroy()": lambda jobs, job_id: jobs.handle(job_id).destroy(),
    "where().retry_all()": lambda jobs, job_id: jobs.app.jobs.where().retry_all(),
    "where().cancel_all()": lambda jobs, job_id: jobs.app.jobs.where().cancel_all(),
    "where().destroy_all()": lambda jobs, job_id: jobs.app.jobs.where().destroy_all(),
    "queue.clear()": lambda jobs, job_id: jobs.app.queue("default").clear(),
    "enqueue with its job_id again": lambda jobs, job_id: jobs.work.options(job_id=job_id).enqueue(0),
    "enqueue of another job with its job_id": lambda jobs, job_id: jobs.work.options(job_id=job_id).enqueue(1),
}
#: What tells in its own answer which status the job has now.
TELLING = [name for name in OPERATIONS if name.startswith(("app.", "job."))]
KINDS = ("alone", "among others", "retried")
#: Only a job alone in its chunk can have a chosen id.
CASES = [
    (name, kind) for name in OPERATIONS for kind in KINDS if not (name.startswith("enqueue") and kind == "among others")
]


def test_the_table_names_the_operations_that_are_tried() -> None:
    assert list(read_table()) == list(OPERATIONS)


@pytest.mark.parametrize("status", COLUMNS)
@pytest.mark.parametrize(("operation", "kind"), CASES)
def test_an_operation_does_what_the_table_says(jobs: Jobs, operation: str, status: str, kind: str) -> None:
    expected = read_table()[operation][status]
    job_id = jobs.seed(kind, status)
    assert jobs.status(job_id) == status
    try:
        answer = OPERATIONS[operation](jobs, job_id)
    except JobError as error:
        assert (type(error).__name__, jobs.status(job_id)) == (expected, status)
        return
    assert jobs.status(job_id) == expected
    if operation in TELLING and answer is not None:
        assert answer.status == expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("operation", [name for name in OPERATIONS if not name.startswith(("app.", "enqueue"))])
def test_an_operation_repeated_finds_a_consistent_queue(jobs: Jobs, operation: str, kind: str) -> None:
    for status in STATUSES:
        job_id = jobs.seed(kind, status)
        for _ in range(2):
            try:
                OPERATIONS[operation](jobs, job_id)
            except JobError:
                continue
        jobs.queue.snapshot()
        jobs.app.jobs.where().destroy_all()
        assert jobs.status(job_id) == "gone"
