"""The supervisor outlives what goes wrong around it: processes that cannot start, hang or scribble, and its log."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastjobs import Status
from tests.harness.appfile import AppFile
from tests.harness.server import ServerProcess
from tests.harness.waiting import wait_until
from tests.harness.worker import PATIENCE_S

# Messages between it and its processes.


def test_an_order_larger_than_the_line_takes_at_once_is_obeyed(
    server: ServerProcess, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault A22."""
    limits = AppFile("limits", server, namespace, tmp_path, monkeypatch)
    with limits.child() as child:
        wait_until(lambda: child.control.receive(), PATIENCE_S, "the process is ready")
        child.cancel([("default", f"{'x' * 100}{number}~000") for number in range(4000)])
        wait_until(lambda: child.control.flush() or not child.control.unsent, PATIENCE_S, "the order is sent")
        limits.wait_for_status(limits.short.enqueue("behind"), Status.FINISHED)
    limits.close()
