"""Producers: threads that enqueue in every way there is, and note what each call came to."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping

from fastjobs import FastJobs, Job, Status, errors
from tests.chaos.app import QUEUES, STUCK_WAYS, register
from tests.chaos.journal import Call, Journal

#: Jobs waiting at once, beyond which producers rest: what is judged is not who is faster.
_MOST_WAITING = 4000
#: Rest between two calls of a thread, in seconds.
_REST_S = (0.002, 0.03)


class Producers:
    """Enqueues until told to stop.

    Args:
        apps: over connections that may be harmed, by their durability; each call draws one.
        journal: where calls are noted for people; what is judged is `calls`.
        waiting: asks how many jobs wait.
        seed: decides what is enqueued.
    """

    def __init__(self, apps: Mapping[str, FastJobs], journal: Journal, waiting: Callable[[], int], seed: int) -> None:
        self._types = {durability: register(app) for durability, app in apps.items()}
        self._journal = journal
        self._waiting = waiting
        self._seed = seed
        self._keys = itertools.count()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        #: (key, handle) of delayed and of stuck jobs, which may be cancelled.
        self._lasting: deque[tuple[int, Job]] = deque(maxlen=64)
        self.calls: list[Call] = []
        #: Keys that were asked to be cancelled; of those known to be cancelled, when that was known.
        self.cancel_asked: set[int] = set()
        self.cancelled_ns: dict[int, int] = {}
        #: Errors that no fault explains.
        self.errors: list[str] = []

    def start(self, threads: int) -> None:
        for number in range(threads):
            thread = threading.Thread(target=self._work, args=(random.Random(f"{self._seed}-{number}"),))
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _work(self, draw: random.Random) -> None:
        actions = [
            self._many,
            self._one,
            self._chosen,
            self._later,
            self._flaky,
            self._slow,
            self._doomed,
            self._stuck,
            self._cancel,
        ]
        weights = [30, 20, 10, 15, 8, 6, 3, 2, 8]
        while not self._stop.wait(draw.uniform(*_REST_S)):
            if self._waiting() > _MOST_WAITING:
                continue
            (action,) = draw.choices(actions, weights)
            try:
                action(draw)
            except Exception as error:
                self.errors.append(f"{action.__name__}: {error!r}")

    def enqueue(
        self,
        kind: str,
        queue: str,
        n: int = 1,
        *arguments: float,
        delay_s: float = 0.0,
        chosen: bool = False,
        fails: int = 0,
        durability: str = "fire",
    ) -> Call:
        """Enqueues `n` jobs in one call, a single one alone; notes what came of it."""
        with self._lock:
            first = next(self._keys)
            for _ in range(n - 1):
                next(self._keys)
            call = Call(first, n, kind, queue, delay_s, time.monotonic_ns(), fails=fails, durability=durability)
            self.calls.append(call)
        self._journal.write("intent", first, n, kind, queue, delay_s, durability)
        job_type = self._types[durability][kind, queue]
        if delay_s:
            job_type = job_type.options(delay=delay_s)
        if chosen:
            job_type = job_type.options(job_id=f"chosen-{first}")
        try:
            if n == 1:
                job = job_type.enqueue(first, *arguments)
                call.partition = job.partition
                if delay_s or kind == "stuck":
                    self._lasting.append((first, job))
            else:
                job_type.enqueue_many((key, *arguments) for key in call.keys)
            call.stored = n
        except errors.NotEnqueued as error:
            call.stored = len(error.enqueued)
        except errors.EnqueueUnknown as error:
            # What is stored, but not as safely as was asked for, is told as both.
            in_doubt = set(error.ids)
            call.stored, call.unknown = len(set(error.enqueued) - in_doubt), len(in_doubt)
        call.ended_ns = time.monotonic_ns()
        self._journal.write("result", first, call.stored, call.unknown)
        return call

    def enqueue_again(self, call: Call) -> None:
        """Repeats the call of a job with a chosen id: it is one job all the same."""
        try:
            job_type = self._types[call.durability][call.kind, call.queue]
            job_type.options(job_id=f"chosen-{call.first}").enqueue(call.first)
            if not call.stored:
                call.stored, call.unknown, call.ended_ns = 1, 0, time.monotonic_ns()
        except errors.NotEnqueued:
            pass
        except errors.EnqueueUnknown:
            call.unknown = 1 - call.stored
        self._journal.write("again", call.first, call.stored, call.unknown)

    def _durability(self, draw: random.Random) -> str:
        return draw.choice(sorted(self._types))

    # What threads do.

    def _many(self, draw: random.Random) -> None:
        # Mostly one chunk, at times several.
        n = draw.randint(1001, 2500) if draw.random() < 0.05 else draw.randint(2, 200)
        self.enqueue("quick", draw.choice(QUEUES), n, durability=self._durability(draw))

    def _one(self, draw: random.Random) -> None:
        self.enqueue("quick", draw.choice(QUEUES), durability=self._durability(draw))

    def _chosen(self, draw: random.Random) -> None:
        call = self.enqueue("quick", draw.choice(QUEUES), chosen=True, durability=self._durability(draw))
        if call.unknown or draw.random() < 0.3:
            self.enqueue_again(call)

    def _later(self, draw: random.Random) -> None:
        n = draw.choice((1, 1, 1, 20))
        delay_s = draw.uniform(0.2, 3)
        self.enqueue("quick", draw.choice(QUEUES), n, delay_s=delay_s, durability=self._durability(draw))

    def _flaky(self, draw: random.Random) -> None:
        fails = draw.randint(1, 2)
        n = draw.choice((1, 10))
        self.enqueue("flaky", draw.choice(QUEUES), n, fails, fails=fails, durability=self._durability(draw))

    def _slow(self, draw: random.Random) -> None:
        seconds = draw.uniform(0.02, 0.3)
        self.enqueue("slow", draw.choice(QUEUES), 1, seconds, durability=self._durability(draw))

    def _doomed(self, draw: random.Random) -> None:
        self.enqueue("doomed", draw.choice(QUEUES), durability=self._durability(draw))

    def _stuck(self, draw: random.Random) -> None:
        way = draw.randrange(len(STUCK_WAYS))
        self.enqueue("stuck", draw.choice(QUEUES), 1, way, durability=self._durability(draw))

    def _cancel(self, draw: random.Random) -> None:
        if not self._lasting:
            return
        key, job = self._lasting.popleft()
        self.cancel_asked.add(key)
        try:
            job.cancel()
            if job.status == Status.CANCELLED:
                self.cancelled_ns[key] = time.monotonic_ns()
        except (errors.StoreError, errors.JobStateError, errors.JobNotFound):
            pass
        self._journal.write("cancel", key, job.status)
