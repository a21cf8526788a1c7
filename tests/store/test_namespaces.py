"""Apps on one server are kept apart by their namespaces."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastjobs import ConfigError, FastJobs, JobNotFound, Status
from fastjobs.model.names import check_key_part
from fastjobs.store.keys import queue_keys, queues_key
from tests.harness.server import ServerProcess


def is_allowed(name: str) -> bool:
    try:
        check_key_part("queue", name)
    except ConfigError:
        return False
    return True


#: Few letters and all signs: many pairs of names give the same text when they are joined.
names = st.text("a1_.:-#", min_size=1, max_size=5).filter(is_allowed)
partitions = st.tuples(names, names, st.integers(0, 20))


@given(one=partitions, other=partitions)
def test_no_two_partitions_share_a_key(one: tuple[str, str, int], other: tuple[str, str, int]) -> None:
    assert one == other or queue_keys(*one).ready != queue_keys(*other).ready


@given(namespace=names, other=partitions)
def test_the_key_patterns_of_a_namespace_match_no_key_of_another(namespace: str, other: tuple[str, str, int]) -> None:
    patterns = [f"{{fastjobs:{namespace}:*", f"{{fastjobs:{namespace}}}:*"]
    theirs = [queue_keys(*other).ready.decode(), queues_key(other[0]).decode()]
    matched = [key for key in theirs for pattern in patterns if fnmatchcase(key, pattern)]
    assert bool(matched) == (namespace == other[0])


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
