"""`trim`: what a queue that nobody uses has kept goes as well, in bounded steps."""

from __future__ import annotations

from tests.harness.queue import QueueUnderTest
from tests.harness.waiting import wait_until
from tests.store.conftest import MakeQueue


def trim(queue: QueueUnderTest) -> int:
    forgotten = queue.store.batch().trim(queue.name).run()
    return int(forgotten)


def test_what_is_old_enough_is_forgotten_without_any_work(make_queue: MakeQueue) -> None:
    queue = make_queue(failed_keep_s=0.05)
    queue.seed_finished(5, keep_ms=50)
    queue.seed_failed()
    queue.seed_cancelled()
    forgotten = 0

    def all_gone() -> bool:
        nonlocal forgotten
        forgotten += trim(queue)
        return forgotten == 7

    wait_until(all_gone, 10, "all is forgotten")
    assert queue.counts() == {}
    assert trim(queue) == 0


def test_what_is_young_enough_is_kept(queue: QueueUnderTest) -> None:
    queue.seed_finished(5)
    queue.seed_failed()
    assert trim(queue) == 0
    assert queue.counts() == {"finished": 5, "failed": 1}


def test_what_is_too_many_is_forgotten_oldest_first(make_queue: MakeQueue) -> None:
    queue = make_queue()
    refs = [queue.seed_failed() for _ in range(5)]
    few = make_queue(failed_keep=2)
    assert trim(few) == 3
    assert queue.get_ended("failed") == [f"{ref.partition('~')[0]}~000" for ref in refs[3:]]
