"""Apps on one server are kept apart by their namespaces."""

from __future__ import annotations

import pytest

from fastjobs import FastJobs, JobNotFound, Status
from tests.harness.server import ServerProcess


def test_apps_in_different_namespaces_do_not_see_each_other(server: ServerProcess, namespace: str) -> None:
    ours, theirs = (FastJobs(server.url, namespace=f"{namespace}{side}") for side in ("a", "b"))

    def work(number: int) -> None: ...

    job = ours.job(work).options(job_id="one").enqueue(1)
    assert theirs.job(work).options(job_id="one").enqueue(2).id == job.id
    theirs.job(work).options(job_id="two").enqueue(2)
    assert (ours.jobs.count(Status.QUEUED), theirs.jobs.count(Status.QUEUED)) == (1, 2)
    with pytest.raises(JobNotFound):
        ours.jobs.find("two")
    assert theirs.queue("default").clear() == 2
    assert ours.jobs.find("one").args == [1]
    for app in (ours, theirs):
        app.close()
