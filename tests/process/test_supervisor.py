"""The supervisor outlives what goes wrong around it: processes that cannot start, hang or scribble, and its log."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from fastjobs import Status
from tests.harness.appfile import AppFile
from tests.harness.server import ServerProcess
from tests.harness.waiting import wait_until
from tests.harness.worker import PATIENCE_S, Lab

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


# Its log, and what else it says.


@pytest.mark.parametrize(
    "output",
    ["2> >(:) >&2", "> >(head -n 1) 2>&1", "> /dev/full 2>&1", "<&- >&- 2>&-"],
    ids=["reader gone", "reader of one line", "disk full", "closed"],
)
def test_a_worker_whose_output_goes_nowhere_works_and_ends_in_good_order(lab: Lab, output: str) -> None:
    """Fault A22."""
    lab.jobs.crash_once.options(retries=2).enqueue("crash", str(lab.gate("flag")))
    lab.jobs.explode.enqueue("Exception")
    worker = lab.worker("-p", "2", under=("bash", "-c", f'exec "$0" "$@" {output}'))
    lab.wait(lambda: lab.counts() == {"finished": 1, "failed": 1}, "the jobs have ended")
    lab.wait(lambda: len(worker.children()) >= 2, "the process that crashed is replaced")
    for key in range(20):
        lab.jobs.note.enqueue(key)
    lab.wait_ended(*range(20))
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0, worker.log
    assert lab.holds_nothing()
