"""Which suspects start together, and which a process gives back before."""

from __future__ import annotations

import pytest

from fastjobs._core import LeasedJobs
from fastjobs.worker.leases import HeldLease, HeldSpan
from fastjobs.worker.process.quarantine import Quarantine
from tests.harness.jobs import Bench, make_bench


class Seats:
    """An executor on which nothing runs."""

    idle = allowed = 8


class Shutdown:
    asked = False


@pytest.fixture
def bench():
    with make_bench(seats=8, slots=16) as made:
        yield made


def quarantine_on(bench: Bench, *besides: int) -> Quarantine:
    """A quarantine with a suspect per number: with how many it may run at a time."""
    quarantine = Quarantine(bench.backlog, Seats(), Shutdown())
    for number, beside in enumerate(besides):
        lease = HeldLease("q", number, number, 1)
        span = HeldSpan(lease, f"c~{number}", 0, number, 1, 0, beside=beside)
        quarantine.suspects.append(LeasedJobs(None, [print], number, 0, number, 1, [(), {}], span))
    return quarantine


@pytest.mark.parametrize(
    ("besides", "together"),
    [
        ([1, 1, 1], [0]),
        ([4, 4, 4, 4, 4, 4], [0, 1, 2, 3]),
        ([4, 4, 1, 4], [0, 1, 3]),
        ([4, 2, 4], [0, 1]),
        ([25] * 10, list(range(8))),
    ],
)
def test_suspects_that_do_not_start_are_given_back_before_others_start(bench, besides, together):
    quarantine = quarantine_on(bench, *besides)
    given_back = quarantine.start_next()
    assert [first for _, first, _ in given_back] == [n for n in range(len(besides)) if n not in together]
    assert bench.backlog.unstarted == 0 and not quarantine.apart and quarantine.waits
    assert quarantine.start_next() == []
    assert bench.backlog.unstarted == len(together)
    assert quarantine.apart and not quarantine.suspects


def test_suspects_start_at_once_when_none_is_to_be_given_back(bench):
    quarantine = quarantine_on(bench, 4, 4)
    assert quarantine.start_next() == []
    assert bench.backlog.unstarted == 2 and quarantine.apart


def test_no_suspect_starts_beside_other_jobs_or_when_the_process_ends(bench):
    quarantine = quarantine_on(bench, 4)
    quarantine._executor.idle = 7
    quarantine.start_next()
    quarantine._executor.idle = 8
    quarantine._shutdown.asked = True
    quarantine.start_next()
    assert bench.backlog.unstarted == 0 and len(quarantine.suspects) == 1
