"""The count: every job of a great number runs exactly once, and at least once when processes are killed all the time.

FASTJOBS_TEST_JOBS sets the number of jobs; the handlers write each job's number to a file, outside the server.
"""

from __future__ import annotations

import os
import random
import re
import signal
import time
from contextlib import suppress

import pytest

from tests.harness.server import ServerProcess
from tests.harness.worker import Lab

JOBS = int(os.environ.get("FASTJOBS_TEST_JOBS", "200000"))
#: Seconds for all of them.
_DEADLINE_S = 60 + JOBS / 2000
_KILL_INTERVAL_S = 0.2


@pytest.fixture
def count_lab(namespace, tmp_path):
    with ServerProcess() as process:
        made = Lab(process, namespace, tmp_path, 5_000)
        yield made
        made.close()


def drained(lab: Lab) -> bool:
    counts = lab.counts()
    return not {"queued", "executing", "retrying", "scheduled"} & counts.keys()


@pytest.mark.timeout(_DEADLINE_S + 60)
def test_every_job_runs_exactly_once(count_lab):
    lab = count_lab
    assert len(lab.jobs.number.enqueue_many(range(JOBS))) == JOBS
    worker = lab.worker("-p", "2", "--burst")
    assert worker.wait(_DEADLINE_S) == 0, worker.log
    counts = lab.ledger.number_counts()
    assert len(counts) == JOBS
    assert counts.total() == JOBS
    assert lab.field("finished_total") == JOBS
    assert drained(lab)
    assert lab.holds_nothing()


@pytest.mark.timeout(_DEADLINE_S + 60)
def test_every_job_runs_at_least_once_while_processes_are_killed(count_lab):
    lab = count_lab
    ids = lab.jobs.number.enqueue_many(range(JOBS))
    worker = lab.worker("-p", "2")
    deadline = time.monotonic() + _DEADLINE_S
    kills = 0
    while not drained(lab):
        assert time.monotonic() < deadline, (lab.counts(), worker.log)
        time.sleep(_KILL_INTERVAL_S)
        working = set(worker.children()) & worker.ready_children()
        if working:
            with suppress(ProcessLookupError):
                os.kill(random.choice(sorted(working)), signal.SIGKILL)
                kills += 1
    assert worker.stop() == 0
    counts = lab.ledger.number_counts()
    failed = lab.counts().get("failed", 0)
    duplicates = counts.total() - len(counts)
    print(f"{JOBS} jobs, {kills} kills, {duplicates} ran again, {failed} failed")
    assert kills >= 3
    assert len(counts) == JOBS
    # One job runs in each process: no more than that is in doubt at a death.
    assert duplicates <= kills
    # And it is that very one: what ran again was blamed for the death of the process that was running it.
    blamed = set(re.findall(r" job=(\S+) .*error=WorkerCrashed .*reason=killed by SIGKILL", worker.log))
    number_of = {job_id: number for number, job_id in enumerate(ids)}
    assert {number for number, times in counts.items() if times > 1} <= {number_of[job_id] for job_id in blamed}
    # To fail, a job has to be running in three processes that die.
    assert lab.field("finished_total") + failed == JOBS
    assert lab.holds_nothing()
