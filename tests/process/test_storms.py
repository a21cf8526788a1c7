"""Storms: jobs that are retried all the time, and jobs that enqueue jobs."""

from __future__ import annotations

import time

from fastjobs import FastJobs
from tests.harness.worker import Lab


def test_a_storm_of_retries_does_not_starve_others(lab: Lab):
    """Fault C23."""
    lab.jobs.fail_number.options(retries=1000, retry_delay=0.05).enqueue_many(
        (f"storm-{key}", 1000) for key in range(300)
    )
    worker = lab.worker("-c", "2")
    lab.wait_started(*(f"storm-{key}" for key in (0, 299)))
    began = time.monotonic()
    lab.jobs.note.enqueue("other")
    lab.wait_ended("other")
    # By its place in line it is behind one round of the storm at most, not behind a thousand.
    assert lab.ledger.keys("START").index("other") < 300 * 40
    assert time.monotonic() - began < 25
    assert worker.stop() == 0


BREEDING_APP = """
from fastjobs import FastJobs
from tests.apps.handlers import note as write
app = FastJobs()
@app.job
def breed(generation):
    write(f"generation-{generation}")
    if generation < 200:
        breed.enqueue(generation + 1)
@app.job
def bear(number):
    note.enqueue_many(f"child-{child}" for child in range(number))
@app.job
def note(key):
    write(key)
"""


def test_jobs_enqueued_by_jobs_run_once_each(lab: Lab):
    """Fault C24."""
    (lab.directory / "breeding.py").write_text(BREEDING_APP)
    outside = FastJobs(lab.server.url, namespace=lab.namespace)
    outside.job(name="breed")(print).enqueue(0)
    outside.job(name="bear")(print).enqueue(3000)
    worker = lab.worker("--burst", "-c", "2", app="breeding.py")
    assert worker.wait() == 0, worker.log
    counts = lab.ledger.counts("END")
    assert counts == {f"generation-{number}": 1 for number in range(201)} | {f"child-{key}": 1 for key in range(3000)}
    outside.close()
