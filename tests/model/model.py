"""What a queue should do, in plain Python: every job an object, every rule a few lines, no cleverness."""

from __future__ import annotations

from dataclasses import dataclass, field

LEASE_MS = 1_000

WAITING = ("queued", "scheduled", "retrying")
ENDED = ("finished", "failed", "cancelled")


@dataclass
class ModelJob:
    id: str
    type: str
    priority: int
    #: Its place among those of its priority: microseconds.
    sequence: int
    status: str
    due_ms: int = 0
    cancelling: bool = False
    #: (session, fence) while it is executing.
    lease: tuple[str, int] | None = None

    @property
    def place(self) -> tuple[int, int]:
        return -self.priority, self.sequence


@dataclass
class ModelQueue:
    """The whole state of a queue."""

    now_ms: int
    jobs: dict[str, ModelJob] = field(default_factory=dict)
    #: Session -> deadline.
    sessions: dict[str, int] = field(default_factory=dict)
    last_sequence: int = -1
    tick_ms: int | None = None
    grace_until_ms: int = 0

    def in_status(self, status: str) -> list[ModelJob]:
        return [job for job in self.jobs.values() if job.status == status]

    def leased(self, session: str, fence: int | None = None) -> list[ModelJob]:
        return [
            job for job in self.jobs.values() if job.lease and job.lease[0] == session and fence in (None, job.lease[1])
        ]

    def next_sequence(self) -> int:
        self.last_sequence = max(self.now_ms * 1000, self.last_sequence + 1)
        return self.last_sequence

    def put_in_line(self, jobs: list[ModelJob], delay_ms: int, status: str = "scheduled") -> None:
        """Jobs that are enqueued together share a place."""
        sequence = (self.now_ms + delay_ms) * 1000 if delay_ms > 0 else self.next_sequence()
        for job in jobs:
            job.lease = None
            job.sequence = sequence
            job.status, job.due_ms = (status, self.now_ms + delay_ms) if delay_ms > 0 else ("queued", 0)

    def tick(self) -> None:
        if self.tick_ms is not None and abs(self.now_ms - self.tick_ms) > LEASE_MS / 2:
            self.grace_until_ms = self.now_ms + LEASE_MS
        self.tick_ms = self.now_ms

    def promote(self) -> None:
        for job in self.jobs.values():
            if job.status in ("scheduled", "retrying") and job.due_ms <= self.now_ms:
                job.status, job.due_ms = "queued", 0

    def end(self, job: ModelJob, status: str) -> None:
        job.status, job.lease, job.cancelling, job.due_ms = status, None, False, 0

    def give_back(self, jobs: list[ModelJob]) -> None:
        """To its place, unless it was to be cancelled."""
        for job in jobs:
            if job.cancelling:
                self.end(job, "cancelled")
            else:
                job.status, job.lease = "queued", None

    def expired(self) -> str | None:
        """The session a reclaim has to take next."""
        past = [(deadline, name.encode(), name) for name, deadline in self.sessions.items() if deadline <= self.now_ms]
        return min(past)[2] if past else None
