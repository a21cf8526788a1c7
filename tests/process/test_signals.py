"""Signals to the main process: which of them end it, which do not, and what the others do."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
from collections.abc import Callable

import psutil
import pytest

from fastjobs import Status
from tests.harness.waiting import wait_until
from tests.harness.worker import COMMAND, MAIN_APP, PATIENCE_S, Lab, group_members
from tests.process.test_containers import first_process, own_process_ids


def test_usr1_prints_the_stacks_of_the_supervisor_and_of_each_process(lab: Lab) -> None:
    lab.jobs.hold.enqueue("held", str(lab.gate()))
    worker = lab.worker("-p", "2").wait_ready(2)
    lab.wait_started("held")
    children = worker.children()
    worker.signal(signal.SIGUSR1)
    for child in children:
        worker.wait_for_log(f"stacks of process follow pid={child}")
    worker.wait_for_log("in hold")
    worker.wait_for_log(r"most recent call first", 3)
    parts = re.split("stacks of ", worker.log)
    assert "supervisor.py" in parts[0]
    assert sum("waiting.py" in part for part in parts[1:]) == 2
    assert sum("in hold" in part for part in parts) == 1
    lab.gate().touch()
    lab.wait_ended("held")
    assert worker.children() == children
    assert worker.stop() == 0


def test_usr2_has_no_effect_on_any_process(lab: Lab) -> None:
    worker = lab.worker("-p", "2").wait_ready(2)
    children = worker.children()
    worker.signal_group(signal.SIGUSR2)
    lab.jobs.note.enqueue_many(range(20))
    lab.wait_ended(*range(20))
    assert worker.children() == children
    assert worker.stop() == 0


SLOW_APP = """
import time
from pathlib import Path
Path("importing").touch()
while not Path("imported").exists():
    time.sleep(0.01)
from tests.apps.main import app
"""


def test_usr1_ends_no_process_that_is_starting(lab: Lab) -> None:
    (lab.directory / "slow.py").write_text(SLOW_APP)
    worker = lab.worker(app="slow.py:app")
    wait_until((lab.directory / "importing").exists, PATIENCE_S, "the app is being imported")
    worker.signal(signal.SIGUSR1)
    worker.wait_for_log("slow.py")
    (lab.directory / "imported").touch()
    worker.wait_ready()
    assert "process exited" not in worker.log
    assert worker.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTSTP, signal.SIGTTIN])
def test_tstp_and_ttin_make_a_worker_quiet(lab: Lab, number: int) -> None:
    lab.jobs.hold.enqueue_many([(key, str(lab.gate())) for key in range(3)])
    worker = lab.worker().wait_ready()
    lab.wait_started(0)
    worker.signal_group(number)
    worker.wait_for_log("quiet requested by a signal")
    lab.wait(lambda: [one for one in lab.app.workers.list() if one.quiet], "the worker is listed as quiet")
    lab.wait(lambda: lab.counts().get("queued") == 2, "what is not started is given back")
    lab.gate().touch()
    lab.wait_ended(0)
    lab.wait(lambda: lab.counts() == {"finished": 1, "queued": 2}, "the running job has finished")
    assert worker.stop() == 0
    assert lab.count(Status.QUEUED) == 2


def test_a_worker_made_quiet_before_it_is_ready_starts_nothing(lab: Lab) -> None:
    (lab.directory / "slow.py").write_text(SLOW_APP)
    lab.jobs.note.enqueue("job")
    worker = lab.worker(app="slow.py:app")
    wait_until((lab.directory / "importing").exists, PATIENCE_S, "the app is being imported")
    worker.signal(signal.SIGTSTP)
    worker.wait_for_log("quiet requested by a signal")
    (lab.directory / "imported").touch()
    worker.wait_ready()
    lab.wait(lambda: [one for one in lab.app.workers.list() if one.quiet], "the worker is listed as quiet")
    worker.signal(signal.SIGHUP)
    worker.wait_ready(2)
    assert worker.stop() == 0
    assert lab.counts() == {"queued": 1}


def test_quit_stops_immediately_and_gives_running_jobs_back(lab: Lab) -> None:
    lab.jobs.hold.enqueue("held", str(lab.gate()))
    worker = lab.worker().wait_ready()
    lab.wait_started("held")
    worker.signal_group(signal.SIGQUIT)
    assert worker.wait() == 1
    assert lab.counts() == {"queued": 1}


class InTerminal:
    """A worker that leads the session of a terminal, as a shell's foreground job without the shell."""

    def __init__(self, lab: Lab, *under: str) -> None:
        self._master, slave = pty.openpty()
        self.log_path = lab.directory / "terminal.log"
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                ["setsid", "--ctty", *under, COMMAND, MAIN_APP, "-p", "1"],
                cwd=lab.directory,
                env=lab.environment(),
                stdin=slave,
                stdout=log,
                stderr=log,
            )
        os.close(slave)

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        wait_until(condition, PATIENCE_S, what)

    def close_terminal(self) -> None:
        os.close(self._master)

    def end(self) -> None:
        for member in group_members(self.process.pid):
            os.kill(member, signal.SIGKILL)
        self.process.wait()


def test_a_closed_terminal_ends_the_worker_gracefully_and_a_hangup_from_outside_does_not(lab: Lab) -> None:
    worker = InTerminal(lab)
    try:
        lab.jobs.hold.enqueue("held", str(lab.gate()))
        lab.wait_started("held")
        worker.process.send_signal(signal.SIGHUP)
        worker.wait_for(lambda: "reloading" in worker.log, "the processes are replaced")
        worker.close_terminal()
        worker.wait_for(lambda: "terminal closed, stopping" in worker.log, "the worker stops")
        assert worker.process.poll() is None
        lab.gate().touch()
        assert worker.process.wait(PATIENCE_S) == 0
        assert lab.counts() == {"finished": 1}
        assert lab.ledger.counts("START") == {"held": 1}
    finally:
        worker.end()


def test_a_worker_started_by_nohup_outlives_its_terminal(lab: Lab) -> None:
    worker = InTerminal(lab, "nohup")
    try:
        worker.wait_for(lambda: "process ready" in worker.log, "the worker is ready")
        worker.close_terminal()
        lab.jobs.note.enqueue("after")
        lab.wait_ended("after")
        assert "stopping" not in worker.log
        worker.process.terminate()
        assert worker.process.wait(PATIENCE_S) == 0
    finally:
        worker.end()


def test_process_1_reaps_what_its_jobs_leave_behind(lab: Lab) -> None:
    command = own_process_ids()
    code = (
        "import os, subprocess\nfrom tests.apps.main import app\n"
        "@app.job\ndef orphan(n):\n    for _ in range(n):\n"
        "        subprocess.run(['sh', '-c', 'sleep 0.05 &'], check=True)\n"
    )
    (lab.directory / "orphans.py").write_text(code)
    worker = lab.worker(app="orphans.py:app", under=command)
    lab.app.job(name="orphan")(lambda n: None).enqueue(20)
    lab.wait(lambda: lab.counts() == {"finished": 1}, "the job has run")
    supervisor = psutil.Process(first_process(worker))

    def only_its_own() -> bool:
        # Zombies count as children until they are reaped.
        return len(supervisor.children()) == 1

    lab.wait(only_its_own, "the orphans are reaped")
    (child,) = supervisor.children()
    child.kill()
    worker.wait_for_log("process exited, starting a new one .*reason=killed by SIGKILL")
    worker.wait_ready(2)
    os.kill(supervisor.pid, signal.SIGTERM)
    assert worker.wait() == 0
