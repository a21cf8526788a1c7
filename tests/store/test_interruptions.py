"""Enqueues and look-ups that are interrupted, or interrupt themselves, at each point where CPython lets that happen."""

from __future__ import annotations

import itertools
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest

from fastjobs import FastJobs, JobIdConflict, StoreError
from fastjobs._core import Chunk
from fastjobs.job import JobIds
from fastjobs.jobtypes import JobType
from tests.harness.interruption import Interruption, Stepper, interrupt, time_out
from tests.harness.server import ServerProcess

#: A call that ends by itself after fewer points than this is swept in full.
MOST_POINTS = 20_000


class Ledger:
    """What calls returned, to be compared with what is stored.

    Args:
        server: holds the jobs.
        namespace: of the app.
        settings: of the app.
    """

    def __init__(self, server: ServerProcess, namespace: str, **settings: Any) -> None:
        self.app = FastJobs(server.url, namespace=namespace, **settings)
        self._server = server
        self.note: JobType[..., None] = self.app.job(name="note", queue="notes")(lambda *args: None)
        self.note.options(job_id="taken").enqueue("first")
        self.returned: dict[str, Any] = {"taken": ["first"]}
        self._numbers = itertools.count()

    def value(self) -> list[Any]:
        """Returns arguments that no other job has."""
        return [next(self._numbers), "x" * 20]

    def enqueue(self) -> None:
        """Enqueues one job."""
        value = self.value()
        self.keep([self.note.enqueue(*value).id], [value])

    def keep(self, ids: Any, values: list[Any]) -> None:
        """Notes what a call has returned."""
        ids = list(ids)
        assert len(ids) == len(values)
        self.returned.update(zip(ids, values, strict=True))

    def check_refusal(self) -> None:
        """Checks that an enqueue that is refused does not return."""
        with pytest.raises(JobIdConflict):
            self.note.options(job_id="taken").enqueue("other")

    def stored(self) -> dict[str, Any]:
        """Returns the arguments of all stored jobs, by id."""
        store, client = self.app.jobs._store(), self._server.client()
        chunks = [
            client.hgetall(store.keys(partition).chunks).items() for partition in self.app.jobs.partitions("notes")
        ]
        found = {}
        for chunk_id, stored in itertools.chain(*chunks):
            chunk = Chunk.decode(stored[stored.index(b"FJ") :])
            ids = JobIds()
            ids.add_chunk(chunk_id.decode(), chunk.n)
            for index, job_id in enumerate(ids):
                found[job_id] = orjson.loads(chunk.payload(index))[:-1]
        return found

    def check(self, possible: list[Any]) -> None:
        """Checks that all jobs that a call returned are stored, and beside them at most jobs of interrupted calls."""
        stored = self.stored()
        # The one job of a chunk can be found under two ids.
        returned = {_own_id(job_id, stored): value for job_id, value in self.returned.items()}
        missing = {job_id: value for job_id, value in returned.items() if stored.get(job_id) != value}
        assert not missing, f"{len(missing)} jobs that a call returned are not stored: {list(missing.items())[:5]}"
        extra = [value for job_id, value in stored.items() if job_id not in returned]
        assert all(value in possible for value in extra)
        twice = [value for value, number in Counter(map(repr, stored.values())).items() if number > 1]
        assert not twice, f"stored twice: {twice}"
        assert self.app.jobs.count("queued", queue="notes") == len(stored)


def _own_id(job_id: str, stored: dict[str, Any]) -> str:
    alone = job_id.removesuffix("~000")
    return alone if alone in stored else job_id


# The calls that are swept; each notes in the ledger what it returned.


def attempt_one(ledger: Ledger, possible: list[Any]) -> None:
    value = ledger.value()
    possible.append(value)
    ledger.keep([ledger.note.enqueue(*value).id], [value])


def attempt_many(ledger: Ledger, possible: list[Any]) -> None:
    values = [ledger.value() for _ in range(7)]
    possible += values
    ledger.keep(ledger.note.enqueue_many([tuple(value) for value in values]), values)


def attempt_mixed(ledger: Ledger, possible: list[Any]) -> None:
    values = [ledger.value() for _ in range(5)]
    possible += values
    urgent = ledger.note.options(priority=1)
    calls = [(urgent if number % 2 else ledger.note).call(*value) for number, value in enumerate(values)]
    ledger.keep(ledger.app.enqueue_many(calls), values)


def attempt_chosen(ledger: Ledger, possible: list[Any]) -> None:
    value = ledger.value()
    possible.append(value)
    ledger.keep([ledger.note.options(job_id=f"chosen{value[0]}").enqueue(*value).id], [value])


def attempt_count(ledger: Ledger, possible: list[Any]) -> None:
    assert ledger.app.jobs.count("queued", queue="notes") >= 1


def attempt_buffered(ledger: Ledger, possible: list[Any]) -> None:
    with ledger.app.buffered(linger_s=60) as buffer:
        jobs, values = [], []
        try:
            for _ in range(5):
                value = ledger.value()
                possible.append(value)
                jobs.append(ledger.note.enqueue(*value))
                values.append(value)
            buffer.flush()
        finally:
            values = values[: len(jobs)]
            buffer.flush()
            ledger.keep([job.id for job in jobs], values)


def attempt_first(ledger: Ledger, possible: list[Any]) -> None:
    ledger.app.close()
    attempt_one(ledger, possible)


ATTEMPTS = {
    "one": (attempt_one, {}),
    "first": (attempt_first, {}),
    "chosen": (attempt_chosen, {"partitions": 3}),
    "many": (attempt_many, {"chunk_jobs": 2}),
    "mixed": (attempt_mixed, {"chunk_jobs": 2}),
    "safe": (attempt_one, {"durability": "fsync"}),
    "count": (attempt_count, {}),
    "buffered": (attempt_buffered, {"chunk_jobs": 2}),
}


@pytest.fixture(scope="module")
def quick_server() -> Iterator[ServerProcess]:
    """A server on which waiting for the disk takes no time."""
    with ServerProcess("--appendfsync", "always") as process:
        yield process


@pytest.fixture(params=ATTEMPTS)
def attempt(request: pytest.FixtureRequest, quick_server: ServerProcess, namespace: str) -> Iterator[Any]:
    call, settings = ATTEMPTS[request.param]
    if "durability" in settings and not quick_server.has_command("WAITAOF"):
        pytest.skip("this server cannot say what is on disk")
    ledger = Ledger(quick_server, namespace, **settings)
    yield ledger, call
    ledger.app.close()


@pytest.mark.parametrize("act", [interrupt, time_out])
def test_a_call_interrupted_at_any_point_loses_and_mixes_up_nothing(attempt: Any, act: Callable[[], None]) -> None:
    """A21."""
    ledger, call = attempt
    possible: list[Any] = []
    call(ledger, possible)
    for number in range(MOST_POINTS):
        stepper = Stepper(number, act)
        try:
            with stepper.watching():
                call(ledger, possible)
        except (Interruption, TimeoutError, StoreError):
            assert stepper.acted
        ledger.check_refusal()
        ledger.enqueue()
        if not stepper.acted:
            break
    assert 20 < number < MOST_POINTS - 1
    ledger.check(possible)


def test_a_call_within_a_call_at_any_point_disturbs_neither(attempt: Any) -> None:
    """A21."""
    ledger, call = attempt
    possible: list[Any] = []
    call(ledger, possible)
    for number in range(MOST_POINTS):
        stepper = Stepper(number, ledger.enqueue)
        with stepper.watching():
            call(ledger, possible)
        ledger.check_refusal()
        if not stepper.acted:
            break
    assert 20 < number < MOST_POINTS - 1
    ledger.check([])


# An exception in a destructor is printed and lost, wherever it comes from.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_enqueues_under_a_storm_of_signals_lose_and_mix_up_nothing(server: ServerProcess, namespace: str) -> None:
    """A21."""
    ledger = Ledger(server, namespace, chunk_jobs=2)
    possible: list[Any] = []
    alarms = 0

    def ring(*_: Any) -> None:
        nonlocal alarms
        alarms += 1
        if alarms % 3 == 0:
            ledger.enqueue()
        else:
            raise Interruption

    before = signal.signal(signal.SIGALRM, ring)
    try:
        for number in range(600):
            attempt = (attempt_one, attempt_many, attempt_mixed)[number % 3]
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.00002 * (1 + number % 50))
                attempt(ledger, possible)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except Interruption:
                continue
    finally:
        signal.signal(signal.SIGALRM, before)
    ledger.check_refusal()
    ledger.check(possible)
    ledger.app.close()
