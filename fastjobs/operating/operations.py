"""Acts on jobs: cancel, reschedule, retry, destroy, change the priority; one job, or many by filter."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeVar

from fastjobs._core import new_id
from fastjobs.errors import InternalError, JobNotFound, JobStateError
from fastjobs.model.refs import address
from fastjobs.model.status import Status
from fastjobs.model.stored import times_of
from fastjobs.operating.changed import OF_ONE_JOB, Changed, Tally
from fastjobs.operating.leased import LeaseName, lease_of
from fastjobs.operating.listing import ListedJob
from fastjobs.operating.stored_jobs import StoredChunk, decode_record
from fastjobs.store.batch import Reply
from fastjobs.store.replies import Answer, FoundJob
from fastjobs.store.store import Batch, Store

T = TypeVar("T")

#: Statuses from which a job can be put in line again.
RESCHEDULABLE = (
    Status.SCHEDULED,
    Status.QUEUED,
    Status.RETRYING,
    Status.FINISHED,
    Status.FAILED,
    Status.CANCELLED,
)
#: Statuses in which a job will run anyway: a retry has nothing to do.
_WILL_RUN = (Status.SCHEDULED, Status.QUEUED, Status.RETRYING, Status.EXECUTING)
#: A job that changes faster than it can be acted on is being used in some loop.
_MAX_TRIES = 100

#: Adds a call for a job as it was found, with the id of the operation.
Add = Callable[[Batch, ListedJob, str], Reply[T]]


class Operations:
    """Acts on the jobs of one partition of a queue.

    Args:
        store: of the calling thread.
        partition: which one.
    """

    def __init__(self, store: Store, partition: str) -> None:
        self._store = store
        self._partition = partition

    def cancel(self, job_id: str) -> Status:
        """Cancels a job and returns the status it has then; see `Job.cancel`."""
        return Status(self._act(job_id, self.add_cancel))

    def reschedule(self, job_id: str, *, delay_ms: int = 0, due_at_ms: int = 0) -> Status:
        """Puts a job in line again and returns its status; see `Job.reschedule`."""

        def add(batch: Batch, job: ListedJob, operation: str) -> Reply[Answer | None]:
            return self._add_reschedule(batch, job, operation, RESCHEDULABLE, delay_ms, due_at_ms)

        answer = self._act(job_id, add)
        if answer.what == "refused":
            raise JobStateError(job_id, answer.status, "to reschedule it")
        return Status(answer.status)

    def retry(self, job_id: str) -> Status:
        """Lets a failed job run again and returns its status; see `Job.retry`."""
        answer = self._act(job_id, self.add_retry)
        if answer.what == "refused" and answer.status not in _WILL_RUN:
            raise JobStateError(job_id, answer.status, "a retry")
        return Status(answer.status)

    def prioritize(self, job_id: str, priority: int) -> Status:
        """Changes a waiting job's priority and returns its status; see `Job.set_priority`."""

        def add(batch: Batch, job: ListedJob, operation: str) -> Reply[Answer | None]:
            record = replace(job.record, priority=priority)
            return batch.prioritize(
                self._partition, job.address, operation, priority, job.stored, record.type, record.encode()
            )

        answer = self._act(job_id, add)
        if answer.what == "refused":
            raise JobStateError(job_id, answer.status, "to change its priority")
        return Status(answer.status)

    def destroy(self, job_id: str) -> None:
        """Removes every trace of a job; see `Job.destroy`."""
        where = address(job_id)
        lease: LeaseName | None = None
        for _ in range(_MAX_TRIES):
            answer = self._store.batch().destroy(self._partition, where, lease).run()
            if answer is None or answer.what != "again":
                return
            lease = lease_of(self._store, self._partition, where)
        raise InternalError(f"job {job_id!r} is executing and in no lease: run `fastjobs fsck`")

    # Operations on jobs that were found already.

    def cancel_many(self, jobs: Iterable[ListedJob]) -> Changed:
        """Cancels jobs, and asks those that are being executed to end."""
        return self._act_on(jobs, self.add_cancel, lambda status: status in (Status.CANCELLED, Status.EXECUTING))

    def retry_many(self, jobs: Iterable[ListedJob]) -> Changed:
        """Lets failed jobs run again."""
        return self._act_on(jobs, self.add_retry, lambda answer: answer is not None and answer.what == "done")

    def destroy_many(self, jobs: Iterable[ListedJob]) -> Changed:
        """Removes jobs."""
        return self._act_on(jobs, self.add_destroy, lambda answer: answer is not None and answer.what == "done")

    def add_cancel(self, batch: Batch, job: ListedJob, operation: str) -> Reply[str | None]:
        """Adds what cancels a job."""
        return batch.cancel(self._partition, job.address, operation, job.record.type, job.record.encode())

    def add_retry(self, batch: Batch, job: ListedJob, operation: str) -> Reply[Answer | None]:
        """Adds what lets a failed job run again."""
        return self._add_reschedule(batch, job, operation, (Status.FAILED,), 0, 0)

    def add_destroy(self, batch: Batch, job: ListedJob, operation: str) -> Reply[Answer | None]:
        """Adds what removes a job."""
        del operation
        executing = job.status is Status.EXECUTING
        lease = lease_of(self._store, self._partition, job.address) if executing else None
        return batch.destroy(self._partition, job.address, lease)

    def _act_on(self, jobs: Iterable[ListedJob], add: Add[T | None], is_done: Callable[[T | None], bool]) -> Changed:
        """Acts on jobs in one round trip; what has changed since it was found is looked at again by itself."""
        batch = self._store.batch()
        added: list[tuple[ListedJob, str, Reply[T | None]]] = []
        tally = Tally()
        for job in jobs:
            operation = new_id()
            with tally.skipping(job.record.id):
                added.append((job, operation, add(batch, job, operation)))
        try:
            batch.run()
        except OF_ONE_JOB:
            # One job's refusal hides the answers about the others.
            for job, operation, _ in added:
                with tally.skipping(job.record.id):
                    tally.count(is_done(self._again(job.record.id, add, operation)))
            return tally.changed()
        for job, operation, reply in added:
            with tally.skipping(job.record.id):
                result = reply.value
                if isinstance(result, Answer) and result.what == "again":
                    result = self._again(job.record.id, add, operation)
                tally.count(is_done(result))
        return tally.changed()

    def _again(self, job_id: str, add: Add[T | None], operation: str) -> T | None:
        try:
            return self._act(job_id, add, operation)
        except JobNotFound:
            return None

    def find(self, job_id: str) -> ListedJob:
        """Returns a job as it is now.

        Raises:
            JobNotFound: there is none.
        """
        where = address(job_id)
        found = self._store.batch().find(self._partition, where).run()
        if found is None:
            raise JobNotFound(job_id)
        return listed(self._store, self._partition, job_id, found)

    def _add_reschedule(
        self,
        batch: Batch,
        job: ListedJob,
        operation: str,
        allowed: Iterable[Status],
        delay_ms: int,
        due_at_ms: int,
    ) -> Reply[Answer | None]:
        # All its retries again; the errors so far stay.
        record = replace(job.record, attempts=0, crashes=0, suspects=0, redelivered=0, unknown=0)
        return batch.reschedule(
            self._partition,
            job.address,
            operation,
            allowed,
            job.stored,
            record.type,
            record.encode(),
            delay_ms=delay_ms,
            due_at_ms=due_at_ms,
        )

    def _act(self, job_id: str, add: Add[T | None], operation: str | None = None) -> T:
        """Finds a job and acts on it, again if it changed in between."""
        operation = operation or new_id()
        for _ in range(_MAX_TRIES):
            job = self.find(job_id)
            result = add(self._store.batch(), job, operation).run()
            if result is None:
                raise JobNotFound(job_id)
            if not isinstance(result, Answer) or result.what != "again":
                return result
        raise InternalError(f"job {job_id!r} changed {_MAX_TRIES} times while it was to be changed")


def listed(store: Store, partition: str, job_id: str, found: FoundJob) -> ListedJob:
    """Returns a job that the server found, as a listing would.

    Raises:
        JobNotFound: what was found is another job: the first of a chunk with this id.
    """
    where = address(job_id)
    if found.record:
        record = decode_record(store, partition, job_id, where.ref, found.record)
        if record.id != job_id and where.alone:
            raise JobNotFound(job_id)
    else:
        times = times_of(found.head, found.first_times, found.times) if found.head else None
        record = StoredChunk(store, partition, where.chunk_id, found.chunk).record(where.position, times)
    return ListedJob(where, Status(found.status), found.due_at_ms, record, found.record)
