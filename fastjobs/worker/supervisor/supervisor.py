"""The supervisor of a worker: one loop that hears signals and processes, and runs duties when they are due.

It imports no user code and runs no threads of its own, so nothing that a job does can hold up a heartbeat. All it knows
of the app is what a process says about it when it is ready.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

from fastjobs._core import new_id
from fastjobs.config import WorkerConfig
from fastjobs.logs import event
from fastjobs.worker.spec import ProcessSpec
from fastjobs.worker.supervisor.attached import Attached
from fastjobs.worker.supervisor.child import Child
from fastjobs.worker.supervisor.duties import Duty
from fastjobs.worker.supervisor.entry import WorkerIdentity
from fastjobs.worker.supervisor.fleet import Fleet
from fastjobs.worker.supervisor.mishaps import Mishaps
from fastjobs.worker.supervisor.orphans import reap_orphans
from fastjobs.worker.supervisor.quieting import Quieting
from fastjobs.worker.supervisor.signals import QUIETS, STOPS, SignalNotes
from fastjobs.worker.supervisor.slow_starts import SlowStarts
from fastjobs.worker.supervisor.stacks import StackPrinter
from fastjobs.worker.supervisor.stopping import Stopping
from fastjobs.worker.supervisor.terminal import Terminal
from fastjobs.worker.supervisor.watchdog import Watchdog

log = logging.getLogger("fastjobs.supervisor")

#: The longest sleep of the loop, in seconds.
_LONGEST_SLEEP_S = 1.0


class Supervisor:
    """Runs a worker until it is to stop.

    Args:
        target: where the app is.
        config: the worker's settings.
        on_ready: called once with what the first ready process said about the app.
        url: the server to use instead of the app's; None = the app's.
        lifeline: descriptor whose end-of-file means that the program that started the worker is gone; -1 = none.
    """

    def __init__(
        self,
        target: str,
        config: WorkerConfig,
        on_ready: Callable[[dict[str, Any]], None] = lambda hello: None,
        lifeline: int = -1,
        url: str | None = None,
    ) -> None:
        self._config = config
        self._on_ready = on_ready
        self._lifeline = lifeline
        self._signals = SignalNotes()
        self._terminal = Terminal()
        self._outlives_terminal = False
        name = config.name or f"{socket.gethostname()}:{os.getpid()}"
        self._worker = WorkerIdentity(new_id(), name, time.time_ns() // 1_000_000)
        self._children: list[Child] = []
        self._quieting = Quieting(self._children)
        self._slow_starts = SlowStarts(self._children, config.start_timeout_s)
        self._stack_printer = StackPrinter(self._children)
        self._watchdog = Watchdog(config)
        self._mishaps = Mishaps()
        self._stopping = Stopping(self._children, config.shutdown_timeout_s)
        template = _template(target, url, name, config)
        self._fleet = Fleet(template, config, self._children, self._stopping, self._quieting, self._attach)

    def run(self) -> int:
        """Starts everything, watches it, and returns the exit code when all has ended."""
        # Started by nohup, it is to go on when the terminal is closed.
        self._outlives_terminal = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        self._terminal.open()
        self._signals.install()
        stop_watching = self._watch_files() if self._config.reload else None
        try:
            while not self._stopping.asked or self._children:
                self._turn()
        finally:
            for child in self._children:
                child.kill()
            if stop_watching is not None:
                stop_watching()
        if self._fleet.attached is not None:
            self._mishaps.survive(self._fleet.attached.sign_off)
        return self._stopping.exit_code

    def _turn(self) -> None:
        self._step(self._poll)
        self._step(self._obey_signals)
        self._step(self._fleet.hear)
        self._step(self._look)
        self._step(self._reap)
        for duty in self._duties():
            if time.monotonic() >= duty.due_at:
                self._step(duty.run)

    def _step(self, step: Callable[[], object]) -> None:
        """Runs a part of a turn: its error must not cost the processes their supervisor, nor the other parts a turn."""
        if self._fleet.attached is None:
            # Nothing runs yet, and whoever has started the worker is to learn why it cannot.
            step()
        else:
            self._mishaps.survive(step)

    def _reap(self) -> None:
        self._fleet.reap()
        if os.getpid() == 1:
            reap_orphans([child.pid for child in self._children])

    def _look(self) -> None:
        attached = self._fleet.attached
        self._watchdog.look(self._children, attached.config if attached else None)

    def _duties(self) -> Iterator[Duty]:
        """Everything with a time of its own, in the order in which a turn runs what is due."""
        yield self._fleet
        yield self._slow_starts
        yield self._stack_printer
        if self._fleet.attached is not None:
            yield from self._fleet.attached.duties
        yield self._stopping

    def _poll(self) -> None:
        """Sleeps until a signal, a message, the end of a process, or the next duty."""
        poll = select.poll()
        poll.register(self._signals, select.POLLIN)
        self._terminal.register(poll)
        if self._lifeline >= 0:
            poll.register(self._lifeline, select.POLLIN | select.POLLHUP)
        for child in self._children:
            if not child.control.closed:
                poll.register(child.control, child.control.awaited)
        for descriptor, _ in poll.poll(max(0.0, self._next_due_at() - time.monotonic()) * 1000):
            if descriptor == self._lifeline:
                self._lifeline = -1
                event(log, logging.WARNING, "parent process exited, stopping")
                self._stopping.ask()

    def _next_due_at(self) -> float:
        attached = self._fleet.attached
        look_at = self._watchdog.next_look_at(self._children, attached.config if attached else None)
        duties_at = min(duty.due_at for duty in self._duties())
        return min(look_at, duties_at, time.monotonic() + _LONGEST_SLEEP_S)

    def _obey_signals(self) -> None:
        self._terminal.look()
        for number in self._signals.take():
            if number in STOPS:
                self._stop(immediately=self._stopping.asked or number == signal.SIGQUIT)
            elif number in QUIETS and not self._quieting.asked:
                event(log, logging.INFO, "quiet requested by a signal")
                self._quieting.ask()
            elif number == signal.SIGHUP:
                self._hang_up()
            elif number == signal.SIGUSR1:
                self._stack_printer.ask()

    def _stop(self, *, immediately: bool) -> None:
        if immediately:
            event(log, logging.WARNING, "stopping immediately, releasing running jobs")
            self._stopping.force()
        else:
            event(log, logging.INFO, "stopping, waiting for running jobs")
            self._stopping.ask()

    def _hang_up(self) -> None:
        """A signal of the closed terminal asks the worker to end, any other one to replace its processes."""
        if not self._terminal.hung_up:
            self._fleet.reload()
        elif not self._stopping.asked and not self._outlives_terminal:
            event(log, logging.WARNING, "terminal closed, stopping")
            self._stopping.ask()

    def _attach(self, hello: dict[str, Any]) -> Attached:
        """Connects to the app's server, now that a process has said which."""
        attached = Attached(
            hello, self._worker, self._config, self._children, self._watchdog, self._stopping, self._quieting
        )
        attached.server.guarded(lambda: self._on_ready(hello))
        attached.check_server()
        return attached

    def _watch_files(self) -> Callable[[], None]:
        """Watches the directory for changed Python files; returns what ends that."""
        from fastjobs.worker.supervisor.reloader import FileWatcher  # noqa: PLC0415 - an optional dependency

        watcher = FileWatcher(lambda: os.kill(os.getpid(), signal.SIGHUP))
        watcher.start()
        return watcher.stop


def _template(target: str, url: str | None, worker: str, config: WorkerConfig) -> ProcessSpec:
    """The start parameters of processes; session, slots and descriptors are each process's own."""
    return ProcessSpec(
        target=target,
        include=list(config.include),
        url=url,
        session="",
        worker=worker,
        board_fd=-1,
        control_fd=-1,
        threads=config.threads,
        seats=0,
        slots=0,
        queues=[(choice.name, choice.weight) for choice in config.queues],
        batch_size=config.batch_size,
        max_jobs=config.max_jobs_per_child,
        shutdown_timeout_s=config.shutdown_timeout_s,
        log_level=config.log_level,
        log_format=config.log_format,
    )
