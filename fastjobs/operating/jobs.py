"""Answers questions about jobs from the database, and selects jobs to act on; a worker runs without it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from fastjobs.errors import ConfigError, JobNotFound
from fastjobs.job import Job
from fastjobs.model.names import check_name
from fastjobs.model.partitions import Partitioner, partition_name, partition_order, queue_of
from fastjobs.model.refs import address
from fastjobs.model.status import Status
from fastjobs.model.times import instant
from fastjobs.operating.listing import ListedJob, Listing
from fastjobs.operating.operations import Add, Operations, listed
from fastjobs.operating.stored_jobs import fill
from fastjobs.options import Options, check_priority
from fastjobs.registry import Registry
from fastjobs.store.store import Store

#: Statuses that are counted by type as well.
_COUNTED_BY_TYPE = (Status.FAILED, Status.CANCELLED)
#: Jobs acted on in one round trip.
_STEP = 200


@dataclass(frozen=True, slots=True)
class JobPage:
    """A page of jobs."""

    jobs: list[Job]
    #: What gives the next page; None after the last.
    cursor: str | None


class Jobs:
    """Looks jobs up and acts on them: what `app.jobs` is.

    Args:
        store: gives the calling thread's store.
        registry: the app's job types; a job is found without its type, it only says less then.
        partitioner: knows in which partition a job probably is.
    """

    def __init__(self, store: Callable[[], Store], registry: Registry, partitioner: Partitioner) -> None:
        self._store = store
        self._registry = registry
        self._partitioner = partitioner

    def queues(self) -> list[str]:
        """Returns the names of all queues that were ever used, in alphabetical order."""
        return list(self._store().partitions())

    def partitions(self, queue: str | None = None) -> list[str]:
        """Returns the partitions of a queue, or (None) of all that were ever used, in order."""
        queues = None if queue is None else [check_name("queue", queue)]
        return [name for names in self._store().partitions(queues).values() for name in names]

    def counts(self, queues: Sequence[str] | None = None) -> dict[str, dict[Status, int]]:
        """Returns how many jobs each queue has in each status; exact, and O(1) per queue.

        Args:
            queues: which; None = all.
        """
        store = self._store()
        partitions = store.partitions(queues)
        if not partitions:
            return {}
        batch = store.batch()
        names = [name for names in partitions.values() for name in names]
        replies = [batch.counters(name, Status) for name in names]
        batch.run()
        counts = {queue: dict.fromkeys(Status, 0) for queue in partitions}
        for name, reply in zip(names, replies, strict=True):
            for status, number in zip(Status, reply.value, strict=True):
                counts[queue_of(name)][status] += number
        return counts

    def count(self, status: Status, *, queue: str | None = None, type: str | None = None) -> int:
        """Returns how many jobs have a status; exact, and O(1) per queue.

        Args:
            status: which.
            queue: in this queue; None = in all.
            type: of this job type; counted for failed and cancelled jobs only.

        Raises:
            ConfigError: jobs of this status are not counted by type.
        """
        status = Status(status)
        if type is not None and status not in _COUNTED_BY_TYPE:
            raise ConfigError(f"{status} jobs are not counted by type: give the type a queue of its own, or list them")
        names = self.partitions(queue)
        if not names:
            return 0
        batch = self._store().batch()
        counter = status.value if type is None else f"{status}:{type}"
        replies = [batch.counter(name, counter) for name in names]
        batch.run()
        return sum(reply.value for reply in replies)

    def find(self, job_id: str, *, queue: str | None = None) -> Job:
        """Returns a job; its code need not be known here.

        Args:
            job_id: its id.
            queue: where to look; None = in all queues, which costs one look-up in each.

        Raises:
            JobNotFound: there is none, or its history was trimmed.
        """
        where = address(job_id)
        queues = self.queues() if queue is None else [check_name("queue", queue)]
        likely = [partition_name(name, self._partitioner.of_id(name, where.chunk_id)) for name in queues]
        found = self._find_in(likely, job_id)
        if found is None and queues:
            # It may have been stored when there were fewer partitions, or have been given a partition by its key.
            partitions = [name for names in self._store().partitions(queues).values() for name in names]
            found = self._find_in([name for name in partitions if name not in likely], job_id)
        if found is None:
            raise JobNotFound(job_id)
        return found

    def _find_in(self, partitions: Sequence[str], job_id: str) -> Job | None:
        if not partitions:
            return None
        where = address(job_id)
        batch = self._store().batch()
        replies = [batch.find(name, where) for name in partitions]
        batch.run()
        for name, reply in zip(partitions, replies, strict=True):
            if reply.value is not None:
                return self._handle(name, listed(self._store(), name, job_id, reply.value))
        return None

    def list(
        self,
        status: Status,
        *,
        queue: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
        reverse: bool = False,
    ) -> JobPage:
        """Returns a page of jobs: queued ones in the order they run, others in the order they are due or ended.

        Args:
            status: which.
            queue: of this queue; None = of all, one queue after the other, and one partition after the other.
            limit: most jobs on the page, 1 to 1000.
            cursor: as the page before said.
            reverse: the other way round: the latest first.

        Raises:
            ConfigError: a limit or cursor that cannot be used.
        """
        jobs, cursor = self._page(Status(status), queue, limit, cursor, reverse=reverse)
        return JobPage([self._handle(name, job) for name, job in jobs], cursor)

    def ids(self, status: Status, *, queue: str | None = None, reverse: bool = False) -> Iterator[str]:
        """Yields the ids of all jobs with a status, page by page, in the order of `list`."""
        return (job.record.id for _, job in self._all(Status(status), queue, reverse=reverse))

    def where(
        self,
        *,
        status: Status | None = None,
        queue: str | None = None,
        type: str | None = None,
        error: str | None = None,
    ) -> Selection:
        """Selects jobs to act on.

        Args:
            status: with this status; None = whatever the operation applies to.
            queue: of this queue; None = of all.
            type: of this job type.
            error: whose last error has this type, for example "ValueError".

        Example:
            app.jobs.where(type="welcome", error="TimeoutError").retry_all()
        """
        if queue is not None:
            check_name("queue", queue)
        return Selection(self, None if status is None else Status(status), queue, type, error)

    # What handles call.

    def load(self, job: Job) -> None:
        """Fills a handle with what is stored; see `Job.refresh`."""
        found = self.operations(job.partition).find(job.id)
        fill(job, found.status, found.due_at_ms, found.record, self._registry)

    def cancel(self, job: Job) -> None:
        """See `Job.cancel`."""
        job.status = self.operations(job.partition).cancel(job.id)

    def reschedule(self, job: Job, at: datetime | None, delay: float | timedelta | None) -> None:
        """See `Job.reschedule`."""
        options = Options().with_(at=at, delay=delay)
        job.status = self.operations(job.partition).reschedule(
            job.id, delay_ms=options.delay_ms, due_at_ms=options.due_at_ms
        )

    def retry(self, job: Job) -> None:
        """See `Job.retry`."""
        job.status = self.operations(job.partition).retry(job.id)

    def set_priority(self, job: Job, priority: int) -> None:
        """See `Job.set_priority`."""
        job.status = self.operations(job.partition).prioritize(job.id, check_priority(priority))
        job.priority = priority

    def destroy(self, job: Job) -> None:
        """See `Job.destroy`."""
        self.operations(job.partition).destroy(job.id)

    def next_time(self, job: Job) -> datetime | None:
        """See `Job.next_time`."""
        store = self._store()
        if job.recurring is None:
            return None
        stored = store.batch().stored_definition(job.queue, job.recurring).run()
        if stored is None:
            return None
        definition = store.definition(job.queue, job.recurring, stored)
        return None if definition.paused else instant(definition.due_ms)

    # What selections call.

    def operations(self, partition: str) -> Operations:
        """Returns what acts on the jobs of a partition."""
        return Operations(self._store(), partition)

    def steps(self, status: Status, queue: str | None) -> Iterator[tuple[str, Sequence[ListedJob]]]:
        """Yields the jobs with a status in steps of a bounded size, each of one partition."""
        for name in self.partitions(queue):
            listing = Listing(self._store(), name, status)
            cursor: str | None = None
            while True:
                jobs, cursor = listing.page(cursor, _STEP)
                yield name, jobs
                if cursor is None:
                    break

    def _all(self, status: Status, queue: str | None, *, reverse: bool) -> Iterator[tuple[str, ListedJob]]:
        cursor: str | None = None
        while True:
            jobs, cursor = self._page(status, queue, 1000, cursor, reverse=reverse)
            yield from jobs
            if cursor is None:
                return

    def _page(
        self, status: Status, queue: str | None, limit: int, cursor: str | None, *, reverse: bool
    ) -> tuple[Sequence[tuple[str, ListedJob]], str | None]:
        """A page over the partitions of one queue or of all; its cursor is `<partition> <cursor in it>`."""
        if type(limit) is not int or not 1 <= limit <= 1000:
            raise ConfigError(f"limit={limit!r}: use an integer from 1 to 1000")
        names = self.partitions(queue)
        first, _, inner = (cursor or "").partition(" ")
        names = [name for name in names if partition_order(name) >= partition_order(first)]
        jobs: list[tuple[str, ListedJob]] = []
        for place, name in enumerate(names):
            listing = Listing(self._store(), name, status, reverse=reverse)
            page = listing.page(inner or None if name == first else None, limit - len(jobs))
            jobs += [(name, job) for job in page.jobs]
            if page.cursor is not None:
                return jobs, f"{name} {page.cursor}"
            if len(jobs) == limit and place + 1 < len(names):
                return jobs, names[place + 1]
        return jobs, None

    def _handle(self, partition: str, found: ListedJob) -> Job:
        job = Job(self, found.record.id, partition)
        fill(job, found.status, found.due_at_ms, found.record, self._registry)
        return job


@dataclass(frozen=True, slots=True)
class Selection:
    """Jobs selected by `app.jobs.where(...)`. Each operation works in bounded steps and returns how many it changed."""

    _jobs: Jobs
    _status: Status | None
    _queue: str | None
    _type: str | None
    _error: str | None

    def retry_all(self, progress: Callable[[int], None] | None = None) -> int:
        """Lets failed jobs run again.

        Args:
            progress: told, after each step, how many have been changed so far.

        Raises:
            ConfigError: the selection is of another status.
        """
        return self._run((Status.FAILED,), lambda operations: operations.add_retry, progress)

    def cancel_all(self, progress: Callable[[int], None] | None = None) -> int:
        """Cancels jobs that wait, and asks those that are being executed to end; otherwise as `retry_all`."""
        statuses = (Status.SCHEDULED, Status.RETRYING, Status.QUEUED, Status.EXECUTING)
        return self._run(statuses, lambda operations: operations.add_cancel, progress)

    def destroy_all(self, progress: Callable[[int], None] | None = None) -> int:
        """Removes jobs without a trace; otherwise as `retry_all`."""
        return self._run(tuple(Status), lambda operations: operations.add_destroy, progress)

    def count(self) -> int:
        """Returns how many jobs are selected now; reads all of those with the status."""
        statuses = tuple(Status) if self._status is None else (self._status,)
        return sum(
            sum(map(self._fits, jobs)) for status in statuses for _, jobs in self._jobs.steps(status, self._queue)
        )

    def _run(
        self,
        applicable: tuple[Status, ...],
        choose: Callable[[Operations], Add[Any]],
        progress: Callable[[int], None] | None,
    ) -> int:
        if self._status is not None and self._status not in applicable:
            raise ConfigError(f"this operation is not for {self._status} jobs, but for {', '.join(applicable)}")
        changed = 0
        for status in applicable if self._status is None else (self._status,):
            for partition, jobs in self._jobs.steps(status, self._queue):
                operations = self._jobs.operations(partition)
                changed += operations.run_many(filter(self._fits, jobs), choose(operations))
                if progress is not None:
                    progress(changed)
        return changed

    def __str__(self) -> str:
        given = {"status": self._status, "queue": self._queue, "type": self._type, "error": self._error}
        return ", ".join(f"{name} {value}" for name, value in given.items() if value is not None)

    def _fits(self, job: ListedJob) -> bool:
        last_error = job.record.errors[-1].type if job.record.errors else None
        return self._type in (None, job.record.type) and self._error in (None, last_error)
