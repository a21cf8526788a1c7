"""One worker process, from its start to its exit code."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from fastjobs import errors
from fastjobs.config import Config, QueueChoice
from fastjobs.job import JobActions
from fastjobs.logs import event
from fastjobs.model.partitions import queue_of
from fastjobs.model.retry import RetryPolicy
from fastjobs.registry import Registry
from fastjobs.server.endpoint import Endpoint
from fastjobs.worker.process.hooks import HookCaller
from fastjobs.worker.process.wiring import build_loop, control_line
from fastjobs.worker.spec import EXIT_DONE, EXIT_FENCED, EXIT_OUT_OF_TIME, ProcessSpec

log = logging.getLogger("fastjobs.worker")


class WorkerProcess:
    """A process of a worker.

    Args:
        registry: the app's job types.
        config: the app's settings.
        endpoint: where the server is.
        actions: what the job handles given to hooks act through.
        spec: start parameters.

    Raises:
        ConfigError: the app has no job types.
    """

    def __init__(
        self, registry: Registry, config: Config, endpoint: Endpoint, actions: JobActions, spec: ProcessSpec
    ) -> None:
        self._registry = registry
        self._spec = spec
        self._config = config
        self._endpoint = endpoint
        self._queues = _queues(registry, spec)
        self._hooks = HookCaller(registry.hooks, registry, actions, spec.worker)
        #: Queues to work on that no job type has and that were never used: perhaps misspelled.
        self._strange: list[str] = []
        self._control = control_line(spec)
        self._loop = build_loop(registry, self._hooks, config, endpoint, self._queues, self._control, spec)

    def run(self, settle: Callable[[], None]) -> int:
        """Works until the process is to end; returns the exit code.

        Args:
            settle: called once the app has had its chance to set things up: before the first job.
        """
        loop = self._loop
        self._hooks.worker_started()
        settle()
        loop.upkeep.beat()
        self._open_session()
        loop.session.audit_within(self._config.lease_ms / 1000)
        loop.executor.start()
        self._control.send(hello=self._hello())
        loop.run()
        code = self._end()
        self._hooks.worker_stops()
        return code

    def _open_session(self) -> None:
        """Begins to work on the partitions that are configured, and on those that producers have used."""
        loop = self._loop
        batch = loop.store.batch()
        listed = batch.used_partitions()
        used = listed.value if loop.link.exchange(batch) else []
        valid_until_ns = loop.session.valid_from_now()
        met = {*map(queue_of, used), *self._registry.queues}
        self._strange = [choice.name for choice in self._queues if choice.name not in met]
        known = [name for choice in self._queues for name in loop.store.known_partitions(choice.name, used)]
        if loop.session.open(known):
            loop.fetcher.add_partitions(known)
        loop.session.begin(valid_until_ns)

    def _hello(self) -> dict[str, Any]:
        """Everything that the supervisor has to know of the app."""
        return {
            "queues": [choice.name for choice in self._queues],
            "strange_queues": self._strange,
            "partitions": self._loop.session.partitions,
            "types": sorted(self._registry),
            "policies": {name: _plain_policy(job_type.retry) for name, job_type in self._registry.items()},
            "config": asdict(self._config),
            "directory": str(self._endpoint.directory),
            "recurring": [declared.as_plain() for declared in self._registry.declared.values()],
        }

    def _end(self) -> int:
        """Reports what is done, gives back the rest and closes the session."""
        loop = self._loop
        if loop.session.over:
            return EXIT_FENCED
        running = self._spec.threads - loop.executor.idle
        if running:
            event(log, logging.WARNING, "shutdown timeout reached, releasing running jobs", jobs=running)
        loop.shutdown.end_within(self._config.socket_timeout_s)
        batch = loop.store.batch()
        receipts = loop.reporter.add_rest(batch)
        if loop.link.exchange(batch):
            loop.take_receipts(batch, receipts)
        loop.session.close()
        if loop.session.over:
            return EXIT_FENCED
        return EXIT_OUT_OF_TIME if running else EXIT_DONE


def _queues(registry: Registry, spec: ProcessSpec) -> list[QueueChoice]:
    if not registry:
        raise errors.ConfigError(
            f"{spec.target} has no job types: importing its module registers no handlers. Name the modules that do as"
            " well (fastjobs-worker shop.core:app shop.mail), or their package (--include shop)"
        )
    chosen = [QueueChoice(name, weight) for name, weight in spec.queues]
    return chosen or [QueueChoice(name, None) for name in registry.queues]


def _plain_policy(policy: RetryPolicy) -> dict[str, Any]:
    """A policy for the supervisor, which runs no code of the app: a function becomes the default."""
    return {"retries": policy.retries, "delay": None if callable(policy.delay) else policy.delay}
