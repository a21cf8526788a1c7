"""Makes handles of jobs, and does what their methods ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from fastjobs.job import Job
from fastjobs.model.status import Status
from fastjobs.model.times import instant
from fastjobs.operating.bound import Bound
from fastjobs.operating.listing import SETS, ListedJob, Listing
from fastjobs.operating.operations import Operations
from fastjobs.operating.stored_jobs import fill
from fastjobs.options import Options, check_priority
from fastjobs.registry import Registry
from fastjobs.store.store import Store

#: Jobs acted on in one round trip.
_STEP = 200


class Handles:
    """The `JobActions` of an app's handles.

    Args:
        store: gives the calling thread's store.
        registry: the app's job types; a job is found without its type, its handle only says less then.
    """

    def __init__(self, store: Callable[[], Store], registry: Registry) -> None:
        self._store = store
        self._registry = registry

    def handle(self, partition: str, found: ListedJob) -> Job:
        """Returns a handle of a job as it was found."""
        job = Job(self, found.record.id, partition)
        fill(job, found.status, found.due_at_ms, found.record, self._registry)
        return job

    # For handles.

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

    # For operations on many jobs.

    def operations(self, partition: str) -> Operations:
        """Returns what acts on the jobs of a partition."""
        return Operations(self._store(), partition)

    def steps(
        self, status: Status, partitions: Iterable[str], step: int = _STEP
    ) -> Iterator[tuple[str, Sequence[ListedJob]]]:
        """Yields the jobs that have a status now, in steps of a bounded size, each of one partition.

        It ends, although jobs may come, or come again, faster than they are read: see `Bound`.
        """
        for name in partitions:
            bound = Bound.now(self._store(), name, status, SETS.get(status))
            listing = Listing(self._store(), name, status, bound=bound)
            cursor: str | None = None
            seen = 0
            while seen < bound.most:
                jobs, cursor = listing.page(cursor, step)
                seen += len(jobs)
                yield name, jobs
                if cursor is None:
                    break
