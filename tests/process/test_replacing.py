"""Processes are replaced without harm to what they run, and as many jobs run at a time as there should."""

from __future__ import annotations

import os
import re
import signal
from collections import Counter
from pathlib import Path

import psutil
import pytest

from fastjobs import Status
from tests.harness.ledger import Entry
from tests.harness.waiting import wait_until
from tests.harness.worker import PATIENCE_S, Lab, Worker

#: Much shorter than the jobs that run when a process is replaced.
SHORT_S = "0.2"


def run_for_a_while(lab: Lab, name: str) -> None:
    """Has jobs run that take far longer together than `SHORT_S`."""
    keys = [f"{name}-{number}" for number in range(10)]
    lab.jobs.take.enqueue_many([(key, 0.1) for key in keys])
    lab.wait_ended(*keys)


def most_at_a_time(entries: list[Entry]) -> int:
    """The most jobs that ran side by side, in all processes."""
    running = most = 0
    for entry in entries:
        running += {"START": 1, "END": -1}[entry.what]
        most = max(most, running)
    return most


@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_process_that_is_replaced_lets_its_jobs_end_however_long_they_take(lab: Lab, threads: str) -> None:
    """Fault A23."""
    job = lab.jobs.hold.enqueue("held", str(lab.gate()))
    worker = lab.worker("-p", "2", "-c", threads, "--shutdown-timeout", SHORT_S).wait_ready(2)
    lab.wait_started("held")
    before = set(worker.children())
    worker.signal(signal.SIGHUP)
    worker.wait_ready(4)
    run_for_a_while(lab, "meanwhile")
    assert len(before & set(worker.children())) == 1
    lab.gate().touch()
    lab.wait_ended("held")
    lab.wait(lambda: not before & set(worker.children()), "the old processes have ended")
    assert worker.stop() == 0
    assert lab.ledger.count("START", "held") == 1
    assert job.refresh().attempts == 0
    assert "settled jobs of a dead process" not in worker.log


GROWING_APP = """
import time
from pathlib import Path
from fastjobs import FastJobs

app = FastJobs()

@app.job
def swell(starts, gate):
    with open(starts, "a") as file:
        file.write("+")
    memory = b"x" * (256 << 20)
    while not Path(gate).exists():
        time.sleep(0.003)
"""


def test_a_job_that_makes_its_process_too_large_runs_to_its_end(lab: Lab) -> None:
    """Fault A23."""
    (lab.directory / "growing.py").write_text(GROWING_APP)
    starts = lab.gate("starts")
    job = lab.app.job(name="swell")(print).enqueue(str(starts), str(lab.gate()))
    worker = lab.worker("--max-memory-per-child", "200", "--shutdown-timeout", SHORT_S, app="growing.py")
    worker.wait_for_log("replacing process .*reason=uses")
    (old,) = [pid for pid in worker.ready_children() if psutil.Process(pid).memory_info().rss > 200 << 20]
    with pytest.raises(psutil.TimeoutExpired):
        psutil.Process(old).wait(1)
    lab.gate().touch()
    lab.wait(lambda: job.refresh().status == Status.FINISHED, "it has finished")
    assert worker.stop() == 0
    assert starts.read_text() == "+"


def test_a_process_starts_no_more_jobs_than_its_limit_and_one_batch(lab: Lab) -> None:
    lab.jobs.note.enqueue_many(range(4000))
    worker = lab.worker("-c", "2", "--max-jobs-per-child", "500").wait_ready()
    lab.wait_ended(*range(4000))
    assert worker.stop() == 0
    assert set(lab.ledger.counts("START").values()) == {1}
    # A fetch may bring a quarter more than was asked for.
    assert max(Counter(entry.pid for entry in lab.ledger.entries() if entry.what == "START").values()) <= 625
    assert len(re.findall('replacing process .*reason="?ran', worker.log)) >= 6


@pytest.mark.parametrize("threads", [1, 3])
def test_while_processes_are_replaced_as_many_jobs_run_at_a_time_as_there_are_threads(lab: Lab, threads: int) -> None:
    lab.jobs.hold.enqueue_many([(f"held-{number}", str(lab.gate())) for number in range(max(1, threads - 1))])
    worker = lab.worker("-c", str(threads)).wait_ready()
    lab.wait_started("held-0")
    lab.jobs.take.enqueue_many([(f"before-{number}", 0.02) for number in range(20)])
    worker.signal(signal.SIGHUP)
    worker.wait_ready(2)
    if threads > 1:
        # The successor uses the seat that is empty, and only this one.
        run_for_a_while(lab, "meanwhile")
    lab.gate().touch()
    run_for_a_while(lab, "after")
    lab.wait_ended(*[f"before-{number}" for number in range(20)])
    assert worker.stop() == 0
    assert most_at_a_time(lab.ledger.entries()) == threads


VERSIONED_APP = """
from fastjobs import FastJobs
from tests.apps.handlers import note as write
app = FastJobs()
@app.job
def note(key):
    write(f"{key}-VERSION")
"""


def test_processes_whose_new_code_cannot_be_loaded_go_on_until_it_can(lab: Lab) -> None:
    """Fault A17: a broken deploy stops nothing."""
    file = lab.directory / "versioned.py"
    file.write_text(VERSIONED_APP.replace("VERSION", "old"))
    worker = lab.worker(app="versioned.py").wait_ready()
    file.write_text("this is not Python")
    worker.signal(signal.SIGHUP)
    # More often than failed starts may follow each other when nothing else runs.
    worker.wait_for_log("process exited, starting a new one", 7)
    lab.jobs.note.enqueue("job")
    lab.wait_ended("job-old")
    # Longer than before: a compiled file is known by the source's size and time in seconds.
    file.write_text(VERSIONED_APP.replace("VERSION", "brand-new"))
    worker.signal(signal.SIGHUP)
    worker.wait_ready(2)
    lab.jobs.note.enqueue("job")
    lab.wait_ended("job-brand-new")
    assert worker.stop() == 0


def replacing_worker(lab: Lab, *arguments: str) -> Worker:
    """A worker of one process that waits for its job, and of another one that is to replace it."""
    lab.jobs.hold.enqueue("held", str(lab.gate()))
    worker = lab.worker("--shutdown-timeout", SHORT_S, *arguments).wait_ready()
    lab.wait_started("held")
    worker.signal(signal.SIGHUP)
    worker.wait_ready(2)
    worker.wait_for_log("replacing process .*reason=reloading")
    return worker


def test_a_worker_that_stops_gives_processes_that_are_being_replaced_its_timeout_and_no_more(lab: Lab) -> None:
    worker = replacing_worker(lab)
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 1
    assert "shutdown timeout reached, releasing running jobs" in worker.log
    assert lab.counts() == {"queued": 1}


def test_processes_that_are_being_replaced_end_in_time_when_their_supervisor_is_killed(lab: Lab) -> None:
    worker = replacing_worker(lab)
    children = worker.children()
    assert len(children) == 2
    worker.signal(signal.SIGKILL)
    worker.process.wait()
    wait_until(lambda: not any(map(psutil.pid_exists, children)), PATIENCE_S, "both have ended")
    assert lab.counts() == {"queued": 1}


def test_there_are_never_more_than_twice_as_many_processes(lab: Lab) -> None:
    worker = replacing_worker(lab)
    for _ in range(3):
        worker.signal(signal.SIGHUP)
        run_until_noticed(worker)
    assert len(worker.children()) == 2
    lab.gate().touch()
    lab.wait_ended("held")
    worker.wait_ready(3)
    lab.wait(lambda: len(worker.children()) == 1, "one process is left")
    lab.jobs.note.enqueue("after")
    lab.wait_ended("after")
    assert worker.stop() == 0


def run_until_noticed(worker: Worker) -> None:
    worker.wait_for_log("reloading\n", worker.log.count(" reloading\n") + 1)


def test_a_process_that_dies_while_it_is_being_replaced_is_settled_like_any_other(lab: Lab) -> None:
    worker = replacing_worker(lab)
    (old,) = {entry.pid for entry in lab.ledger.entries()}
    os.kill(old, signal.SIGKILL)
    worker.wait_for_log("process exited before its jobs had ended pid=\\d+ reason")
    worker.wait_for_log("settled jobs of a dead process")
    lab.gate().touch()
    lab.wait(lambda: lab.counts() == {"finished": 1}, "it has run again")
    assert lab.ledger.count("START", "held") == 2
    assert worker.stop() == 0
    assert Path(f"/proc/{old}").exists() is False
