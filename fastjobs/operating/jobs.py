"""Answers questions about jobs from the database, and selects jobs to act on; a worker runs without it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from fastjobs.errors import ConfigError, JobNotFound
from fastjobs.job import Job
from fastjobs.model.names import check_key_part
from fastjobs.model.partitions import Partitioner, partition_name, partition_order, queue_of
from fastjobs.model.refs import address
from fastjobs.model.status import Status
from fastjobs.operating.cursors import PageCursor
from fastjobs.operating.handles import Handles
from fastjobs.operating.listing import ListedJob, Listing
from fastjobs.operating.operations import listed
from fastjobs.operating.selection import Selection
from fastjobs.store.store import Store

#: Statuses that are counted by type as well.
_COUNTED_BY_TYPE = (Status.FAILED, Status.CANCELLED)
#: Most jobs on a page.
_PAGE = 1000
#: Looks at a partition for one page: where most of what was listed is gone, the page may be shorter.
_MAX_LOOKS = 20


@dataclass(frozen=True, slots=True)
class JobPage:
    """A page of jobs."""

    jobs: list[Job]
    #: Pass it to get the next page; None after the last.
    cursor: str | None


class Jobs:
    """Looks jobs up and acts on them: what `app.jobs` is.

    Args:
        store: gives the calling thread's store.
        handles: makes handles of jobs.
        partitioner: knows in which partition a job probably is.
    """

    def __init__(self, store: Callable[[], Store], handles: Handles, partitioner: Partitioner) -> None:
        self._store = store
        self._handles = handles
        self._partitioner = partitioner

    def queues(self) -> list[str]:
        """Returns the names of all queues that were ever used, in alphabetical order."""
        return list(self._store().partitions())

    def partitions(self, queue: str | None = None) -> list[str]:
        """Returns the partitions of a queue, or (None) of all that were ever used, in order."""
        queues = None if queue is None else [check_key_part("queue", queue)]
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
        queues = self.queues() if queue is None else [check_key_part("queue", queue)]
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
                return self._handles.handle(name, listed(self._store(), name, job_id, reply.value))
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
        return JobPage([self._handles.handle(name, job) for name, job in jobs], cursor)

    def ids(self, status: Status, *, queue: str | None = None, reverse: bool = False) -> Iterator[str]:
        """Yields the ids of all jobs with a status, page by page, in the order of `list`.

        It ends with those that had the status at the beginning, so you may act on each: what comes, or fails again,
        meanwhile is left out.
        """
        return (job.record.id for job in self._all(Status(status), queue, reverse=reverse))

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
            check_key_part("queue", queue)
        return Selection(self.partitions, self._handles, None if status is None else Status(status), queue, type, error)

    def _all(self, status: Status, queue: str | None, *, reverse: bool) -> Iterator[ListedJob]:
        if not reverse:
            for _, found in self._handles.steps(status, self.partitions(queue), _PAGE):
                yield from found
            return
        cursor: str | None = None
        while True:
            jobs, cursor = self._page(status, queue, _PAGE, cursor, reverse=True)
            yield from (job for _, job in jobs)
            if cursor is None:
                return

    def _page(
        self, status: Status, queue: str | None, limit: int, cursor: str | None, *, reverse: bool
    ) -> tuple[Sequence[tuple[str, ListedJob]], str | None]:
        """A page over the partitions of one queue or of all."""
        if type(limit) is not int or not 1 <= limit <= _PAGE:
            raise ConfigError(f"limit={limit!r}: use an integer from 1 to 1000")
        names = self.partitions(queue)
        listing = [self._store().config.namespace, status.value, queue, reverse]
        begin = PageCursor.parse(cursor, listing) if cursor is not None else PageCursor("", None)
        names = [name for name in names if partition_order(name) >= partition_order(begin.partition)]
        jobs: list[tuple[str, ListedJob]] = []
        for place, name in enumerate(names):
            inner = begin.inner if name == begin.partition else None
            found, inner = self._fill(Listing(self._store(), name, status, reverse=reverse), inner, limit - len(jobs))
            jobs += [(name, job) for job in found]
            if inner is not None:
                return jobs, PageCursor(name, inner).pack(listing)
            if len(jobs) == limit and place + 1 < len(names):
                return jobs, PageCursor(names[place + 1], None).pack(listing)
        return jobs, None

    def _fill(self, listing: Listing, cursor: str | None, limit: int) -> tuple[Sequence[ListedJob], str | None]:
        """Reads on in a partition until a page is full: some of what a look finds may be gone by the next."""
        jobs: list[ListedJob] = []
        for _ in range(_MAX_LOOKS):
            page = listing.page(cursor, limit - len(jobs))
            jobs += page.jobs
            cursor = page.cursor
            if cursor is None or len(jobs) == limit:
                break
        return jobs, cursor
