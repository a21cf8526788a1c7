"""Fixtures for tests with several servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from fastjobs import FastJobs
from tests.apps.handlers import register
from tests.harness.cluster import LocalCluster
from tests.harness.worker import Lab

PARTITIONS = 6
MakeLab = Callable[..., Lab]


@pytest.fixture(scope="session")
def shared_cluster() -> Iterator[LocalCluster]:
    """A cluster for tests that leave it as they found it."""
    with LocalCluster() as cluster:
        yield cluster


@pytest.fixture
def own_cluster() -> Iterator[LocalCluster]:
    """A cluster that may be hurt."""
    with LocalCluster() as cluster:
        yield cluster


@pytest.fixture
def make_lab(namespace: str, tmp_path: Path) -> Iterator[MakeLab]:
    """Makes labs whose app and workers use several servers."""
    with ExitStack() as stack:

        def make(servers: Any, url: str | None = None, **settings: Any) -> Lab:
            lab = Lab(servers, namespace, tmp_path)
            lab.app.close()
            settings = {"partitions": PARTITIONS, "socket_timeout_s": 1.0, "retry_budget_s": 30.0, **settings}
            lab.app = FastJobs(url or servers.url, namespace=namespace, lease_s=lab.lease_ms / 1000, **settings)
            lab.jobs = register(lab.app)
            worker = {name: value for name, value in settings.items() if name in {"partitions", "socket_timeout_s"}}
            lab.settings = {f"FASTJOBS_{name.upper()}": str(value) for name, value in worker.items()}
            if url is not None:
                lab.settings["FASTJOBS_URL"] = url
            stack.callback(lab.close)
            return lab

        yield make
