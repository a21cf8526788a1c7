"""The supervisor outlives what goes wrong around it: processes that cannot start, hang or scribble, and its log."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import psutil
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


# Processes that cannot be started.


def test_a_worker_without_descriptors_for_a_new_process_goes_on_with_the_others(lab: Lab) -> None:
    """Fault A18."""
    worker = lab.worker("-p", "2").wait_ready(2)
    lab.jobs.hold.enqueue("held", str(lab.gate()))
    lab.wait_started("held")
    (busy,) = {entry.pid for entry in lab.ledger.entries()}
    supervisor = psutil.Process(worker.pid)
    limits = supervisor.rlimit(psutil.RLIMIT_NOFILE)
    supervisor.rlimit(psutil.RLIMIT_NOFILE, (3, limits[1]))
    (idle,) = set(worker.children()) - {busy}
    os.kill(idle, signal.SIGKILL)
    worker.wait_for_log("cannot start a process, trying again .*reason=.*Too many open files", 7)
    assert worker.children() == [busy]
    before = supervisor.num_fds()
    lab.gate().touch()
    lab.jobs.note.enqueue("meanwhile")
    lab.wait_ended("held", "meanwhile")
    worker.wait_for_log("cannot start a process, trying again", 8)
    assert supervisor.num_fds() == before
    supervisor.rlimit(psutil.RLIMIT_NOFILE, limits)
    worker.wait_ready(3)
    assert worker.stop() == 0
    assert "Traceback" not in worker.log
    assert set(lab.ledger.counts("START").values()) == {1}


def test_a_worker_that_can_start_no_process_at_all_ends_with_a_code_of_its_own(lab: Lab) -> None:
    """Fault A17."""
    worker = lab.worker(under=("bash", "-c", 'ulimit -n 8; exec "$0" "$@"'))
    assert worker.wait() == 5
    assert worker.log.count("cannot start a process, trying again") == 5
    assert "processes keep exiting before they are ready, giving up" in worker.log
    assert "Traceback" not in worker.log


NO_THREADS = """
import threading, time

threading.Thread(target=time.sleep, args=(60,)).start()

def start(self):
    if self.name.startswith("fastjobs-executor"):
        raise RuntimeError("can't start new thread")
    return begin(self)

begin, threading.Thread.start = threading.Thread.start, start
from tests.apps.main import app
"""

SHORT_LIVED = """
import os, threading
from tests.apps.main import app

@app.on_worker_start
def die_soon(worker):
    threading.Timer(0.3, os._exit, (9,)).start()
"""


@pytest.mark.parametrize("doomed", [NO_THREADS, SHORT_LIVED], ids=["no threads", "soon after it was ready"])
def test_processes_that_die_before_they_take_any_job_are_started_less_and_less_often(lab: Lab, doomed: str) -> None:
    """Fault A17."""
    (lab.directory / "doomed.py").write_text(doomed)
    worker = lab.worker(app="doomed.py:app")
    assert worker.wait() == 5
    delays = [float(part.split()[0]) for part in worker.log.split("delay_s=")[1:]]
    assert len(delays) == 5
    assert delays[-1] > 2 * delays[0]


def test_processes_that_die_while_they_work_are_replaced_soon_and_without_end(lab: Lab) -> None:
    """Fault A17."""
    for number in range(10):
        lab.jobs.crash_once.options(retries=2).enqueue(number, str(lab.gate(f"flag-{number}")))
    worker = lab.worker()
    lab.wait(lambda: lab.counts() == {"finished": 10}, "all jobs have run")
    delays = [float(part.split()[0]) for part in worker.log.split("delay_s=")[1:]]
    assert len(delays) == 10
    assert max(delays) <= 1
    assert worker.stop() == 0


HANGS_ONCE_READY = """
import time
from pathlib import Path
from tests.apps.main import app

def hang(worker=None):
    if Path("hang").exists():
        time.sleep(600)

if WHERE == "import":
    hang()
else:
    app.on_worker_start(hang)
"""


@pytest.mark.parametrize("where", ["import", "hook"])
def test_a_start_that_hangs_is_logged_listed_and_ended(lab: Lab, where: str) -> None:
    """Fault A17."""
    (lab.directory / "hanging.py").write_text(HANGS_ONCE_READY.replace("WHERE", repr(where)))
    worker = lab.worker("-p", "2", "--start-timeout", "12", app="hanging.py:app").wait_ready(2)
    first, other = worker.children()
    lab.gate("hang").touch()
    os.kill(first, signal.SIGKILL)

    def listed() -> list[int]:
        return [pid for one in lab.app.workers.list() for pid in one.starting]

    lab.wait(lambda: set(listed()) - {first, other}, "the start is listed")
    (hanging,) = listed()
    worker.wait_for_log(f"process is still starting pid={hanging} seconds=10")
    lab.gate("hang").unlink()
    worker.wait_for_log(f"process did not start in time, killing it pid={hanging}")
    worker.wait_ready(3)
    lab.wait(lambda: not listed(), "all processes are ready")
    assert other in worker.children()
    assert worker.stop() == 0


def test_a_start_that_always_hangs_ends_the_worker(lab: Lab) -> None:
    """Fault A17."""
    (lab.directory / "hanging.py").write_text("import time\ntime.sleep(600)\n")
    worker = lab.worker("--start-timeout", "1", app="hanging.py:app")
    assert worker.wait() == 5
    assert worker.log.count("process did not start in time, killing it") == 6


# What a dying process leaves behind.

SCRIBBLER = """
import mmap, os, random, signal
from pathlib import Path
from tests.apps.main import app

def board():
    for name in os.listdir("/proc/self/fd"):
        path = f"/proc/self/fd/{name}"
        if "fastjobs-board" in os.path.realpath(path):
            return mmap.mmap(int(name), os.path.getsize(path))

@app.job(retries=0)
def scribble(how, flag):
    if Path(flag).exists():
        return
    Path(flag).touch()
    memory = board()
    if how == "random bytes":
        memory[:] = random.randbytes(len(memory))
    elif how == "random bytes here and there":
        for position in range(64, len(memory), 50):
            memory[position] = random.randrange(256)
    else:
        memory[:] = bytes([int(how, 16)]) * len(memory)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("how", ["ff", "7f", "01", "00", "random bytes", "random bytes here and there"])
def test_a_board_that_a_dying_process_scribbled_on_harms_nobody_else(lab: Lab, how: str) -> None:
    """Fault A22."""
    (lab.directory / "scribbler.py").write_text(SCRIBBLER)
    job = lab.app.job(name="scribble", retries=0)(lambda how, flag: None).enqueue(how, str(lab.gate("flag")))
    lab.jobs.note.enqueue_many(range(50))
    worker = lab.worker("-p", "2", app="scribbler.py:app")
    lab.wait(lambda: lab.counts() == {"finished": 51}, "all jobs have run")
    assert "board of a dead process is damaged, its jobs return when their lease expires" in worker.log
    worker.wait_ready(3)
    lab.jobs.note.enqueue("after")
    lab.wait_ended("after")
    lab.wait(lambda: lab.app.workers.list(), "the worker is listed")
    assert worker.stop() == 0
    assert "Traceback" not in worker.log
    assert job.refresh().attempts == 0


# Its own errors.

FAULTY = """
import sys
from fastjobs.worker.supervisor.fleet import Fleet
from fastjobs.worker.supervisor.heartbeat import Heartbeat

turns = {"hear": 0, "run": 0}

def fault(kind, name):
    method = getattr(kind, name)
    def faulty(self):
        turns[name] += self.attached is not None if kind is Fleet else 1
        if 1 <= turns[name] <= 5:
            raise ZeroDivisionError(name)
        return method(self)
    setattr(kind, name, faulty)

fault(Fleet, "hear")
fault(Heartbeat, "run")
from fastjobs.cli.worker import main
sys.argv[0] = "fastjobs-worker"
main()
"""


def test_an_error_of_the_supervisor_ends_nothing(lab: Lab) -> None:
    """Fault A22."""
    program = lab.directory / "faulty.py"
    program.write_text(FAULTY)
    lab.jobs.hold.enqueue("held", str(lab.gate()))
    worker = lab.worker(under=("bash", "-c", f'shift; exec {sys.executable} {program} "$@"', "-"))
    lab.wait_started("held")
    worker.wait_for_log("error in the supervisor, continuing reason=ZeroDivisionError: hear")
    worker.wait_for_log("error in the supervisor, continuing reason=ZeroDivisionError: run")
    lab.wait(lambda: lab.app.workers.list(), "the heartbeat is back")
    lab.gate().touch()
    lab.wait_ended("held")
    assert worker.stop() == 0
    assert lab.ledger.counts("START") == {"held": 1}
