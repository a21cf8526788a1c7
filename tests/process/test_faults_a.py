"""Faults of processes, by their number in tests/faults.md: those that no other test is about."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time

import psutil
import pytest

from fastjobs import Status
from tests.harness.worker import Lab


def test_a9_a_job_that_wants_too_much_memory_fails_and_its_process_goes_on(lab):
    greedy = lab.jobs.exhaust_memory.enqueue("greedy")
    lab.jobs.note.enqueue_many(range(50))
    log = lab.burst("-c", "2").log
    assert greedy.refresh().status == Status.FAILED
    assert greedy.error.type == "MemoryError"
    assert lab.ledger.counts("END") == {str(key): 1 for key in range(50)}
    assert "process killed" not in log
    assert "process exited" not in log


def test_a11_a_job_that_ends_its_process_with_0_has_crashed_all_the_same(lab):
    quitter = lab.jobs.crash.enqueue("quitter", "exit as if all were well")
    lab.jobs.note.enqueue_many(range(20))
    lab.burst()
    assert quitter.refresh().status == Status.FAILED
    assert [error.type for error in quitter.errors] == ["WorkerCrashed"] * 3
    assert lab.ledger.counts("END") == {str(key): 1 for key in range(20)}


def test_a14_threads_that_a_job_leaves_behind_hold_up_nothing(lab):
    lab.jobs.leave_threads.enqueue("litter", 50)
    worker = lab.worker()
    lab.wait_ended("litter")
    lab.jobs.note.enqueue_many(range(50))
    lab.wait_ended(*range(50))
    assert worker.stop() == 0
    assert "killing it" not in worker.log
    assert set(lab.ledger.counts("START").values()) == {1}


def test_a14_a_job_that_replaces_the_threading_module_hurts_only_itself(lab):
    lab.jobs.replace_threading.enqueue("vandal")
    worker = lab.worker("-c", "2")
    lab.wait_ended("vandal")
    lab.jobs.note.enqueue_many(range(50))
    lab.wait_ended(*range(50))
    assert worker.stop() == 0
    assert "Traceback" not in worker.log


@pytest.mark.parametrize("how", ["multiprocessing", "_exit", "sys.exit", "raise", "return"])
def test_a15_what_a_job_forks_runs_no_jobs_and_reports_nothing(lab, how):
    lab.jobs.note.enqueue_many(range(20))
    job = lab.jobs.fork.enqueue("forker", how)
    lab.jobs.note.enqueue_many(range(20, 40))
    log = lab.burst("-c", "1").log
    assert lab.ledger.counts("FORKED") == {"forker": 1}
    assert lab.ledger.counts("START") == {"forker": 1, **{str(key): 1 for key in range(40)}}
    assert lab.ledger.counts("END") == {"forker": 1, **{str(key): 1 for key in range(40)}}
    assert job.refresh().status == Status.FINISHED
    assert lab.counts() == {"finished": 41}
    assert "process killed" not in log


def test_a18_a_process_without_descriptors_waits_for_some_and_loses_nothing(lab):
    lab.jobs.exhaust_descriptors.enqueue("hoarder", str(lab.gate()))
    worker = lab.worker("-c", "2")
    lab.wait_started("hoarder")
    (child,) = worker.children()
    lab.wait(lambda: psutil.Process(child).rlimit(psutil.RLIMIT_NOFILE)[0] == 3, "there are no more descriptors")
    # What it needs now is a new connection, for which there is no descriptor.
    lab.redis.client_kill_filter(_type="normal")
    worker.wait_for_log("server unavailable, retrying")
    lab.jobs.note.enqueue_many(range(50))
    # Time itself is what is used up, or not: it tries again, with pauses.
    before = psutil.Process(child).cpu_times()
    time.sleep(1)
    assert sum(psutil.Process(child).cpu_times()[:2]) - sum(before[:2]) < 0.8
    assert lab.ledger.count("START", 0) == 0
    lab.gate().touch()
    lab.wait_ended("hoarder", *range(50))
    lab.wait(lambda: lab.counts() == {"finished": 51}, "everything is reported")
    assert worker.stop() == 0
    assert set(lab.ledger.counts("START").values()) == {1}
    assert "Traceback" not in worker.log


def own_process_ids() -> tuple[str, ...]:
    """The command that gives what it starts process ids of its own, as a container does."""
    command = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    if not shutil.which("unshare") or subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("process ids of their own are not allowed here")
    return command


def first_process(worker) -> int:
    """The process that is number 1 inside."""
    (pid,) = worker.children()
    return pid


def test_a20_workers_that_are_number_1_of_their_container_are_told_apart(namespace, server, tmp_path):
    lab = Lab(server, namespace, tmp_path, 600)
    try:
        command = own_process_ids()
        lab.jobs.hold.enqueue("held", str(lab.gate()))
        first = lab.worker("-c", "1", under=command)
        lab.wait_started("held")
        second = lab.worker("-c", "1", under=command).wait_ready()
        lab.jobs.note.enqueue_many(range(200))
        lab.wait_ended(*range(200))
        os.kill(first_process(first), signal.SIGKILL)
        first.wait()
        lab.gate().touch()
        lab.wait(lambda: lab.counts() == {"finished": 201}, "the other has taken over")
        os.kill(first_process(second), signal.SIGTERM)
        assert second.wait() == 0
        counts = lab.ledger.counts("START")
        assert counts.pop("held") == 2
        assert set(counts.values()) == {1}
    finally:
        lab.close()
