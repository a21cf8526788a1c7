"""What a queue should do, in plain Python: every job an object, every rule a few lines, no cleverness."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from fastjobs.model.origin import Origin

LEASE_MS = 1_000
#: History: finished jobs kept, failed and cancelled ones each, and for how long the latter are.
FINISHED_KEEP = 6
ENDED_KEEP = 4
ENDED_KEEP_MS = 20_000
#: How long a sender is remembered.
SENDER_KEEP_MS = 45_000
#: What one call forgets at most, as `trim` is called.
TRIM_LIMIT = 500

WAITING = ("queued", "scheduled", "retrying")
ENDED = ("finished", "failed", "cancelled")


@dataclass(eq=False)
class ModelJob:
    chunk_id: str
    index: int
    #: Jobs in the chunk it came in.
    n: int
    type: str
    priority: int
    #: Its place among those of its priority: microseconds.
    sequence: int
    status: str
    due_ms: int = 0
    cancelling: bool = False
    #: (session, fence) while it is executing.
    lease: tuple[str, int] | None = None
    #: Whether it has left its chunk.
    detached: bool = False
    #: When it ended, if it failed or was cancelled; when it is forgotten, if it finished detached.
    ended_ms: int = 0
    forget_ms: int = 0

    @property
    def ref(self) -> str:
        return f"{self.chunk_id}~{self.index:03d}"

    @property
    def id(self) -> str:
        return self.chunk_id if self.n == 1 else self.ref

    @property
    def place(self) -> tuple[int, int]:
        return -self.priority, self.sequence

    @property
    def turn(self) -> tuple[int, int, str]:
        """When it is its turn: jobs that have the same place run in the order of their refs, so a chunk by index."""
        return *self.place, self.ref


@dataclass(eq=False)
class ModelChunk:
    id: str
    content: object
    #: The jobs that have not left it, by index; finished ones too.
    jobs: dict[int, ModelJob]
    keep_ms: int = 0
    #: Rounds of growing delays that its jobs have had, and when those are due that were postponed last.
    rounds: int = 0
    postponed_ms: int = 0
    #: When its history is forgotten; None while it goes on.
    forget_ms: int | None = None

    @property
    def finished(self) -> list[ModelJob]:
        return [job for job in self.jobs.values() if job.status == "finished"]


@dataclass
class ModelQueue:
    """The whole state of a queue."""

    now_ms: int
    #: By ref. Of jobs that finished, also those that are not kept, while their chunk goes on.
    jobs: dict[str, ModelJob] = field(default_factory=dict)
    chunks: dict[str, ModelChunk] = field(default_factory=dict)
    #: Session -> deadline.
    sessions: dict[str, int] = field(default_factory=dict)
    totals: Counter[str] = field(default_factory=Counter)
    paused: bool = False
    last_sequence: int = -1
    tick_ms: int | None = None
    grace_until_ms: int = 0
    #: Sender -> when it is forgotten, and the numbers of its chunks that were stored.
    senders: dict[str, tuple[int, set[int]]] = field(default_factory=dict)

    def visible(self) -> list[ModelJob]:
        return [job for job in self.jobs.values() if not self.is_hidden(job)]

    def is_hidden(self, job: ModelJob) -> bool:
        return job.status == "finished" and not job.detached and not self.chunks[job.chunk_id].keep_ms

    def in_status(self, status: str) -> list[ModelJob]:
        return [job for job in self.jobs.values() if job.status == status]

    def leased(self, session: str, fence: int | None = None) -> list[ModelJob]:
        return [
            job for job in self.jobs.values() if job.lease and job.lease[0] == session and fence in (None, job.lease[1])
        ]

    def held(self, lease: tuple[str, int], chunk_id: str, first: int, count: int) -> list[ModelJob]:
        """Those of a run of jobs that are still on a lease."""
        found = [self.jobs.get(f"{chunk_id}~{index:03d}") for index in range(first, first + count)]
        return [job for job in found if job is not None and job.lease == lease]

    def next_sequence(self) -> int:
        self.last_sequence = max(self.now_ms * 1000, self.last_sequence + 1)
        return self.last_sequence

    # Coming.

    def was_sent(self, origin: Origin) -> bool:
        """Whether it is remembered that the chunk was stored."""
        return origin.number in self.senders.get(origin.sender, (0, set()))[1]

    def enqueue(
        self, chunk_id: str, content: object, types: list[str], priority: int, due_ms: int, origin: Origin
    ) -> str:
        """What a call to enqueue does and answers."""
        if self.was_sent(origin):
            return "existing"
        if chunk_id in self.chunks:
            return "existing" if self.chunks[chunk_id].content == content else "conflict"
        if f"{chunk_id}~000" in self.jobs:
            return "detached" if len(types) == 1 else "existing"
        jobs = {index: ModelJob(chunk_id, index, len(types), name, priority, 0, "") for index, name in enumerate(types)}
        self.put_in_line(jobs.values(), due_ms, "scheduled")
        self.chunks[chunk_id] = ModelChunk(chunk_id, content, jobs)
        self.jobs.update({job.ref: job for job in jobs.values()})
        is_first = not self.totals["enqueued"]
        self.totals["enqueued"] += len(jobs)
        numbers = self.senders.get(origin.sender, (0, set()))[1]
        self.senders[origin.sender] = self.now_ms + SENDER_KEEP_MS, numbers | {origin.number}
        return "first" if is_first else "created"

    def put_in_line(self, jobs: Iterable[ModelJob], due_ms: int, status: str) -> None:
        """Jobs that are enqueued together share a place."""
        later = due_ms > self.now_ms
        sequence = due_ms * 1000 if later else self.next_sequence()
        for job in jobs:
            job.lease, job.cancelling, job.sequence = None, False, sequence
            job.status, job.due_ms = (status, due_ms) if later else ("queued", 0)

    def promote(self) -> None:
        for job in self.jobs.values():
            if job.status in ("scheduled", "retrying") and job.due_ms <= self.now_ms:
                job.status, job.due_ms = "queued", 0

    # Going.

    def leave_chunk(self, job: ModelJob) -> None:
        if job.detached:
            return
        job.detached = True
        chunk = self.chunks[job.chunk_id]
        del chunk.jobs[job.index]
        if chunk.forget_ms is None:
            self.end_chunk(chunk)
        elif not chunk.jobs:
            del self.chunks[chunk.id]

    def end_chunk(self, chunk: ModelChunk) -> None:
        """A chunk with nothing left to do is logged, or goes with what finished in it."""
        if len(chunk.finished) < len(chunk.jobs):
            return
        if chunk.jobs and chunk.keep_ms:
            chunk.forget_ms = self.now_ms + chunk.keep_ms
        else:
            self.forget_chunk(chunk)

    def forget_chunk(self, chunk: ModelChunk) -> None:
        for job in chunk.jobs.values():
            del self.jobs[job.ref]
        del self.chunks[chunk.id]

    def finish(self, job: ModelJob, keep_ms: int) -> None:
        job.status, job.lease, job.cancelling = "finished", None, False
        self.totals["finished"] += 1
        if not job.detached:
            chunk = self.chunks[job.chunk_id]
            chunk.keep_ms = max(chunk.keep_ms, keep_ms)
            self.end_chunk(chunk)
        elif keep_ms:
            job.forget_ms = self.now_ms + keep_ms
        else:
            del self.jobs[job.ref]

    def end(self, job: ModelJob, status: str) -> None:
        """As failed or cancelled."""
        self.leave_chunk(job)
        job.status, job.lease, job.cancelling, job.due_ms, job.ended_ms = status, None, False, 0, self.now_ms
        self.totals[status] += 1

    def destroy(self, job: ModelJob) -> None:
        self.leave_chunk(job)
        del self.jobs[job.ref]

    # Leases.

    def settle(self, job: ModelJob, state: str, delay_ms: int, keep_ms: int) -> None:
        """What an outcome does to a job."""
        if job.cancelling and state in ("retrying", "scheduled"):
            state = "cancelled"
        self.leave_chunk(job)
        if state == "finished":
            self.finish(job, keep_ms)
        elif state in ("failed", "cancelled"):
            self.end(job, state)
        else:
            self.put_in_line([job], self.now_ms + delay_ms, state)
            self.totals["retried"] += state == "retrying"

    def give_back(self, jobs: list[ModelJob]) -> int:
        """To their place, unless they were to be cancelled; returns how many returned."""
        for job in jobs:
            if job.cancelling:
                self.end(job, "cancelled")
            else:
                job.status, job.lease = "queued", None
        return sum(job.status == "queued" for job in jobs)

    def postpone(self, jobs: list[ModelJob], delay_ms: int, most_ms: int) -> None:
        chunk = None if jobs[0].detached else self.chunks[jobs[0].chunk_id]
        self.give_back(jobs)
        due_ms, rounds = self.now_ms + delay_ms, 0
        if chunk is not None:
            due_ms, rounds = self.now_ms + min(most_ms, delay_ms * 2**chunk.rounds), chunk.rounds
            if self.now_ms < chunk.postponed_ms <= due_ms:
                due_ms = chunk.postponed_ms
            elif most_ms > delay_ms:
                rounds += 1
        for job in jobs:
            if job.status == "queued":
                job.status, job.due_ms = "scheduled", due_ms
                if chunk is not None:
                    chunk.rounds, chunk.postponed_ms = rounds, due_ms

    def tick(self) -> None:
        passed_ms = 0 if self.tick_ms is None else self.now_ms - self.tick_ms
        if abs(passed_ms) > LEASE_MS / 2:
            self.grace_until_ms = self.now_ms + LEASE_MS
        if passed_ms < -LEASE_MS / 2:
            self.sessions = {name: deadline and self.moved_ms(deadline) for name, deadline in self.sessions.items()}
        self.tick_ms = self.now_ms

    def moved_ms(self, deadline_ms: int) -> int:
        """A deadline after the clock was set back."""
        assert self.tick_ms is not None
        if deadline_ms >= self.tick_ms - LEASE_MS:
            return deadline_ms + self.now_ms - self.tick_ms
        return min(deadline_ms, self.now_ms + LEASE_MS)

    def expired(self) -> str | None:
        """The session a reclaim has to take next."""
        past = [(deadline, name.encode(), name) for name, deadline in self.sessions.items() if deadline <= self.now_ms]
        return min(past)[2] if past else None

    # Forgetting.

    def log(self) -> list[tuple[int, bytes, list[ModelJob]]]:
        """What ended whole: when it is forgotten, as it is logged, and which jobs that is; in the order it goes."""
        chunks = [
            (chunk.forget_ms, f"{len(chunk.jobs)} {chunk.id}".encode(), list(chunk.jobs.values()))
            for chunk in self.chunks.values()
            if chunk.forget_ms is not None
        ]
        alone = [(job.forget_ms, f"1 {job.ref}".encode(), [job]) for job in self.in_status("finished") if job.detached]
        return sorted([*chunks, *alone], key=lambda entry: entry[:2])

    def trim(self, limit: int) -> None:
        self.trim_finished(limit)
        self.trim_ended("failed", limit)
        self.trim_ended("cancelled", limit)

    def forget(self) -> None:
        """Forgets the queue, of which nothing is stored."""
        assert not (self.jobs or self.chunks or self.sessions or self.senders or self.paused)
        self.totals.clear()
        self.last_sequence, self.tick_ms, self.grace_until_ms = -1, None, 0

    def trim_senders(self) -> None:
        self.senders = {name: entry for name, entry in self.senders.items() if entry[0] > self.now_ms}

    def trim_finished(self, limit: int) -> None:
        kept = sum(job.status == "finished" for job in self.visible())
        for forget_ms, _, jobs in self.log()[:limit]:
            if kept - len(jobs) < FINISHED_KEEP and forget_ms > self.now_ms:
                return
            kept -= len(jobs)
            if jobs[0].detached:
                del self.jobs[jobs[0].ref]
            else:
                self.forget_chunk(self.chunks[jobs[0].chunk_id])

    def trim_ended(self, status: str, limit: int) -> None:
        oldest = sorted(self.in_status(status), key=lambda job: (job.ended_ms, job.ref.encode()))
        excess = len(oldest) - ENDED_KEEP
        for job in oldest[:limit]:
            if excess <= 0 and self.now_ms - job.ended_ms <= ENDED_KEEP_MS:
                return
            del self.jobs[job.ref]
            excess -= 1
