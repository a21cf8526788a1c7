"""Builds the parts of a process and connects them: the one place that knows them all."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from fastjobs._core import Backlog, Board
from fastjobs.config import Config, QueueChoice
from fastjobs.registry import Registry
from fastjobs.server.endpoint import Endpoint
from fastjobs.store.store import Store
from fastjobs.worker.control import ControlLine
from fastjobs.worker.leases import HeldLeases
from fastjobs.worker.outcomes import Outcomes
from fastjobs.worker.process.acker import Acker
from fastjobs.worker.process.around import Composer
from fastjobs.worker.process.canceller import Canceller
from fastjobs.worker.process.executor import Executor
from fastjobs.worker.process.fetcher import Fetcher
from fastjobs.worker.process.hooks import HookCaller
from fastjobs.worker.process.intake import Intake
from fastjobs.worker.process.interrupter import Interrupter
from fastjobs.worker.process.interruptions import Interruptions
from fastjobs.worker.process.lifespan import Lifespan
from fastjobs.worker.process.link import Link
from fastjobs.worker.process.loop import MainLoop
from fastjobs.worker.process.orders import Orders
from fastjobs.worker.process.quarantine import Quarantine
from fastjobs.worker.process.refusals import Refusals
from fastjobs.worker.process.reporter import Reporter
from fastjobs.worker.process.session import Session
from fastjobs.worker.process.shutdown import Shutdown
from fastjobs.worker.process.sizing import Sizing
from fastjobs.worker.process.thread_executor import ThreadExecutor
from fastjobs.worker.process.turns import Turns
from fastjobs.worker.process.upkeep import Upkeep
from fastjobs.worker.process.waiting import Waiting
from fastjobs.worker.process.waker import Wakers
from fastjobs.worker.spec import ProcessSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seats:
    """The parts that run jobs and need no server."""

    notify_fd: int
    control: ControlLine
    backlog: Backlog
    executor: Executor
    interruptions: Interruptions
    leases: HeldLeases
    shutdown: Shutdown
    lifespan: Lifespan
    orders: Orders
    quarantine: Quarantine
    upkeep: Upkeep


def build_loop(
    registry: Registry,
    hooks: HookCaller,
    config: Config,
    endpoint: Endpoint,
    queues: Sequence[QueueChoice],
    control: ControlLine,
    spec: ProcessSpec,
) -> MainLoop:
    """Returns the main loop of a process, with all its parts.

    Args:
        registry: the app's job types.
        hooks: calls the app's hooks.
        config: the app's settings.
        endpoint: where the server is.
        queues: the queues to take from, with weights if they are weighted.
        control: the process's end of the control line.
        spec: start parameters.
    """
    seats = _build_seats(registry, config, control, spec)
    store = Store(endpoint.connect(), config)
    refusals = Refusals(store)
    link = Link(seats.leases, seats.shutdown, seats.upkeep)
    session = Session(spec, store, link, seats.backlog.board, seats.leases, refusals, seats.shutdown)
    composer = Composer(registry, hooks, config.finished_keep_ms, seats.backlog)
    intake = Intake(config, store.keyring, seats.backlog, composer, seats.leases, seats.quarantine, spec.worker)
    sizing = Sizing(seats.backlog.board, seats.backlog, seats.leases, seats.executor, seats.lifespan, spec.batch_size)
    wakers = Wakers(endpoint, store, spec.session)
    fetcher = Fetcher(wakers, sizing, Turns(queues), intake, spec.session, seats.upkeep.note_fetched, session.lose)
    reporter = _build_reporter(seats, session, fetcher, sizing, intake, spec)
    return MainLoop(
        store=store,
        backlog=seats.backlog,
        executor=seats.executor,
        orders=seats.orders,
        shutdown=seats.shutdown,
        lifespan=seats.lifespan,
        upkeep=seats.upkeep,
        quarantine=seats.quarantine,
        canceller=Canceller(seats.backlog, seats.interruptions, seats.leases, seats.quarantine.suspects),
        link=link,
        session=session,
        refusals=refusals,
        fetcher=fetcher,
        reporter=reporter,
        waiting=_build_waiting(seats, sizing, fetcher, reporter, config),
    )


def _build_seats(registry: Registry, config: Config, control: ControlLine, spec: ProcessSpec) -> _Seats:
    board = Board(spec.board_fd, spec.threads, spec.slots)
    notify_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    backlog = Backlog(
        board, Outcomes(registry, spec.worker, board.times).on_ending, notify_fd, int(config.hook_timeout_s * 1e9)
    )
    executor = ThreadExecutor(backlog, Interrupter(backlog.seats, config.timeout_grace_s / 2), spec.seats)
    leases = HeldLeases(board)
    shutdown = Shutdown(executor, board.seats, control)
    interruptions = Interruptions(registry, backlog.seats, executor, shutdown, control)
    orders = Orders(control, executor, shutdown, spec.shutdown_timeout_s)
    quarantine = Quarantine(backlog, executor, shutdown)
    return _Seats(
        notify_fd=notify_fd,
        control=control,
        backlog=backlog,
        executor=executor,
        interruptions=interruptions,
        leases=leases,
        shutdown=shutdown,
        lifespan=Lifespan(spec.max_jobs, backlog, shutdown),
        orders=orders,
        quarantine=quarantine,
        upkeep=Upkeep(backlog, executor, interruptions, leases, quarantine, orders),
    )


def _build_reporter(
    seats: _Seats, session: Session, fetcher: Fetcher, sizing: Sizing, intake: Intake, spec: ProcessSpec
) -> Reporter:
    return Reporter(
        Acker(seats.backlog.board, seats.leases, spec.session, spec.worker, session.lose),
        fetcher,
        seats.backlog,
        seats.executor,
        seats.leases,
        sizing,
        intake,
        seats.quarantine,
        seats.orders,
        seats.shutdown,
    )


def _build_waiting(seats: _Seats, sizing: Sizing, fetcher: Fetcher, reporter: Reporter, config: Config) -> Waiting:
    return Waiting(
        seats.notify_fd,
        seats.control,
        seats.backlog,
        sizing,
        fetcher,
        reporter,
        seats.quarantine,
        seats.shutdown,
        config.beat_ms / 1000,
    )


def control_line(spec: ProcessSpec) -> ControlLine:
    """Returns the process's end of the control line, which it inherits."""
    return ControlLine(socket.socket(fileno=spec.control_fd))
