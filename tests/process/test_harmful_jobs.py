"""Jobs that harm their process: they use up memory or descriptors, fork, exit, or leave threads behind."""

from __future__ import annotations

import time

import psutil
import pytest

from fastjobs import Status


def test_a_job_that_wants_too_much_memory_fails_and_its_process_goes_on(lab):
    """Fault A9."""
    greedy = lab.jobs.exhaust_memory.enqueue("greedy")
    lab.jobs.note.enqueue_many(range(50))
    log = lab.burst("-c", "2").log
    assert greedy.refresh().status == Status.FAILED
    assert greedy.error.type == "MemoryError"
    assert lab.ledger.counts("END") == {str(key): 1 for key in range(50)}
    assert "process exited" not in log


def test_a_job_that_exits_its_process_with_0_counts_as_a_crash(lab):
    """Fault A11."""
    quitter = lab.jobs.crash.enqueue("quitter", "exit as if all were well")
    lab.jobs.note.enqueue_many(range(20))
    lab.burst()
    assert quitter.refresh().status == Status.FAILED
    assert [error.type for error in quitter.errors] == ["WorkerCrashed"] * 3
    assert lab.ledger.counts("END") == {str(key): 1 for key in range(20)}


def test_threads_left_behind_by_a_job_hold_nothing_up(lab):
    """Fault A14."""
    lab.jobs.leave_threads.enqueue("litter", 50)
    worker = lab.worker()
    lab.wait_ended("litter")
    lab.jobs.note.enqueue_many(range(50))
    lab.wait_ended(*range(50))
    assert worker.stop() == 0
    assert "killing it" not in worker.log
    assert set(lab.ledger.counts("START").values()) == {1}


def test_a_job_that_replaces_the_threading_module_hurts_only_itself(lab):
    """Fault A14."""
    lab.jobs.replace_threading.enqueue("vandal")
    worker = lab.worker("-c", "2")
    lab.wait_ended("vandal")
    lab.jobs.note.enqueue_many(range(50))
    lab.wait_ended(*range(50))
    assert worker.stop() == 0
    assert "Traceback" not in worker.log


@pytest.mark.parametrize("how", ["multiprocessing", "_exit", "sys.exit", "raise", "return"])
def test_a_process_forked_by_a_job_runs_no_jobs_and_reports_nothing(lab, how):
    """Fault A15."""
    lab.jobs.note.enqueue_many(range(20))
    job = lab.jobs.fork.enqueue("forker", how)
    lab.jobs.note.enqueue_many(range(20, 40))
    log = lab.burst("-c", "1").log
    assert lab.ledger.counts("FORKED") == {"forker": 1}
    assert lab.ledger.counts("START") == {"forker": 1, **{str(key): 1 for key in range(40)}}
    assert lab.ledger.counts("END") == {"forker": 1, **{str(key): 1 for key in range(40)}}
    assert job.refresh().status == Status.FINISHED
    assert lab.counts() == {"finished": 41}
    assert "process exited" not in log


def test_a_process_out_of_file_descriptors_waits_and_loses_nothing(lab):
    """Fault A18."""
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
