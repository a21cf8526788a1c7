"""Stopping: what is running may end, what is not started goes back to its place, and exit codes tell."""

from __future__ import annotations

import os
import signal

import psutil
import pytest

from fastjobs import Status
from tests.harness.waiting import wait_until
from tests.harness.worker import PATIENCE_S, Lab, Worker


def place_in_line(lab: Lab) -> list[tuple[bytes, float]]:
    return lab.redis.zrange(lab.key("ready"), 0, -1, withscores=True)


def busy_worker(lab: Lab, *arguments: str) -> Worker:
    """A worker that runs the first of a chunk's jobs."""
    lab.jobs.hold.enqueue_many([(number, str(lab.gate())) for number in range(20)])
    worker = lab.worker(*arguments)
    lab.wait_started(0)
    return worker


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_worker_ends_at_once(lab, number):
    worker = lab.worker("-p", "2").wait_ready(2)
    worker.signal(number)
    assert worker.wait(5) == 0
    assert "Traceback" not in worker.log
    assert lab.redis.zcard(lab.key("sessions")) == 0


def test_the_running_job_may_end_and_the_rest_keeps_its_place(lab):
    worker = busy_worker(lab)
    worker.signal(signal.SIGTERM)
    lab.wait(lambda: lab.counts().get("queued") == 19, "the other jobs are given back")
    assert worker.process.poll() is None
    lab.gate().touch()
    assert worker.wait() == 0
    assert lab.ledger.counts("END") == {"0": 1}
    assert lab.counts() == {"finished": 1, "queued": 19}
    assert lab.holds_nothing()

    lab.jobs.note.enqueue("later")
    lab.burst()
    assert lab.ledger.keys("START") == [*map(str, range(20)), "later"]
    assert lab.field("redelivered_total") == 0


def test_a_job_given_back_is_charged_nothing(lab):
    job = lab.jobs.hold.enqueue("job", str(lab.gate()))
    worker = lab.worker("--shutdown-timeout", "0.2")
    lab.wait_started("job")
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 1
    assert "shutdown timeout reached" in worker.log
    assert job.refresh().status == Status.QUEUED
    assert (job.attempts, job.errors) == (0, [])
    assert lab.holds_nothing()
    lab.gate().touch()
    lab.burst()
    assert lab.ledger.counts("START") == {"job": 2}
    assert lab.ledger.counts("END") == {"job": 1}
    assert job.refresh().status == Status.FINISHED


def test_a_second_signal_ends_it_at_once(lab):
    worker = busy_worker(lab)
    worker.signal(signal.SIGTERM)
    worker.wait_for_log("stopping, waiting for running jobs")
    worker.signal(signal.SIGTERM)
    assert worker.wait(10) == 1
    assert "Traceback" not in worker.log
    assert lab.counts() == {"queued": 20}
    assert [job.attempts for job in lab.app.jobs.list(Status.QUEUED).jobs] == [0] * 20


def test_an_interrupt_of_the_whole_group_is_the_supervisors(lab):
    worker = busy_worker(lab, "-p", "2")
    worker.wait_ready(2)
    worker.signal_group(signal.SIGINT)
    worker.wait_for_log("stopping")
    assert worker.process.poll() is None
    lab.gate().touch()
    assert worker.wait() == 0
    assert "KeyboardInterrupt" not in worker.log
    assert "process exited" not in worker.log
    assert lab.counts() == {"finished": 2, "queued": 18} or lab.counts() == {"finished": 1, "queued": 19}


def test_processes_leave_the_groups_signals_alone(lab):
    worker = busy_worker(lab)
    (child,) = worker.children()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        os.kill(child, number)
    lab.gate().touch()
    lab.wait(lambda: lab.counts() == {"finished": 20}, "all jobs have run")
    assert worker.children() == [child]
    assert worker.stop() == 0


SLOW_APP = """
import time
from pathlib import Path
Path("importing").touch()
while not Path("imported").exists():
    time.sleep(0.01)
from tests.apps.main import app
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_group_while_processes_start(lab, number):
    (lab.directory / "slow.py").write_text(SLOW_APP)
    lab.jobs.note.enqueue("job")
    worker = lab.worker("-p", "2", app="slow.py:app")
    wait_until((lab.directory / "importing").exists, PATIENCE_S, "the app is being imported")
    worker.signal_group(number)
    worker.wait_for_log("stopping")
    (lab.directory / "imported").touch()
    assert worker.wait() == 0
    assert "Traceback" not in worker.log
    assert lab.counts() == {"queued": 1}


def test_a_hangup_replaces_the_processes_and_loses_nothing(lab):
    lab.jobs.hold.enqueue("held", str(lab.gate()))
    worker = lab.worker("-p", "2").wait_ready(2)
    lab.wait_started("held")
    before = set(worker.children())
    worker.signal(signal.SIGHUP)
    worker.wait_for_log("reloading")
    lab.gate().touch()
    worker.wait_ready(4)
    lab.wait(lambda: len(worker.children()) == 2, "the old processes have ended")
    assert not before & set(worker.children())
    lab.jobs.note.enqueue("after")
    lab.wait_ended("held", "after")
    assert worker.stop() == 0
    assert lab.ledger.counts("START") == {"held": 1, "after": 1}


def test_a_worker_without_a_server_can_be_stopped(own_server_lab):
    lab = own_server_lab
    worker = lab.worker().wait_ready()
    lab.server.kill()
    worker.wait_for_log("server unavailable, retrying", 2)
    worker.signal(signal.SIGTERM)
    assert worker.wait(15) == 0
    assert "Traceback" not in worker.log
    assert worker.log.count("server unavailable") <= 3


def test_a_worker_that_never_saw_a_server_can_be_stopped(own_server_lab):
    lab = own_server_lab
    lab.server.kill()
    worker = lab.worker()
    worker.wait_for_log("server unavailable, retrying")
    worker.signal(signal.SIGTERM)
    assert worker.wait(15) == 0
    assert "Traceback" not in worker.log


def test_a_process_that_cannot_end_is_killed_and_its_job_charged_nothing(lab):
    job = lab.jobs.hold_gil.enqueue("job", 60)
    worker = lab.worker("--shutdown-timeout", "0")
    lab.wait_started("job")
    worker.signal(signal.SIGTERM)
    assert worker.wait(20) == 1
    assert "process did not exit in time, killing it" in worker.log
    assert job.refresh().status == Status.QUEUED
    assert (job.attempts, job.errors) == (0, [])


def test_a_stopped_worker_leaves_no_process(lab):
    worker = busy_worker(lab, "-p", "2")
    worker.wait_ready(2)
    children = worker.children()
    assert len(children) == 2
    lab.gate().touch()
    worker.stop()
    assert not any(psutil.pid_exists(child) for child in children)
