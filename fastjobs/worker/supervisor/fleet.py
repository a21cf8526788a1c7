"""The processes of a worker: started until there are enough, heard, and replaced when they end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from fastjobs._core import boot_time_ns
from fastjobs.config import WorkerConfig
from fastjobs.logs import event
from fastjobs.worker.spec import EXIT_DONE, EXIT_FENCED, EXIT_OUT_OF_TIME, EXIT_UNUSABLE, ProcessSpec
from fastjobs.worker.supervisor.attached import Attached
from fastjobs.worker.supervisor.child import Child
from fastjobs.worker.supervisor.quieting import Quieting
from fastjobs.worker.supervisor.recovery import died_of
from fastjobs.worker.supervisor.starts import Starts
from fastjobs.worker.supervisor.stopping import EXIT_USAGE, Stopping
from fastjobs.worker.supervisor.succession import Succession

log = logging.getLogger("fastjobs.supervisor")

#: How soon a process that has closed its control line is looked at again: it is about to end.
_ENDING_LOOK_S = 0.01
#: How soon it is looked whether a process that is being replaced has seats to hand over.
_SEATS_LOOK_S = 0.05


class Fleet:
    """Keeps as many processes running as there should be. As a duty, it starts the missing ones.

    Args:
        template: start parameters of processes.
        config: the worker's settings.
        children: the processes; others hold this list, too.
        stopping: once the worker stops, no process is started.
        quieting: whether processes are to start jobs.
        attach: called with the `hello` of the first process that is ready.
    """

    def __init__(
        self,
        template: ProcessSpec,
        config: WorkerConfig,
        children: list[Child],
        stopping: Stopping,
        quieting: Quieting,
        attach: Callable[[dict[str, Any]], Attached],
    ) -> None:
        self._template = template
        self._config = config
        self._children = children
        self._succession = Succession(children, config.processes, config.threads)
        self._stopping = stopping
        self._quieting = quieting
        self._attach = attach
        self._starts = Starts(children, stopping)
        #: None until the first process is ready.
        self.attached: Attached | None = None

    @property
    def due_at(self) -> float:
        """When a process may be started, or has to be looked at because it ends or is being replaced."""
        times = [self._starts.next_at if self._vacancies() else float("inf")]
        if any(child.control.closed for child in self._children):
            times.append(time.monotonic() + _ENDING_LOOK_S)
        if self._succession.underway:
            times.append(time.monotonic() + _SEATS_LOOK_S)
        return min(times)

    def run(self) -> None:
        """Starts processes until there are as many as there should be."""
        for predecessor in self._vacancies():
            if time.monotonic() < self._starts.next_at:
                break
            self._start(predecessor)

    def hear(self) -> None:
        """Takes in what the processes have sent."""
        for child in self._children:
            self._hear(child)

    def reap(self) -> None:
        """Looks after processes that have ended, or have seats to hand over."""
        for child in list(self._children):
            code = child.process.poll()
            if code is not None:
                # Its last words: it may have become ready, or leased jobs, just before.
                self._hear(child)
                self._children.remove(child)
                self._succession.ended(child)
                self._bury(child, code)
        self._succession.hand_over()

    def reload(self) -> None:
        """Replaces all processes; new ones import the app again."""
        event(log, logging.INFO, "reloading")
        self._starts.reset()
        for child in self._children:
            child.outdated = child.outdated or "reloading"

    def _vacancies(self) -> list[Child | None]:
        return [] if self._stopping.asked else self._succession.vacancies()

    def _start(self, predecessor: Child | None) -> None:
        try:
            child = Child(self._template, predecessor)
        except OSError as error:
            wait_s = self._starts.failed()
            if wait_s is not None:
                event(
                    log,
                    logging.ERROR,
                    "cannot start a process, trying again",
                    delay_s=round(wait_s, 2),
                    reason=error,
                )
            return
        self._children.append(child)
        self._quieting.greet(child)
        event(log, logging.DEBUG, "process started", pid=child.pid)

    def _hear(self, child: Child) -> None:
        child.control.flush()
        for message in child.control.receive():
            if "hello" in message:
                self._greet(child, message["hello"])
            if "leaving" in message:
                event(log, logging.INFO, "replacing process", pid=child.pid, reason=message["leaving"])
                child.left()
            if "overdue" in message and not child.killed:
                event(log, logging.ERROR, "job ran longer than its timeout, killing its process", pid=child.pid)
                child.kill_for([tuple(message["overdue"])])

    def _greet(self, child: Child, hello: dict[str, Any]) -> None:
        """Takes in that a process is ready, and from the first one what the app is."""
        child.hello, child.greeted_ns = hello, boot_time_ns()
        child.partitions = list(hello["partitions"])
        if self.attached is None:
            self.attached = self._attach(hello)
        self.attached.greet(child)
        self._succession.ready(child)
        event(log, logging.INFO, "process ready", pid=child.pid)

    def _bury(self, child: Child, code: int) -> None:
        """Has the jobs of a process that ended settled, and the process replaced, unless it was asked to end."""
        if code == EXIT_OUT_OF_TIME and self._stopping.asked:
            self._stopping.note_forced()
        programs = child.end_programs()
        if programs:
            event(log, logging.WARNING, "programs of running jobs killed", pid=child.pid, programs=programs)
        if code in (EXIT_DONE, EXIT_OUT_OF_TIME) and child.stopping:
            child.release()
            return
        if self.attached is None:
            child.release()
        else:
            blame = child.held_up or (not child.killed and code not in (EXIT_FENCED, EXIT_OUT_OF_TIME))
            cause = "killed: it had stopped fetching" if child.held_up else died_of(code)
            self.attached.settler.add(child, cause, blame=blame)
        if child.leaving:
            event(log, logging.ERROR, "process exited before its jobs had ended", pid=child.pid, reason=died_of(code))
        elif not self._stopping.asked:
            self._replace(child, code)

    def _replace(self, child: Child, code: int) -> None:
        """Decides when the next process starts, if another one may do better."""
        unusable = code == EXIT_UNUSABLE and child.hello is None
        if unusable and self.attached is None:
            self._stopping.ask(EXIT_USAGE)
        elif unusable and self._config.reload:
            event(log, logging.ERROR, "cannot load changed code, waiting for the next change")
            self._starts.suspend()
        else:
            wait_s = self._starts.after(child, code)
            if wait_s is not None:
                event(
                    log,
                    logging.ERROR,
                    "process exited, starting a new one",
                    pid=child.pid,
                    delay_s=round(wait_s, 2),
                    reason=died_of(code),
                )
