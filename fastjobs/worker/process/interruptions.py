"""Ends running jobs before their time, or after it, and lets their process end with them where their type says so."""

from __future__ import annotations

from collections.abc import Mapping

from fastjobs._core import Seats
from fastjobs.errors import JobCancelled, JobInterrupted, JobTimeout
from fastjobs.model.on_timeout import OnTimeout
from fastjobs.registry import RegisteredType
from fastjobs.worker.control import ControlLine
from fastjobs.worker.leases import HeldSpan
from fastjobs.worker.process.executor import Executor
from fastjobs.worker.process.shutdown import Shutdown


class Interruptions:
    """Interrupts jobs as their types say.

    Args:
        job_types: the registry of this process.
        seats: which jobs run.
        executor: raises exceptions in them.
        shutdown: asked for when the process is to be replaced.
        control: the line to the supervisor, which kills processes.
    """

    def __init__(
        self,
        job_types: Mapping[str, RegisteredType],
        seats: Seats,
        executor: Executor,
        shutdown: Shutdown,
        control: ControlLine,
    ) -> None:
        self._job_types = job_types
        self._seats = seats
        self._executor = executor
        self._shutdown = shutdown
        self._control = control

    def time_out(self, seat: int, started_ns: int) -> bool:
        """Ends the job that started on a seat at that time, and is overdue; returns False when it has ended."""
        choice = self._chosen(seat, started_ns)
        if choice is not OnTimeout.KILL:
            return self._interrupt(seat, JobTimeout, started_ns, choice)
        place = self._seats.doom(seat, started_ns)
        if place is not None:
            # If the order gets lost, the supervisor kills the process after the grace, as for any job.
            self._control.send(overdue=[*place, started_ns])
        return place is not None

    def cancel(self, seat: int, started_ns: int) -> bool:
        """Ends a job that somebody has cancelled; returns False when it has ended."""
        return self._interrupt(seat, JobCancelled, started_ns, self._chosen(seat, started_ns))

    def _interrupt(self, seat: int, exception: type[JobInterrupted], started_ns: int, choice: OnTimeout) -> bool:
        if not self._executor.interrupt(seat, exception, started_ns):
            return False
        if choice is not OnTimeout.COOPERATIVE:
            self._shutdown.leave("interrupted a job")
        return True

    def _chosen(self, seat: int, started_ns: int) -> OnTimeout:
        job = self._seats.job(seat, started_ns)
        if job is None:
            return OnTimeout.COOPERATIVE
        jobs, index = job
        span: HeldSpan = jobs.owner
        job_type = self._job_types.get(span.type_name(index))
        return job_type.on_timeout if job_type else OnTimeout.COOPERATIVE
