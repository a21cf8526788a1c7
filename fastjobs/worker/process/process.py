"""One worker process: wires fetcher, executors and acker together and turns their main loop.

The loop alone talks to the server: each turn sends what there is to report and to fetch in one write.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from fastjobs import errors
from fastjobs._core import Backlog, Board, boot_time_ns
from fastjobs.config import Config, QueueChoice
from fastjobs.job import JobActions
from fastjobs.logs import event
from fastjobs.model.outcome import Outcome, Run
from fastjobs.model.retry import RetryPolicy
from fastjobs.registry import Registry
from fastjobs.server.endpoint import Endpoint
from fastjobs.server.exchanges.single import WORKER_RETRIES
from fastjobs.store.batch import Reply
from fastjobs.store.replies import Renewed
from fastjobs.store.store import Batch, Store
from fastjobs.worker.control import ControlLine
from fastjobs.worker.leases import HeldLeases
from fastjobs.worker.outcomes import Outcomes
from fastjobs.worker.process.acker import Acker, Receipt
from fastjobs.worker.process.around import Composer
from fastjobs.worker.process.canceller import Canceller
from fastjobs.worker.process.fetcher import Fetcher
from fastjobs.worker.process.hooks import HookCaller
from fastjobs.worker.process.prefetcher import Prefetcher, longest_runs_s
from fastjobs.worker.process.refusals import Refusals
from fastjobs.worker.process.thread_executor import ThreadExecutor
from fastjobs.worker.process.waker import WAIT_S, Wakers
from fastjobs.worker.server_outage import Outage
from fastjobs.worker.spec import EXIT_DONE, EXIT_FENCED, EXIT_OUT_OF_TIME, ProcessSpec

log = logging.getLogger("fastjobs.worker")

#: How long a result may wait to be reported with others, while all threads are busy, or some are.
_REPORT_BUSY_S = 0.1
_REPORT_IDLE_S = 0.005
#: Unstarted jobs behind threads that have all been busy this long are given back for other processes.
_STALLED_S = 0.1
#: How often a waiting loop looks whether it is stalled.
_STALL_CHECK_S = 0.05
#: Threads that were woken get this long before the loop goes on, in milliseconds; most have run their job by then.
_START_MS = 1
#: Timeouts are looked after this exactly.
_TIMEOUT_STEP_S = 0.01
#: Delay before what this process cannot read, and another one may, is offered again.
_TOO_NEW_DELAY_MS = 30_000


class WorkerProcess:
    """A process of a worker.

    Args:
        registry: the app's job types.
        config: the app's settings.
        endpoint: where the server is.
        actions: what the job handles given to hooks act through.
        spec: start parameters.
    """

    def __init__(
        self,
        registry: Registry,
        config: Config,
        endpoint: Endpoint,
        actions: JobActions,
        spec: ProcessSpec,
    ) -> None:
        self._registry = registry
        self._spec = spec
        self._config = config
        self._board = Board(spec.board_fd, spec.threads, spec.slots)
        self._control = ControlLine(socket.socket(fileno=spec.control_fd))
        self._notify_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._notified = select.poll()
        self._notified.register(self._notify_fd, select.POLLIN)
        choices = [QueueChoice(name, weight) for name, weight in spec.queues]
        self._choices = choices or [QueueChoice(name, None) for name in registry.queues]
        if not self._choices:
            raise errors.ConfigError("the app has no job types, so there is no queue to work on")
        #: The partitions worked on, as the board numbers them.
        self._queues: list[str] = []
        self._store = Store(endpoint.connect(), config)
        outcomes = Outcomes(registry, spec.worker, self._board.times)
        self._hooks = HookCaller(registry.hooks, registry, actions, spec.worker)
        self._backlog = Backlog(self._board, outcomes.on_ending, self._notify_fd)
        self._executor = ThreadExecutor(self._backlog)
        self._leases = HeldLeases(self._board)
        self._acker = Acker(
            self._board,
            self._leases,
            spec.session,
            spec.worker,
            self._lose_session,
        )
        self._refusals = Refusals(self._store)
        self._prefetcher = Prefetcher(
            self._config,
            self._store.keyring,
            self._board,
            self._backlog,
            Composer(registry, self._hooks, config.finished_keep_ms, self._backlog),
            self._leases,
            self._choices,
            spec.batch_size,
            spec.worker,
        )
        self._fetcher = Fetcher(
            self._store,
            Wakers(endpoint, self._store, spec.session),
            self._prefetcher,
            self._executor,
            spec.session,
            self._note_fetched,
            self._lose_session,
        )
        self._canceller = Canceller(self._backlog, self._executor, self._leases, self._prefetcher.suspects)
        #: Partitions the supervisor has found since this process started.
        self._new_partitions: list[str] = []
        #: (queue, ref) of jobs to be cancelled.
        self._to_cancel: list[tuple[str, str]] = []
        self._reported = 0
        self._report_at: float | None = None
        self._audit_at = 0.0
        self._fenced = False
        self._outage = Outage()
        #: True once nothing more is to be started, though the process lives on.
        self._quiet = False
        #: True while a job is run that killed a process before.
        self._alone = False
        #: When to end at the latest, on the monotonic clock; None while not stopping.
        self._end_at: float | None = None

    def run(self) -> int:
        """Works until told to stop; returns the exit code."""
        self._hooks.worker_started()
        self._beat()
        self._find_partitions()
        self._control.send(
            hello={
                "queues": [choice.name for choice in self._choices],
                "partitions": self._queues,
                "types": sorted(self._registry),
                "policies": {name: _plain_policy(job_type.retry) for name, job_type in self._registry.items()},
                "config": asdict(self._config),
            }
        )
        self._audit_at = time.monotonic() + self._config.lease_ms / 1000
        self._executor.start()
        while not self._done():
            self._turn()
        code = self._end()
        self._hooks.worker_stops()
        return code

    # The loop's turn, in the order of its steps.

    def _turn(self) -> None:
        self._beat()
        self._read_control()
        self._work_on_new_partitions()
        self._cancel()
        self._interrupt_overdue()
        batch = self._store.batch()
        receipts = self._reports(batch)
        receipts += self._keep_alive(batch)
        self._fetcher.add_hints(batch)
        fetched = self._fetcher.add_fetch(batch, self._may_fetch())
        if fetched is None:
            self._note_fetched()
        self._feed()
        if not len(batch):
            # What was just read can be the order to stop: nothing would come that ends the wait.
            if not self._done():
                self._wait()
            return
        if not self._exchange(batch):
            return
        self._take_receipts(batch, receipts)
        if fetched is not None:
            self._fetcher.take(fetched.partition, fetched.lease.value)
        self._feed()

    def _take_receipts(self, batch: Batch, receipts: list[Receipt]) -> None:
        """Takes in what the server says to reports."""
        for receipt in receipts:
            receipt()
        self._refusals.tell(in_doubt=batch.in_doubt)

    def _work_on_new_partitions(self) -> None:
        new, self._new_partitions = self._new_partitions, []
        if new and not self._fenced and self._end_at is None:
            self._add_partitions(new)

    def _feed(self) -> None:
        """Wakes threads for what is leased; while the lease is in doubt they would only come back."""
        if self._end_at is None and boot_time_ns() < self._board.valid_until_ns:
            self._executor.feed()

    def _beat(self) -> None:
        now_ns = boot_time_ns()
        offset_us = (time.time_ns() - now_ns) // 1000
        busy = self._backlog.unstarted or self._executor.idle < self._spec.threads
        self._board.beat(offset_us, not busy and not len(self._leases))

    def _note_fetched(self) -> None:
        """Lets the supervisor know that nothing keeps this process from fetching; see `Watchdog.retire_deaf`."""
        self._board.fetched(1 if self._alone else self._spec.threads)

    def _reports(self, batch: Batch) -> list[Receipt]:
        """Adds acks, and releases of what this process cannot or should not start."""
        receipts: list[Receipt] = []
        if self._report_due():
            self._reported = self._backlog.executed
            self._report_at = None
            receipts += self._acker.add_acks(batch)
            if self._acker.retry_in_s is not None:
                self._fetcher.look_within(self._acker.retry_in_s)
        quarantined = self._prefetcher.suspects and not self._alone
        if self._end_at is not None or self._quiet or self._stalled() or quarantined:
            receipts += self._acker.add_releases(batch, self._backlog.withdraw())
        elif self._prefetcher.excess(target := self._prefetcher.target()):
            receipts += self._acker.add_releases(batch, self._backlog.withdraw(target))
        for span in self._prefetcher.too_new:
            receipts.append(self._acker.add_postponed(batch, span, _TOO_NEW_DELAY_MS))
        self._prefetcher.too_new.clear()
        self._run_suspect()
        return receipts

    def _report_due(self) -> bool:
        """Whether results should be reported now rather than together with later ones."""
        if self._reported == self._backlog.executed and not self._unusual():
            return False
        idle = self._executor.idle
        if self._unusual() or idle == self._spec.threads or self._refill_due():
            return True
        now = time.monotonic()
        if self._report_at is None:
            self._report_at = now + (_REPORT_IDLE_S if idle else _REPORT_BUSY_S)
        return now >= self._report_at

    def _unusual(self) -> bool:
        return any(lease.outcomes for lease in self._leases)

    def _refill_due(self) -> bool:
        return self._backlog.unstarted <= self._prefetcher.target() // 2

    def _stalled(self) -> bool:
        """Whether unstarted jobs wait behind threads that are all busy with slow ones."""
        if not self._backlog.unstarted or self._executor.idle:
            return False
        runs_s = longest_runs_s(self._board)
        return len(runs_s) == self._spec.threads and min(runs_s) > _STALLED_S

    def _run_suspect(self) -> None:
        """A job that killed a process before is run with nothing beside it, so nothing else is blamed."""
        if self._executor.idle < self._spec.threads or self._backlog.unstarted:
            return
        self._alone = bool(self._prefetcher.suspects) and self._end_at is None
        if self._alone:
            self._backlog.push(self._prefetcher.suspects.pop(0))

    def _keep_alive(self, batch: Batch) -> list[Receipt]:
        """Adds the audit, and the renewals that the supervisor should have made but did not."""
        receipts: list[Receipt] = []
        now = time.monotonic()
        if now >= self._audit_at:
            self._audit_at = now + self._config.lease_ms / 1000
            for queue in self._queues:
                fences = [lease.fence for lease in self._leases if lease.queue == queue]
                audited = batch.audit(queue, self._spec.session, self._fetcher.known_request, fences)
                receipts.append(partial(self._check_fence, audited))
        left_ns = self._board.valid_until_ns - boot_time_ns()
        if left_ns < self._config.lease_ms * 1_000_000 // 3:
            valid_until_ns = self._valid_from_now()
            for queue in self._queues:
                renewed = batch.renew(queue, [self._spec.session])
                receipts.append(partial(self._take_renewal, renewed, valid_until_ns))
        return receipts

    def _may_fetch(self) -> bool:
        """Whether anything may be leased now, however little is held."""
        return self._end_at is None and not self._quiet and not self._prefetcher.suspects and not self._alone

    def _exchange(self, batch: Batch) -> bool:
        """Sends a batch until it is answered; False when the process has to end before that."""
        try:
            batch.run(WORKER_RETRIES, None, self._gives_up)
        except errors.StoreError as error:
            event(log, logging.ERROR, "gave up reporting jobs, lease will expire", reason=error)
            self._end_at = time.monotonic()
            self._fenced = True
            return False
        self._outage.ended()
        return True

    def _gives_up(self, failure: errors.StoreError) -> bool:
        self._outage.failed(failure)
        if not isinstance(failure, errors.ConnectionLost | errors.Unavailable):
            # A refusal is an answer, and a new process would hear the same.
            self._note_fetched()
        self._beat()
        self._read_control()
        self._interrupt_overdue()
        if not self._done():
            return False
        # With nothing to report there is nothing to wait for.
        return not len(self._leases) or self._end_at is None or time.monotonic() >= self._end_at

    # Interrupting.

    def _cancel(self) -> None:
        """Cancels what it was told to. Not in the middle of a fetch: what that brings may be meant."""
        self._canceller.cancel(self._to_cancel)
        self._to_cancel.clear()

    def _interrupt_overdue(self) -> None:
        for seat, started_ns in self._backlog.seats.overdue():
            if self._executor.interrupt(seat, errors.JobTimeout, started_ns):
                event(log, logging.WARNING, "job timed out, interrupting it", seat=seat)

    # Waiting.

    def _wait(self) -> None:
        """Sleeps until there is something to do."""
        wants = self._may_fetch() and self._fetcher.want > 0
        looking = not wants and self._end_at is None
        self._backlog.low_water = self._prefetcher.target() // 2 if looking else -1
        self._backlog.waiting = True
        if self._something_new(looking):
            self._backlog.waiting = False
            return
        poll = select.poll()
        poll.register(self._notify_fd, select.POLLIN)
        if not self._control.closed:
            poll.register(self._control, select.POLLIN)
        if wants:
            self._fetcher.arm()
        for descriptor in self._fetcher.descriptors():
            poll.register(descriptor, select.POLLIN)
        events = poll.poll(max(0.0, self._wait_s(wants)) * 1000)
        self._backlog.waiting = False
        if any(descriptor == self._notify_fd for descriptor, _ in events):
            os.eventfd_read(self._notify_fd)
        self._wake_up()

    def _wake_up(self) -> None:
        """Takes in what a wait has ended with; ends one that may bring what is not wanted any more."""
        if not self._may_fetch() and self._fetcher.disarm():
            # What was fetched in the last moment belongs to this session, which does not know of it.
            self._audit_at = 0.0
        if self._fetcher.take_woken(self._may_fetch()):
            self._feed()
            self._let_threads_start()

    def _let_threads_start(self) -> None:
        """Leaves the interpreter to the threads just woken: they would wait for whatever this one did first."""
        self._backlog.waiting = True
        if self._notified.poll(_START_MS):
            os.eventfd_read(self._notify_fd)
        self._backlog.waiting = False

    def _something_new(self, looking: bool) -> bool:
        """What an executor did between the last look and `waiting`, of which it gave no notice."""
        if self._backlog.executed == self._reported and not self._unusual():
            return False
        idle = self._executor.idle == self._spec.threads
        return idle or (looking and self._backlog.unstarted <= self._backlog.low_water)

    def _wait_s(self, wants: bool) -> float:
        """How long to sleep at most, in seconds."""
        now = time.monotonic()
        times: list[float] = [WAIT_S, self._fetcher.next_look_s(wants)]
        if self._report_at is not None:
            times.append(self._report_at - now)
        if self._backlog.unstarted or self._prefetcher.suspects:
            times.append(_STALL_CHECK_S)
        if self._end_at is not None:
            times.append(self._end_at - now)
        deadline_ns = self._backlog.seats.next_deadline_ns()
        if deadline_ns:
            times.append((deadline_ns - boot_time_ns()) / 1e9)
        if self._backlog.unstarted and self._backlog.seats.shortest_timeout_ns:
            # A job that starts while this thread sleeps may be due before any that runs now.
            times.append(max(_TIMEOUT_STEP_S, self._backlog.seats.shortest_timeout_ns / 1e9))
        times.append(self._config.lease_ms / 6000)
        return min(times)

    # Sessions.

    def _find_partitions(self) -> None:
        """Begins to work on the partitions that are configured, and on those that producers have used."""
        batch = self._store.batch()
        listed = batch.used_partitions()
        used = listed.value if self._exchange(batch) else []
        valid_until_ns = self._valid_from_now()
        self._add_partitions(
            [name for choice in self._choices for name in self._store.known_partitions(choice.name, used)]
        )
        if not self._fenced:
            self._board.valid_until_ns = valid_until_ns

    def _add_partitions(self, partitions: list[str]) -> None:
        """Opens sessions in partitions, and works on them as well."""
        batch = self._store.batch()
        opened = [batch.open(name, self._spec.session) for name in partitions]
        if not self._exchange(batch) or not all(reply.value for reply in opened):
            self._lose_session()
            return
        self._queues += partitions
        self._fetcher.add_partitions(partitions)

    def _valid_from_now(self) -> int:
        """Until when jobs may be started if a renewal sent now succeeds: well within the lease."""
        return boot_time_ns() + self._config.lease_ms * 1_000_000 * 2 // 3

    def _take_renewal(self, renewed: Reply[Renewed], valid_until_ns: int) -> None:
        if renewed.value.alive[0]:
            self._board.valid_until_ns = max(self._board.valid_until_ns, valid_until_ns)
        else:
            self._lose_session()

    def _check_fence(self, audited: Reply[int]) -> None:
        if audited.value < 0:
            self._lose_session()
        elif audited.value > 0:
            event(log, logging.WARNING, "released jobs that this process never received", jobs=audited.value)

    def _lose_session(self, queue: str = "", refused: Sequence[Run | Outcome] = ()) -> None:
        """The session's jobs belong to others now: start nothing more, let running jobs end, end."""
        self._refusals.add(queue, refused)
        if not self._fenced:
            self._fenced = True
            self._board.valid_until_ns = 0
            event(log, logging.ERROR, "lease lost, its jobs will run elsewhere")
            self._stop(self._spec.shutdown_timeout_s)

    # Stopping.

    def _read_control(self) -> None:
        for message in self._control.receive():
            if "stop" in message:
                self._stop(message["stop"])
            if "quiet" in message:
                self._quiet = True
            self._new_partitions += message.get("partitions", [])
            for queue, refs in message.get("cancel", {}).items():
                self._to_cancel += [(queue, ref) for ref in refs]
        if self._control.closed and self._end_at is None:
            event(log, logging.WARNING, "supervisor exited, stopping")
            self._stop(self._spec.shutdown_timeout_s)

    def _stop(self, timeout_s: float) -> None:
        """Starts nothing more; ends when the running jobs have, in `timeout_s` seconds at the latest."""
        self._executor.stop()
        end_at = time.monotonic() + timeout_s
        self._end_at = end_at if self._end_at is None else min(self._end_at, end_at)

    def _done(self) -> bool:
        if self._end_at is None:
            return False
        return self._executor.idle == self._spec.threads or time.monotonic() >= self._end_at

    def _end(self) -> int:
        """Reports what is done, gives back the rest and closes the session."""
        if self._fenced:
            return EXIT_FENCED
        running = self._spec.threads - self._executor.idle
        if running:
            event(log, logging.WARNING, "shutdown timeout reached, releasing running jobs", jobs=running)
        self._end_at = time.monotonic() + self._config.socket_timeout_s
        batch = self._store.batch()
        receipts = self._acker.add_releases(batch, self._backlog.withdraw()) + self._acker.add_acks(batch)
        if self._exchange(batch):
            self._take_receipts(batch, receipts)
        for queue in self._queues:
            while not self._fenced:
                batch = self._store.batch()
                closed = batch.close(queue, self._spec.session)
                if not self._exchange(batch) or closed.value.closed:
                    break
        if self._fenced:
            return EXIT_FENCED
        return EXIT_OUT_OF_TIME if running else EXIT_DONE


def _plain_policy(policy: RetryPolicy) -> dict[str, Any]:
    """What the supervisor can know of a policy: it runs no code of the app, so a function becomes the default."""
    return {"retries": policy.retries, "delay": None if callable(policy.delay) else policy.delay}
