"""Recurring jobs with real workers: each due instant once, and on and on, whatever fails or dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from fastjobs import FastJobs, JobType, Recurring, Status
from fastjobs.model.refs import run_id
from tests.harness.server import ServerProcess
from tests.harness.waiting import wait_until

APP = Path(__file__).with_name("recurring_app.py")
QUEUE = "default"
INTERVAL_MS = 100
LEASE_MS = 800


class Workers:
    """An app and real workers for it, each a supervisor with one process."""

    def __init__(self, server: ServerProcess, namespace: str, directory: Path) -> None:
        self.app = FastJobs(server.url, namespace=namespace, lease_s=LEASE_MS / 1000)
        self.notes = directory / "notes"
        self._directory = directory
        self._environment = {
            **os.environ,
            "FASTJOBS_URL": server.url,
            "FASTJOBS_NAMESPACE": namespace,
            "FASTJOBS_LEASE_S": str(LEASE_MS / 1000),
        }
        self.running: list[subprocess.Popen[bytes]] = []

    def job_type(self, name: str) -> JobType[..., None]:
        """The job type of this name, whose handler is in the workers' app."""
        return self.app.job(name=name, retries=0)(_elsewhere)

    def start(self, number: int = 1) -> None:
        for _ in range(number):
            with (self._directory / f"worker{len(self.running)}.log").open("wb") as log:
                self.running.append(
                    subprocess.Popen(
                        [sys.executable, "-c", "from fastjobs.cli.worker import main; main()", str(APP), "-p", "1"],
                        env=self._environment,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                    )
                )

    def kill(self) -> None:
        """Kills the oldest worker's supervisor; its process ends when it notices."""
        worker = self.running.pop(0)
        worker.kill()
        worker.wait()

    def stop(self) -> None:
        for worker in self.running:
            worker.send_signal(signal.SIGTERM)
        for worker in self.running:
            try:
                worker.wait(30)
            finally:
                worker.kill()
                worker.wait()
        self.running = []

    def noted(self) -> list[int]:
        """Process ids of the runs."""
        return [int(line) for line in self.notes.read_text().split()] if self.notes.exists() else []

    def is_drained(self) -> bool:
        counts = self.app.jobs.counts([QUEUE])[QUEUE]
        return not any(counts[status] for status in (Status.QUEUED, Status.EXECUTING, Status.RETRYING))

    def dues(self, status: Status, definition_id: str) -> list[int]:
        """Due instants of the runs with a status, from their ids."""
        prefix = run_id(definition_id, "")
        ids = list(self.app.jobs.ids(status, queue=QUEUE))
        assert all(job_id.startswith(prefix) for job_id in ids)
        assert len(set(ids)) == len(ids)
        return sorted(int(job_id.removeprefix(prefix)) for job_id in ids)


def _elsewhere(*_: object) -> None:
    raise AssertionError("handlers run in the workers")


@pytest.fixture
def start_workers(server: ServerProcess, namespace: str, tmp_path: Path) -> Iterator[Callable[..., Workers]]:
    workers = Workers(server, namespace, tmp_path)

    def start(number: int) -> Workers:
        workers.start(number)
        return workers

    yield start
    workers.stop()
    workers.app.close()


def first_due_ms(tick: Recurring) -> int:
    return tick.definition.due_ms


def goes_on(tick: Recurring, workers: Workers, runs: int = 5) -> None:
    """Waits until the job has recurred so many times more; each of its runs is noted."""
    before = len(workers.noted())
    wait_until(lambda: len(workers.noted()) >= before + runs, 20, f"{tick.id} recurs {runs} times more")


def test_three_workers_run_each_due_instant_exactly_once(start_workers: Callable[..., Workers]) -> None:
    workers = start_workers(3)
    tick = (
        workers.job_type("tick")
        .every(INTERVAL_MS / 1000, str(workers.notes), id="tick", missed="all", overlap="allow")
        .store()
    )
    goes_on(tick, workers, 30)
    tick.cancel()
    wait_until(workers.is_drained, 20, "all runs are done")
    dues = workers.dues(Status.FINISHED, "tick")
    assert dues[0] == first_due_ms(tick)
    assert {later - earlier for earlier, later in pairwise(dues)} == {INTERVAL_MS}
    assert len(workers.noted()) == len(dues)


def test_without_making_up_for_missed_runs_the_cadence_is_kept(start_workers: Callable[..., Workers]) -> None:
    workers = start_workers(2)
    tick = workers.job_type("tick").every(INTERVAL_MS / 1000, str(workers.notes), id="tick").store()
    goes_on(tick, workers, 20)
    tick.cancel()
    wait_until(workers.is_drained, 20, "all runs are done")
    dues = workers.dues(Status.FINISHED, "tick")
    assert {(due_ms - first_due_ms(tick)) % INTERVAL_MS for due_ms in dues} == {0}
    assert len(workers.noted()) == len(dues)


def test_failing_runs_do_not_stop_the_series_and_each_has_retries_of_its_own(
    start_workers: Callable[..., Workers],
) -> None:
    workers = start_workers(2)
    tick = workers.job_type("fail").every(INTERVAL_MS / 1000, str(workers.notes), id="tick").store()
    wait_until(lambda: workers.app.jobs.count(Status.FAILED) >= 4, 20, "four runs have failed")
    tick.cancel()
    wait_until(workers.is_drained, 20, "all runs are done")
    dues = workers.dues(Status.FAILED, "tick")
    assert [workers.app.jobs.find(run_id("tick", due_ms)).attempts for due_ms in dues] == [2] * len(dues)
    assert len(workers.noted()) == 2 * len(dues)


def test_the_series_survives_the_death_of_workers_one_after_the_other(start_workers: Callable[..., Workers]) -> None:
    workers = start_workers(2)
    tick = workers.job_type("tick").every(INTERVAL_MS / 1000, str(workers.notes), id="tick").store()
    for _ in range(2):
        goes_on(tick, workers)
        workers.kill()
        workers.start()
    goes_on(tick, workers)
    tick.cancel()
    wait_until(workers.is_drained, 20, "all runs are done")
    dues = workers.dues(Status.FINISHED, "tick")
    assert {(due_ms - first_due_ms(tick)) % INTERVAL_MS for due_ms in dues} == {0}


def test_the_series_survives_the_death_of_a_worker_in_the_middle_of_a_run(
    start_workers: Callable[..., Workers],
) -> None:
    workers = start_workers(1)
    tick = workers.job_type("hang_once").every(INTERVAL_MS / 1000, str(workers.notes), id="tick").store()
    wait_until(workers.noted, 20, "the first run hangs")
    process = workers.noted()[0]
    workers.kill()
    os.kill(process, signal.SIGKILL)
    workers.start()
    goes_on(tick, workers)
    tick.cancel()
    wait_until(workers.is_drained, 20, "all runs are done")
    assert process not in workers.noted()[1:]
    # The run that was interrupted has run again, the others once.
    assert len(workers.noted()) == len(workers.dues(Status.FINISHED, "tick")) + 1


def test_the_series_survives_the_death_of_the_server(namespace: str, tmp_path: Path) -> None:
    with ServerProcess("--appendfsync", "always") as server:
        workers = Workers(server, namespace, tmp_path)
        try:
            workers.start(2)
            tick = workers.job_type("tick").every(INTERVAL_MS / 1000, str(workers.notes), id="tick").store()
            goes_on(tick, workers)
            server.kill()
            server.start()
            goes_on(tick, workers)
            tick.cancel()
            wait_until(workers.is_drained, 20, "all runs are done")
            dues = workers.dues(Status.FINISHED, "tick")
            assert {(due_ms - first_due_ms(tick)) % INTERVAL_MS for due_ms in dues} == {0}
        finally:
            workers.stop()
            workers.app.close()


def test_the_example_shows_both_kinds_a_pause_and_a_run_asked_for(server: ServerProcess, namespace: str) -> None:
    example = Path(__file__).parents[2] / "examples" / "recurring.py"
    environment = {**os.environ, "FASTJOBS_URL": server.url, "FASTJOBS_NAMESPACE": namespace}
    done = subprocess.run(
        [sys.executable, str(example)], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    before, _, after = done.stdout.partition("the beat is paused")
    assert "- every second" in before
    assert "+ every even second" in before
    assert "- every second" in after
    assert "example-beat: every 1000 0, next None, last recur:example-beat:" in after
    app = FastJobs(server.url, namespace=namespace)
    assert app.recurring.list() == []
    app.close()
