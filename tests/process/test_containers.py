"""Workers in containers: each of them is process 1 there."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess

import pytest

from tests.harness.worker import Lab


def own_process_ids() -> tuple[str, ...]:
    """The command that gives what it starts process ids of its own, as a container does."""
    command = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    if not shutil.which("unshare") or subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("process ids of their own are not allowed here")
    return command


def first_process(worker) -> int:
    """The process that is number 1 inside."""
    (pid,) = worker.children()
    return pid


def test_workers_that_are_process_1_of_their_containers_are_distinguished(namespace, server, tmp_path):
    """Fault A20."""
    lab = Lab(server, namespace, tmp_path, 600)
    try:
        command = own_process_ids()
        lab.jobs.hold.enqueue("held", str(lab.gate()))
        first = lab.worker("-c", "1", under=command)
        lab.wait_started("held")
        second = lab.worker("-c", "1", under=command).wait_ready()
        lab.jobs.note.enqueue_many(range(200))
        lab.wait_ended(*range(200))
        os.kill(first_process(first), signal.SIGKILL)
        first.wait()
        lab.gate().touch()
        lab.wait(lambda: lab.counts() == {"finished": 201}, "the other has taken over")
        os.kill(first_process(second), signal.SIGTERM)
        assert second.wait() == 0
        counts = lab.ledger.counts("START")
        assert counts.pop("held") == 2
        assert set(counts.values()) == {1}
    finally:
        lab.close()
