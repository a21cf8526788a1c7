"""Producers: threads that enqueue in every way there is, and note what each call came to."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import deque
from collections.abc import Callable

from fastjobs import FastJobs, Job, Status, errors
from tests.chaos.app import QUEUES, register
from tests.chaos.journal import Call, Journal

#: Jobs waiting at once, beyond which producers rest: what is judged is not who is faster.
_MOST_WAITING = 4000
#: Rest between two calls of a thread, in seconds.
_REST_S = (0.002, 0.03)


class Producers:
    """Enqueues until told to stop.

    Args:
        app: over a connection that may be harmed.
        journal: where calls are noted for people; what is judged is `calls`.
        waiting: asks how many jobs wait.
        seed: decides what is enqueued.
    """

    def __init__(self, app: FastJobs, journal: Journal, waiting: Callable[[], int], seed: int) -> None:
        self._types = register(app)
        self._journal = journal
        self._waiting = waiting
        self._seed = seed
        self._keys = itertools.count()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        #: (key, handle) of delayed jobs that may be cancelled.
        self._delayed: deque[tuple[int, Job]] = deque(maxlen=64)
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
            self._cancel,
        ]
        weights = [30, 20, 10, 15, 8, 6, 3, 8]
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
    ) -> Call:
        """Enqueues `n` jobs in one call, a single one alone; notes what came of it."""
        with self._lock:
            first = next(self._keys)
            for _ in range(n - 1):
                next(self._keys)
            call = Call(first, n, kind, queue, delay_s, time.monotonic_ns(), fails=fails)
            self.calls.append(call)
        self._journal.write("intent", first, n, kind, queue, delay_s)
        job_type = self._types[kind, queue]
        if delay_s:
            job_type = job_type.options(delay=delay_s)
        if chosen:
            job_type = job_type.options(job_id=f"chosen-{first}")
        try:
            if n == 1:
                job = job_type.enqueue(first, *arguments)
                if delay_s:
                    self._delayed.append((first, job))
            else:
                job_type.enqueue_many((key, *arguments) for key in call.keys)
            call.stored = n
        except errors.NotEnqueued as error:
            call.stored = len(error.enqueued)
        except errors.EnqueueUnknown as error:
            call.stored, call.unknown = len(error.enqueued), len(error.ids)
        call.ended_ns = time.monotonic_ns()
        self._journal.write("result", first, call.stored, call.unknown)
        return call

    def enqueue_again(self, call: Call) -> None:
        """Repeats the call of a job with a chosen id: it is one job all the same."""
        try:
            self._types[call.kind, call.queue].options(job_id=f"chosen-{call.first}").enqueue(call.first)
            call.stored, call.unknown = 1, 0
        except errors.NotEnqueued:
            pass
        except errors.EnqueueUnknown:
            call.unknown = 1 - call.stored
        self._journal.write("again", call.first, call.stored, call.unknown)

    # What threads do.

    def _many(self, draw: random.Random) -> None:
        # Mostly one chunk, at times several.
        n = draw.randint(1001, 2500) if draw.random() < 0.05 else draw.randint(2, 200)
        self.enqueue("quick", draw.choice(QUEUES), n)

    def _one(self, draw: random.Random) -> None:
        self.enqueue("quick", draw.choice(QUEUES))

    def _chosen(self, draw: random.Random) -> None:
        call = self.enqueue("quick", draw.choice(QUEUES), chosen=True)
        if call.unknown or draw.random() < 0.3:
            self.enqueue_again(call)

    def _later(self, draw: random.Random) -> None:
        n = draw.choice((1, 1, 1, 20))
        self.enqueue("quick", draw.choice(QUEUES), n, delay_s=draw.uniform(0.2, 3))

    def _flaky(self, draw: random.Random) -> None:
        fails = draw.randint(1, 2)
        self.enqueue("flaky", draw.choice(QUEUES), draw.choice((1, 10)), fails, fails=fails)

    def _slow(self, draw: random.Random) -> None:
        self.enqueue("slow", draw.choice(QUEUES), 1, draw.uniform(0.02, 0.3))

    def _doomed(self, draw: random.Random) -> None:
        self.enqueue("doomed", draw.choice(QUEUES))

    def _cancel(self, draw: random.Random) -> None:
        if not self._delayed:
            return
        key, job = self._delayed.popleft()
        self.cancel_asked.add(key)
        try:
            job.cancel()
            if job.status == Status.CANCELLED:
                self.cancelled_ns[key] = time.monotonic_ns()
        except (errors.StoreError, errors.JobStateError, errors.JobNotFound):
            pass
        self._journal.write("cancel", key, job.status)
