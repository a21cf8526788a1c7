"""A worker process as its supervisor sees it: started, watched, stopped."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastjobs._core import Board, boot_time_ns, new_id
from fastjobs.model.retry import RetryPolicy
from fastjobs.model.setting_names import STARTED_BY
from fastjobs.worker.control import ControlLine
from fastjobs.worker.interpreter import python
from fastjobs.worker.spec import ProcessSpec
from fastjobs.worker.supervisor.programs import end_programs
from fastjobs.worker.supervisor.signals import GROUP_SIGNALS

#: Leases a process can hold: one that each thread's slow job keeps open, and some in flight.
_SPARE_SLOTS = 16
#: Beyond the time of its running jobs, a process gets so many seconds to report them.
_ENDING_S = 9.0
#: A start that takes so many seconds is worth a line in the log.
SLOW_START_S = 10.0
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Child:
    """One incarnation of one worker process.

    Args:
        template: start parameters; session, seats and descriptors are filled in here.
        predecessor: the process that it replaces, which may still need its seats; None = it takes an empty place.

    Raises:
        OSError: no descriptor, memory or process is left; nothing of it remains then.
    """

    def __init__(self, template: ProcessSpec, predecessor: Child | None = None) -> None:
        self.session = new_id()
        self.predecessor = predecessor
        #: How many of its threads it may use at present.
        self.seats = 0 if predecessor else template.threads
        #: Why it is to be replaced, for people; empty = it is not.
        self.outdated = ""
        #: True once it has said that it starts nothing more, and ends with its running jobs.
        self.leaving = False
        slots = template.threads + _SPARE_SLOTS
        with ExitStack() as undo:
            self.board = Board.create(template.threads, slots)
            undo.callback(os.close, self.board.fd)
            ours, theirs = socket.socketpair()
            undo.callback(ours.close)
            self.control = ControlLine(ours)
            with theirs:
                spec = replace(
                    template,
                    session=self.session,
                    slots=slots,
                    seats=self.seats,
                    board_fd=self.board.fd,
                    control_fd=theirs.fileno(),
                )
                self.process = _launch(spec)
            undo.pop_all()
        self.started_at = time.monotonic()
        #: The message of the process about itself once it was ready, or None.
        self.hello: dict[str, Any] | None = None
        #: The partitions it works on, as its board numbers them.
        self.partitions: list[str] = []
        self.stopping = False
        #: True once the supervisor itself has killed it: its jobs are not to blame.
        self.killed = False
        #: (slot, column, started_ns) of the jobs because of which it was killed: they did not end after their timeout.
        self.overdue: list[tuple[int, int, int]] = []
        #: When it said hello, on the boot clock, and when it was asked to end, on the monotonic clock.
        self.greeted_ns = 0
        self.stopped_at = float("inf")
        #: True once it was killed because its main loop did not turn: what it ran held it up.
        self.held_up = False
        #: When it was found that it does not fetch, for which it is replaced, on the boot clock; 0 = not so.
        self.deaf_since_ns = 0
        #: When to kill it if it has not ended by then, on the monotonic clock.
        self.kill_at = float("inf")
        #: When it is logged next that it is still starting, on the monotonic clock.
        self.slow_at = self.started_at + SLOW_START_S
        self._cancelled: set[tuple[str, str]] = set()

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    @property
    def starting(self) -> bool:
        """Whether its main loop has not begun: it imports the app, or runs hooks."""
        return self.board.beat_ns == 0

    @property
    def ready_s(self) -> float:
        """For how many seconds it has been ready."""
        return (boot_time_ns() - self.greeted_ns) / 1e9 if self.hello is not None else 0.0

    def proven(self, stable_s: float) -> bool:
        """Whether its start was a success: it took jobs, or was ready for that many seconds."""
        took_jobs = self.board.executed > 0 or bool(self.board.held())
        return self.hello is not None and (took_jobs or self.ready_s >= stable_s)

    @property
    def policies(self) -> dict[str, RetryPolicy]:
        """The retry policies of the job types that it knows; after a reload, others may know other ones."""
        policies = self.hello["policies"] if self.hello else {}
        return {name: RetryPolicy(**policy) for name, policy in policies.items()}

    def stop(self, timeout_s: float) -> None:
        """Asks it to end: nothing new, running jobs have `timeout_s` seconds."""
        self.stopping = True
        self.stopped_at = min(self.stopped_at, time.monotonic())
        self.control.send(stop=timeout_s)

    def retire(self, timeout_s: float) -> None:
        """Asks it to end, as `stop` does, and sets when it is killed if it does not."""
        self.stop(timeout_s)
        self.kill_at = min(self.kill_at, time.monotonic() + timeout_s + _ENDING_S)

    def leave(self) -> None:
        """Asks it to start nothing more, and to end when its running jobs have ended."""
        self.control.send(leave=self.outdated)

    def left(self) -> None:
        """Notes that it starts nothing more and will end by itself."""
        self.stopping = self.leaving = True

    def allow(self, seats: int) -> None:
        """Lets it use so many of its threads."""
        self.seats = seats
        self.control.send(seats=seats)

    def cancel(self, jobs: Iterable[tuple[str, str]]) -> None:
        """Tells it once about each executing job that is to be cancelled; it may hold the job or not.

        Args:
            jobs: (queue, ref) of all such jobs at present.
        """
        wanted = set(jobs)
        refs: dict[str, list[str]] = {}
        for queue, ref in wanted - self._cancelled:
            refs.setdefault(queue, []).append(ref)
        self._cancelled = wanted
        if refs:
            self.control.send(cancel=refs)

    def work_on(self, partitions: list[str]) -> None:
        """Tells it about partitions of its queues that were found after its start."""
        new = [name for name in partitions if name not in self.partitions]
        if new:
            self.partitions += new
            self.control.send(partitions=new)

    def kill(self) -> None:
        """Ends it at once."""
        self.stopping = self.killed = True
        self.process.send_signal(signal.SIGKILL)

    def kill_for(self, jobs: list[tuple[int, int, int]]) -> None:
        """Ends it at once because of jobs, (slot, column, started_ns), whose time is over, or that of their hooks."""
        self.overdue = jobs
        self.kill()

    def rss_mb(self) -> float:
        """Returns the memory it occupies, in MiB; 0 when it is gone."""
        try:
            pages = Path(f"/proc/{self.pid}/statm").read_text().split()[1]
        except (OSError, IndexError):
            return 0.0
        return int(pages) * _PAGE_BYTES / 2**20

    def end_programs(self) -> int:
        """Kills what the jobs have started that it was running when it ended; returns how many programs that were."""
        running = self.board.running()
        return end_programs(self.session, min(started_ns for *_, started_ns in running)) if running else 0

    def release(self) -> None:
        """Closes what the supervisor held of it, after its end."""
        self.control.close()
        os.close(self.board.fd)


def _launch(spec: ProcessSpec) -> subprocess.Popen[bytes]:
    """Starts a process, which inherits its board and its end of the control line."""
    # The mask is inherited: a signal to the group must not end a process that has not yet taken its signals over.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, (*GROUP_SIGNALS, signal.SIGUSR1))
    try:
        return subprocess.Popen(
            python("from fastjobs.cli.process import main; main()", spec.encode()),
            stdin=subprocess.DEVNULL,
            env={**os.environ, STARTED_BY: spec.session},
            pass_fds=(spec.board_fd, spec.control_fd),
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
