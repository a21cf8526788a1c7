"""The server and namespace that a `fastjobs` command works on; the app's code is imported only when it is named."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any

import click

from fastjobs.app import FastJobs
from fastjobs.config import Config, load_config
from fastjobs.loader import load_app, resolve_target
from fastjobs.logs import configure, escape
from fastjobs.model.partitions import Partitioner
from fastjobs.model.urls import mask_url
from fastjobs.operating.handles import Handles
from fastjobs.operating.jobs import Jobs
from fastjobs.operating.queues import Queue
from fastjobs.operating.recurring import RecurringJobs
from fastjobs.registry import Registry
from fastjobs.server.endpoint import Endpoint
from fastjobs.store.store import Store


class Target:
    """A namespace on a server, over one connection.

    Args:
        config: names the server and the namespace.
        registry: the app's job types; empty when the app was not named.
    """

    def __init__(self, config: Config, registry: Registry) -> None:
        self.config = config
        self.registry = registry
        self._endpoint = Endpoint(config)
        self._store: Store | None = None
        #: Acts on jobs that were found, and looks them up.
        self.handles = Handles(self.store, registry)
        self.jobs = Jobs(self.store, self.handles, Partitioner(config.partitions_of))
        #: Finds, lists and stores recurring jobs.
        self.recurring = RecurringJobs(config, self.store, self.jobs.queues, self.handles, registry)

    def queue(self, name: str) -> Queue:
        """Returns a queue, and warns if no job was ever in it."""
        self.warn_unless_used(name)
        return Queue(self.store, name)

    def warn_unless_used(self, queue: str | None) -> None:
        """Warns of a queue that is probably misspelled: no job type has it, and no job was ever in it."""
        known = None if queue is None else {*self.jobs.queues(), *self.registry.queues}
        if queue is not None and known is not None and queue not in known:
            near = difflib.get_close_matches(queue, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            click.echo(f"fastjobs: warning: no job was ever in queue {escape(queue)!r}{escape(hint)}", err=True)

    @property
    def url(self) -> str:
        """Where the server is."""
        return self._endpoint.url

    @property
    def shown_url(self) -> str:
        """The URL without its password."""
        return mask_url(self.url)

    def store(self) -> Store:
        """Returns the store; the first call opens its connection."""
        if self._store is None:
            self._store = Store(self._endpoint.connect(), self.config, self._endpoint.patience_s)
        return self._store


def with_target(command: Callable[..., None]) -> Callable[..., None]:
    """Adds `[APP] --url --namespace` to a command, and passes it the `Target` they name as its first argument."""
    return _with_target(command, lambda app: app)


def with_app(command: Callable[..., None]) -> Callable[..., None]:
    """As `with_target`, but the app is always imported: without APP, the one that a worker would take."""
    return _with_target(command, resolve_target)


def _with_target(command: Callable[..., None], named: Callable[[str | None], str | None]) -> Callable[..., None]:

    @click.argument("app", required=False)
    @click.option(
        "--url", help="URL of the server [default: FASTJOBS_URL, then pyproject.toml, then the embedded server]."
    )
    @click.option("--namespace", help="Prefix of all keys [default: default].")
    @wraps(command)
    def with_options(app: str | None, url: str | None, namespace: str | None, **options: Any) -> None:
        # So that the start of an embedded server is logged, as everywhere.
        configure("info", "text")
        command(_target(named(app), url, namespace), **options)

    return with_options


def _target(app: str | None, url: str | None, namespace: str | None) -> Target:
    if app is None:
        return Target(load_config(url=url, namespace=namespace), Registry())
    _, found = load_app(app, FastJobs)
    config = found.config
    config = replace(config, url=url or config.url, namespace=namespace or config.namespace)
    return Target(config, found._registry)
