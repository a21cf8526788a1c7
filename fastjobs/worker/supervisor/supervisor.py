"""The supervisor: starts the worker's processes, renews their leases, replaces and stops them.

It imports no user code and runs no threads of its own, so nothing a job does can hold up a
heartbeat. All it knows of the app is what a process says about it when it is ready.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from typing import Any, TypeVar

import orjson

from fastjobs import errors
from fastjobs._core import boot_time_ns, new_id
from fastjobs.config import Config, WorkerConfig
from fastjobs.logs import event
from fastjobs.model.refs import job_id
from fastjobs.model.retry import RetryPolicy
from fastjobs.server.backoff import Backoff
from fastjobs.server.endpoint import Endpoint
from fastjobs.store.batch import Reply
from fastjobs.store.store import Batch, Store
from fastjobs.worker.server_outage import Outage
from fastjobs.worker.spec import EXIT_DONE, EXIT_FENCED, EXIT_OUT_OF_TIME, EXIT_UNUSABLE, ProcessSpec
from fastjobs.worker.supervisor.child import Child
from fastjobs.worker.supervisor.reclaimer import Reclaimer
from fastjobs.worker.supervisor.recovery import died_of
from fastjobs.worker.supervisor.recurrer import Recurrer
from fastjobs.worker.supervisor.settler import Settler
from fastjobs.worker.supervisor.signals import SignalNotes
from fastjobs.worker.supervisor.watchdog import Watchdog

log = logging.getLogger("fastjobs.supervisor")

T = TypeVar("T")

#: Exit codes of the worker.
EXIT_OK = 0
EXIT_FORCED = 1
EXIT_USAGE = 2
EXIT_CRASHING = 5

#: Processes that die one after the other without having been ready: more cannot help.
_MAX_FAILED_STARTS = 6
#: A process that ran this long was fine; the next one is started at once.
_STABLE_S = 10.0
#: A process that was ready and died is replaced within this time: its jobs are blamed one by one, and others wait.
_REPLACE_CAP_S = 1.0
#: How often a burst worker with idle processes looks whether all is done.
_BURST_CHECK_S = 0.05
#: The supervisor waits less for the server than a process does: signals and children come first.
_SERVER_TIMEOUT_S = 2.0
#: A worker that has not renewed its entry for this many leases is dropped from the list.
_FORGOTTEN_LEASES = 10


class Supervisor:
    """Runs a worker until it is told to stop.

    Args:
        target: where the app is.
        config: the worker's settings.
        on_ready: called once with what the first ready process said about the app.
        lifeline: descriptor whose end-of-file means that whoever started the worker is gone; -1 = none.
    """

    def __init__(
        self,
        target: str,
        config: WorkerConfig,
        on_ready: Callable[[dict[str, Any]], None] = lambda hello: None,
        lifeline: int = -1,
    ) -> None:
        self._config = config
        self._on_ready = on_ready
        self._lifeline = lifeline
        self._signals = SignalNotes()
        self._worker_id = new_id()
        self._worker = f"{socket.gethostname()}:{os.getpid()}"
        self._template = ProcessSpec(
            target=target,
            session="",
            worker=self._worker,
            board_fd=-1,
            control_fd=-1,
            threads=config.threads,
            slots=0,
            queues=[(choice.name, choice.weight) for choice in config.queues],
            batch_size=config.batch_size,
            shutdown_timeout_s=config.shutdown_timeout_s,
            log_level=config.log_level,
            log_format=config.log_format,
        )
        self._children: list[Child] = []
        self._queues: list[str] = []
        #: All partitions of the queues that are known; others hold this list, too.
        self._partitions: list[str] = []
        self._types: list[str] = []
        self._store: Store | None = None
        self._watchdog = Watchdog(config)
        self._settler: Settler | None = None
        self._reclaimer: Reclaimer | None = None
        self._recurrer: Recurrer | None = None
        self._restart = Backoff(first_s=0.1, cap_s=30.0)
        self._start_at = 0.0
        self._beat_at = 0.0
        self._burst_at = 0.0
        self._failed_starts = 0
        self._started_ms = time.time_ns() // 1_000_000
        #: When stopping: the exit code so far, and when processes are killed.
        self._exit_code: int | None = None
        self._kill_at = float("inf")
        self._outage = Outage()
        #: True once an operator has asked to start nothing more.
        self._quiet = False

    def run(self) -> int:
        """Starts everything, watches it, and returns the exit code when all has ended."""
        self._signals.install()
        stop_watching = self._watch_files() if self._config.reload else None
        try:
            while self._exit_code is None or self._children:
                self._turn()
        finally:
            for child in self._children:
                child.kill()
            if stop_watching is not None:
                stop_watching()
        self._sign_off()
        return EXIT_OK if self._exit_code is None else self._exit_code

    def _turn(self) -> None:
        self._fill_up()
        self._poll()
        self._obey_signals()
        self._listen()
        if self._store is not None:
            self._watchdog.kill_overdue(self._children, self._store.config)
        self._watchdog.kill_overstayed(self._children)
        self._reap()
        now = time.monotonic()
        if self._settler is not None and now >= self._settler.due_at:
            self._settler.run()
        if now >= self._beat_at:
            self._beat(now)
        if self._reclaimer is not None and now >= self._reclaimer.due_at:
            self._guarded(self._reclaimer.run)
        if self._recurrer is not None and self._exit_code is None and now >= self._recurrer.due_at:
            self._guarded(self._recurrer.run)
        if self._config.burst and now >= self._burst_at:
            self._end_burst(now)
        if now >= self._kill_at:
            self._kill_all()

    def _poll(self) -> None:
        """Sleeps until a signal, a message, the end of a process, or the next thing due."""
        poll = select.poll()
        poll.register(self._signals, select.POLLIN)
        if self._lifeline >= 0:
            poll.register(self._lifeline, select.POLLIN | select.POLLHUP)
        for child in self._children:
            if not child.control.closed:
                poll.register(child.control, select.POLLIN)
        due = [self._beat_at, self._kill_at, time.monotonic() + 1.0]
        if self._reclaimer is not None:
            due.append(self._reclaimer.due_at)
        if self._recurrer is not None and self._exit_code is None:
            due.append(self._recurrer.due_at)
        if self._exit_code is None and len(self._children) < self._config.processes:
            due.append(self._start_at)
        if self._config.burst and self._store is not None:
            due.append(self._burst_at)
        due.append(self._watchdog.next_look_at(self._children, self._store.config if self._store else None))
        if self._settler is not None:
            due.append(self._settler.due_at)
        if any(child.control.closed for child in self._children):
            due.append(time.monotonic() + 0.01)
        timeout_s = max(0.0, min(due) - time.monotonic())
        for descriptor, _ in poll.poll(timeout_s * 1000):
            if descriptor == self._lifeline:
                self._lifeline = -1
                event(log, logging.WARNING, "parent process exited, stopping")
                self._stop()

    # Processes.

    def _fill_up(self) -> None:
        """Starts processes until there are as many as there should be."""
        while (
            self._exit_code is None
            and len(self._children) < self._config.processes
            and time.monotonic() >= self._start_at
        ):
            child = Child(self._template)
            self._children.append(child)
            event(log, logging.DEBUG, "process started", pid=child.pid)

    def _listen(self) -> None:
        for child in self._children:
            self._hear(child)

    def _hear(self, child: Child) -> None:
        for message in child.control.receive():
            if "hello" in message:
                self._greet(child, message["hello"])

    def _greet(self, child: Child, hello: dict[str, Any]) -> None:
        """Learns from a process that it is ready, and from the first one what the app is."""
        child.hello, child.greeted_ns = hello, boot_time_ns()
        child.partitions = list(hello["partitions"])
        self._learn_partitions(child.partitions)
        if self._quiet:
            child.control.send(quiet=True)
        self._failed_starts = 0
        if self._store is None:
            config = Config(**hello["config"])
            self._queues, self._types = hello["queues"], hello["types"]
            policies = {name: RetryPolicy(**policy) for name, policy in hello["policies"].items()}
            timeout_s = min(_SERVER_TIMEOUT_S, config.socket_timeout_s)
            self._store = Store(Endpoint(config).connect(timeout_s), config)
            self._reclaimer = Reclaimer(self._store, self._partitions)
            self._recurrer = Recurrer(self._store, self._queues)
            self._settler = Settler(self._store, self._worker, policies, self._guarded)
            self._beat_at = 0.0
            self._guarded(lambda: self._on_ready(hello))
            self._guarded(self._check_server)
        event(log, logging.INFO, "process ready", pid=child.pid)

    def _reap(self) -> None:
        """Looks after processes that have ended."""
        for child in list(self._children):
            code = child.process.poll()
            if code is None:
                continue
            # Its last words: it may have become ready, or leased jobs, just before.
            self._hear(child)
            self._children.remove(child)
            if code == EXIT_OUT_OF_TIME and self._exit_code is not None:
                self._exit_code = self._exit_code or EXIT_FORCED
            if code in (EXIT_DONE, EXIT_OUT_OF_TIME) and child.stopping:
                child.release()
                continue
            if self._settler is None:
                child.release()
            else:
                blame = child.held_up or (not child.killed and code not in (EXIT_FENCED, EXIT_OUT_OF_TIME))
                cause = "killed: it had stopped fetching" if child.held_up else died_of(code)
                self._settler.add(child, cause, blame=blame)
            self._replace(child, code)

    def _replace(self, child: Child, code: int) -> None:
        """Decides when, and whether, a process that ended is replaced."""
        if self._exit_code is not None:
            return
        if child.hello is None:
            self._failed_starts += 1
            if code == EXIT_UNUSABLE and self._store is None:
                self._stop(EXIT_USAGE)
                return
            if code == EXIT_UNUSABLE and self._config.reload:
                event(log, logging.ERROR, "cannot load changed code, waiting for the next change")
                self._start_at = float("inf")
                return
            if self._failed_starts >= _MAX_FAILED_STARTS:
                event(log, logging.CRITICAL, "processes keep exiting before they are ready, giving up")
                self._stop(EXIT_CRASHING)
                return
        if time.monotonic() - child.started_at >= _STABLE_S:
            self._restart.reset()
        wait_s = 0.0 if code == EXIT_FENCED or child.overdue else self._restart.next_s()
        if child.hello is not None:
            wait_s = min(wait_s, _REPLACE_CAP_S)
        self._start_at = time.monotonic() + wait_s
        event(
            log,
            logging.ERROR,
            "process exited, starting a new one",
            pid=child.pid,
            delay_s=round(wait_s, 2),
            reason=died_of(code),
        )

    # Heartbeat.

    def _beat(self, now: float) -> None:
        """Renews the processes' sessions and the worker's entry, and looks at their size."""
        store = self._store
        if store is None:
            self._beat_at = now + 1.0
            return
        self._beat_at = now + store.config.beat_ms / 1000
        children = [child for child in self._children if child.hello is not None]
        self._watchdog.retire_used_up(children)
        valid_until_ns = boot_time_ns() + store.config.lease_ms * 1_000_000 * 2 // 3
        batch = store.batch()
        partitions = list(self._partitions) if children else []
        renewals = {name: batch.renew(name, [child.session for child in children]) for name in partitions}
        order = self._describe(batch)
        used = batch.used_partitions()
        if not self._answered(batch):
            return
        self._watchdog.retire_deaf(children, store.config)
        self._obey_order(order.value)
        renewed = {name: reply.value for name, reply in renewals.items()}
        cancelling = {(name, ref) for name, found in renewed.items() for ref in found.cancelling}
        for position, child in enumerate(children):
            if all(renewed[name].alive[position] for name in child.partitions):
                child.board.valid_until_ns = max(child.board.valid_until_ns, valid_until_ns)
            child.cancel(cancelling)
        self._spread(children, used.value)

    def _spread(self, children: list[Child], used: list[str]) -> None:
        """Has the processes work on partitions that producers have begun to use."""
        assert self._store is not None
        for queue in self._queues:
            self._learn_partitions(self._store.known_partitions(queue, used))
        for child in children:
            child.work_on(self._partitions)

    def _learn_partitions(self, partitions: list[str]) -> None:
        self._partitions += [name for name in partitions if name not in self._partitions]

    def _describe(self, batch: Batch) -> Reply[bytes | None]:
        """Adds the worker's entry in the list of workers, for people and programs to read, and asks for orders."""
        assert self._store is not None
        entry = {
            "worker": self._worker,
            "processes": len(self._children),
            "threads": self._config.threads,
            "queues": self._queues,
            "types": self._types,
            "pids": [child.pid for child in self._children],
            "executed": sum(child.board.executed for child in self._children),
            "running": self._running(),
            "quiet": self._quiet,
            "started_ms": self._started_ms,
            "beat_ms": time.time_ns() // 1_000_000,
            "forgotten_ms": self._store.config.lease_ms * _FORGOTTEN_LEASES,
        }
        batch.describe_worker(self._worker_id, orjson.dumps(entry))
        return batch.order_for(self._worker_id)

    def _running(self) -> list[dict[str, object]]:
        """What the processes are running, as their boards tell."""
        now_ns = boot_time_ns()
        return [
            {"id": job_id(ref, index, n), "pid": child.pid, "seconds": (now_ns - started_ns) / 1e9}
            for child in self._children
            for ref, n, index, started_ns in child.board.running()
        ]

    def _obey_order(self, order: bytes | None) -> None:
        """Does what an operator asked for; see `workers.Workers`."""
        if order == b"stop" and self._exit_code is None:
            event(log, logging.INFO, "stop requested by an operator")
            self._stop()
        if order == b"quiet" and not self._quiet:
            event(log, logging.INFO, "quiet requested by an operator")
            self._quiet = True
            for child in self._children:
                child.control.send(quiet=True)

    def _check_server(self) -> None:
        """Refuses a server that may throw jobs away."""
        assert self._store is not None
        policy = self._store.batch().info("memory").run().get("maxmemory_policy", "noeviction")
        if policy != "noeviction":
            event(
                log,
                logging.CRITICAL,
                "server may evict jobs, maxmemory-policy must be noeviction",
                policy=policy,
            )
            self._stop(EXIT_USAGE)

    def _answered(self, batch: Batch) -> bool:
        """Sends a batch; False without an answer."""

        def call() -> bool:
            batch.run()
            return True

        return self._guarded(call) is not None

    def _guarded(self, call: Callable[[], T]) -> T | None:
        """Calls something that needs the server; None without one: it is put off to its next turn."""
        try:
            result = call()
        except errors.StoreError as error:
            self._outage.failed(error)
            return None
        if self._outage.ended():
            self._watchdog.server_is_back()
        return result

    # Stopping.

    def _obey_signals(self) -> None:
        for number in self._signals.take():
            if number == signal.SIGHUP:
                self._reload()
            elif self._exit_code is None:
                event(log, logging.INFO, "stopping, waiting for running jobs")
                self._stop()
            else:
                event(log, logging.WARNING, "stopping immediately, releasing running jobs")
                self._exit_code = self._exit_code or EXIT_FORCED
                self._tell_to_stop(0.0)

    def _stop(self, exit_code: int = EXIT_OK) -> None:
        if self._exit_code is None:
            self._exit_code = exit_code
            self._tell_to_stop(self._config.shutdown_timeout_s)

    def _tell_to_stop(self, timeout_s: float) -> None:
        for child in self._children:
            child.stop(timeout_s)
        # Beyond their time, processes get as long again as a reply from the server may take.
        self._kill_at = time.monotonic() + timeout_s + 2 * _SERVER_TIMEOUT_S + 5.0

    def _kill_all(self) -> None:
        for child in self._children:
            event(log, logging.ERROR, "process did not exit in time, killing it", pid=child.pid)
            child.kill()
        self._exit_code = self._exit_code or EXIT_FORCED
        self._kill_at = float("inf")

    def _reload(self) -> None:
        """Replaces all processes; new ones import the app again."""
        event(log, logging.INFO, "reloading")
        self._start_at, self._failed_starts = 0.0, 0
        for child in self._children:
            child.retire(self._config.shutdown_timeout_s)

    def _sign_off(self) -> None:
        """Settles what is left and removes the worker from the list."""
        if self._store is None or self._settler is None:
            return
        self._settler.run()
        batch = self._store.batch()
        batch.forget_worker(self._worker_id)
        self._answered(batch)

    # Burst.

    def _end_burst(self, now: float) -> None:
        """Stops when nothing is queued, executing or waiting for a retry in any of the queues."""
        self._burst_at = now + _BURST_CHECK_S
        store = self._store
        if store is None or self._settler is None or self._exit_code is not None or not self._settler.idle:
            return
        if not all(child.board.idle for child in self._children if child.hello is not None):
            return
        batch = store.batch()
        undone = [batch.counters(name, ("queued", "executing", "retrying")) for name in self._partitions]
        if self._answered(batch) and not any(number for reply in undone for number in reply.value):
            event(log, logging.INFO, "all queues drained, stopping")
            self._stop()

    # Reload.

    def _watch_files(self) -> Callable[[], None]:
        """Watches the directory for changed Python files; returns what ends that."""
        from fastjobs.worker.supervisor.reloader import FileWatcher  # noqa: PLC0415 - an optional dependency

        watcher = FileWatcher(lambda: os.kill(os.getpid(), signal.SIGHUP))
        watcher.start()
        return watcher.stop
