"""Workers and partitions: all of them are worked on, in turns, also those that come while workers run."""

from __future__ import annotations

import os
import signal

from fastjobs import FastJobs, Status
from tests.apps.handlers import register
from tests.harness.worker import Lab

PARTITIONS = {"FASTJOBS_PARTITIONS": "4"}


def partitioned(lab: Lab, number: int = 4) -> FastJobs:
    """The lab's app with another number of partitions."""
    lab.app.close()
    lease_s = lab.lease_ms / 1000
    lab.app = FastJobs(lab.server.url, namespace=lab.namespace, lease_s=lease_s, partitions=number, chunk_jobs=50)
    lab.jobs = register(lab.app)
    return lab.app


def test_a_worker_runs_the_jobs_of_all_partitions_once(lab: Lab) -> None:
    partitioned(lab)
    lab.jobs.number.enqueue_many(range(5000))
    lab.worker("--burst", "-p", "2", env=PARTITIONS).wait()
    assert lab.ledger.number_counts() == dict.fromkeys(range(5000), 1)
    assert lab.counts() == {"finished": 5000}


def test_a_worker_finds_partitions_that_only_producers_know_of(lab: Lab) -> None:
    partitioned(lab)
    lab.jobs.number.enqueue_many(range(1000))
    lab.burst()
    assert lab.ledger.number_counts() == dict.fromkeys(range(1000), 1)


def test_a_running_worker_takes_up_partitions_that_are_added(lab: Lab) -> None:
    lab.worker("-p", "2").wait_ready(2)
    partitioned(lab, 3)
    lab.jobs.number.enqueue_many(range(1000))
    lab.wait(lambda: lab.count(Status.FINISHED) == 1000, "all partitions are worked on")
    assert lab.ledger.number_counts() == dict.fromkeys(range(1000), 1)


def test_a_job_in_any_partition_wakes_an_idle_worker(lab: Lab) -> None:
    app = partitioned(lab)
    lab.worker(env=PARTITIONS).wait_ready()
    for number in range(8):
        lab.jobs.note.enqueue(number)
        lab.wait_ended(number)
    assert len({app.jobs.find(job_id).partition for job_id in app.jobs.ids(Status.FINISHED)}) == 4


def test_jobs_of_a_killed_process_come_back_in_all_partitions(lab: Lab) -> None:
    partitioned(lab)
    gate = lab.gate()
    worker = lab.worker("-c", "4", env=PARTITIONS).wait_ready()
    for number in range(4):
        lab.jobs.hold.enqueue(number, str(gate))
    lab.wait_started(*range(4))
    lab.jobs.number.enqueue_many(range(400))
    gate.touch()
    os.killpg(worker.pid, signal.SIGKILL)
    lab.worker("-p", "2", env=PARTITIONS)
    lab.wait(lambda: lab.count(Status.FINISHED) == 404, "another worker has run them")
    assert set(lab.ledger.number_counts()) == set(range(400))


def test_an_executing_job_is_cancelled_in_any_partition(lab: Lab) -> None:
    partitioned(lab)
    worker = lab.worker("-c", "4", env=PARTITIONS).wait_ready()
    jobs = [lab.jobs.hold.enqueue(number, str(lab.gate())) for number in range(4)]
    assert len({job.partition for job in jobs}) == 4
    lab.wait_started(*range(4))
    for job in jobs:
        job.cancel()
    lab.wait(lambda: lab.count(Status.CANCELLED) == 4, "all are cancelled")
    assert worker.stop() == 0


def test_one_full_partition_does_not_hold_up_the_others(lab: Lab) -> None:
    partitioned(lab)
    slow = lab.jobs.take.options(partition_key="big customer")
    slow.enqueue_many((f"slow-{number}", 0.02) for number in range(200))
    full = lab.app._enqueuing.partitioner.of_key("default", "big customer")
    keys = [key for key in map(str, range(80)) if lab.app._enqueuing.partitioner.of_key("default", key) != full]
    for key in keys:
        lab.jobs.note.options(partition_key=key).enqueue(key)
    lab.worker(env=PARTITIONS)
    lab.wait_ended(*keys)
    assert lab.ledger.counts("END").total() < 200 + len(keys), "the others waited for the full partition"
