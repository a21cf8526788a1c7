"""Acts on many jobs by filter."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from fastjobs.errors import ConfigError
from fastjobs.model.status import Status
from fastjobs.operating.changed import Changed, Tally
from fastjobs.operating.handles import Handles
from fastjobs.operating.listing import ListedJob
from fastjobs.operating.operations import Operations


@dataclass(frozen=True, slots=True)
class Selection:
    """Jobs selected by `app.jobs.where(...)`. An operation works in bounded steps, on what is there when it begins."""

    _partitions: Callable[[str | None], list[str]]
    _handles: Handles
    _status: Status | None
    _queue: str | None
    _type: str | None
    _error: str | None

    def retry_all(self, progress: Callable[[int], None] | None = None) -> Changed:
        """Lets failed jobs run again: those that have failed when it begins, each once.

        A job that cannot be changed is skipped: see `Changed`.

        Args:
            progress: called after each step with the number of jobs changed so far.

        Returns:
            How many were changed, and what was skipped.

        Raises:
            ConfigError: the selection is of another status.
            StoreError: the server does not serve; what was changed before stays so.
        """
        return self._run((Status.FAILED,), Operations.retry_many, progress)

    def cancel_all(self, progress: Callable[[int], None] | None = None) -> Changed:
        """Cancels jobs that wait, and asks those that are being executed to end; otherwise as `retry_all`."""
        statuses = (Status.SCHEDULED, Status.RETRYING, Status.QUEUED, Status.EXECUTING)
        return self._run(statuses, Operations.cancel_many, progress)

    def destroy_all(self, progress: Callable[[int], None] | None = None) -> Changed:
        """Removes jobs without a trace; otherwise as `retry_all`."""
        return self._run(tuple(Status), Operations.destroy_many, progress)

    def count(self) -> int:
        """Returns how many jobs are selected now; reads all of those with the status."""
        statuses = tuple(Status) if self._status is None else (self._status,)
        return sum(sum(map(self._fits, jobs)) for status in statuses for _, jobs in self._steps(status))

    def _run(
        self,
        applicable: tuple[Status, ...],
        act: Callable[[Operations, Iterable[ListedJob]], Changed],
        progress: Callable[[int], None] | None,
    ) -> Changed:
        if self._status is not None and self._status not in applicable:
            raise ConfigError(f"this operation is not for {self._status} jobs, but for {', '.join(applicable)}")
        tally = Tally()
        for status in applicable if self._status is None else (self._status,):
            for partition in self._partitions(self._queue):
                with tally.skipping(f"queue {partition}"):
                    for _, jobs in self._handles.steps(status, [partition]):
                        tally.add(act(self._handles.operations(partition), filter(self._fits, jobs)))
                        if progress is not None:
                            progress(tally.changed())
        return tally.changed()

    def _steps(self, status: Status) -> Iterator[tuple[str, Sequence[ListedJob]]]:
        return self._handles.steps(status, self._partitions(self._queue))

    def __str__(self) -> str:
        given = {"status": self._status, "queue": self._queue, "type": self._type, "error": self._error}
        return ", ".join(f"{name} {value}" for name, value in given.items() if value is not None)

    def _fits(self, job: ListedJob) -> bool:
        last_error = job.record.errors[-1].type if job.record.errors else None
        return self._type in (None, job.record.type) and self._error in (None, last_error)
