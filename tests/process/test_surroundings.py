"""What an app's code changes in its process does not change what the worker does, nor what its handlers start."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from fastjobs import FastJobs, Status
from tests.harness.worker import Lab, Worker

HEAD = "from fastjobs import FastJobs\n"


def lab_app(lab: Lab, text: str) -> str:
    """Writes an app whose one job type is `act`; returns the target."""
    (lab.directory / "shop.py").write_text(HEAD + text)
    return "shop.py:app"


def enqueue(lab: Lab, *arguments: Any, times: int = 1) -> None:
    producer = FastJobs(lab.server.url, namespace=lab.namespace)
    producer.job(name="act", retries=0)(lambda *_: None).enqueue_many([arguments] * times)
    producer.close()


def burst(lab: Lab, text: str, *arguments: str, times: int = 1) -> Worker:
    target = lab_app(lab, text)
    enqueue(lab, times=times)
    worker = lab.worker("--burst", *arguments, app=target)
    assert worker.wait() == 0, worker.log
    assert lab.app.jobs.count(Status.FAILED) == 0, worker.log
    return worker


def test_a_handler_can_use_a_pool_of_processes(lab: Lab) -> None:
    text = """
import multiprocessing, signal
app = FastJobs()

def dispositions(_):
    numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
    ours = [signal.getsignal(number) == signal.SIG_DFL for number in numbers]
    return all(ours) and signal.getsignal(signal.SIGINT) is signal.default_int_handler

@app.job
def act():
    # Leaving the block terminates the processes by SIGTERM.
    with multiprocessing.get_context("fork").Pool(2) as pool:
        print("as in a new program:", all(pool.map(dispositions, range(4))), flush=True)
"""
    assert "as in a new program: True" in burst(lab, text).log


def test_functions_registered_with_atexit_are_called_when_a_process_ends_in_good_order(lab: Lab) -> None:
    text = """
import atexit
app = FastJobs()
atexit.register(print, "called at the end", flush=True)

@app.job
def act(): pass
"""
    assert burst(lab, text, "-p", "2").log.count("called at the end") == 2


def test_a_function_registered_with_atexit_that_hangs_does_not_keep_the_process(lab: Lab) -> None:
    text = """
import atexit, time
app = FastJobs()
atexit.register(time.sleep, 600)

@app.job
def act(): pass
"""
    assert "killing it" not in burst(lab, text).log


def test_what_a_job_sets_in_a_context_variable_is_not_seen_by_the_next_one(lab: Lab) -> None:
    text = """
import contextvars
app = FastJobs()
who = contextvars.ContextVar("who", default="nobody")

@app.job
def act():
    print("before:", who.get(), flush=True)
    who.set("me")
"""
    assert burst(lab, text, times=5).log.count("before: nobody") == 5


def test_signal_handlers_of_the_app_do_not_stop_its_process(lab: Lab) -> None:
    text = """
import os, signal, socket
app = FastJobs()

def give_up(*_):
    os._exit(9)

for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
    signal.signal(number, give_up)
signal.signal(signal.SIGPIPE, signal.SIG_DFL)

@app.on_worker_start
def start(worker):
    signal.signal(signal.SIGINT, give_up)

@app.job
def act():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        os.kill(os.getpid(), number)
    ours, theirs = socket.socketpair()
    theirs.close()
    try:
        ours.send(b"x")
    except BrokenPipeError:
        print("went on", flush=True)
"""
    log = burst(lab, text).log
    assert "went on" in log
    assert "process exited" not in log


def test_programs_that_jobs_start_inherit_no_descriptor_of_the_process(lab: Lab) -> None:
    text = """
import subprocess
app = FastJobs()

@app.job
def act():
    listing = ["sh", "-c", "for n in $(seq 3 40); do [ -e /proc/self/fd/$n ] && readlink /proc/self/fd/$n; done"]
    done = subprocess.run(listing, close_fds=False, capture_output=True, text=True)
    print("inherited:", done.stdout.split(), flush=True)
"""
    assert "inherited: []" in burst(lab, text).log


def test_options_of_the_interpreter_reach_the_processes(lab: Lab) -> None:
    text = """
import sys
app = FastJobs()

@app.job
def act():
    print("options:", sys.flags.optimize, sys._xoptions, sys.warnoptions, flush=True)
"""
    target = lab_app(lab, text)
    enqueue(lab)
    options = ("-OO", "-X", "mine=1", "-X", "utf8", "-W", "ignore")
    worker = lab.worker("--burst", app=target, under=(sys.executable, *options))
    assert worker.wait() == 0, worker.log
    assert "options: 2 {'utf8': True, 'mine': '1'} ['ignore']" in worker.log


def test_a_seed_in_a_handler_does_not_bring_workers_into_step(lab: Lab) -> None:
    text = """
import random
app = FastJobs()
random.seed(7)

@app.job(retries=1)
def act():
    random.seed(7)
    raise ValueError
"""
    target = lab_app(lab, text)
    producer = FastJobs(lab.server.url, namespace=lab.namespace)
    producer.job(name="act", retries=1)(lambda: None).enqueue_many([()] * 8)
    worker = lab.worker(app=target)
    worker.wait_for_log("job will be retried", 8)
    delays = [line.split("delay_ms=")[1].split()[0] for line in worker.log.splitlines() if "delay_ms=" in line]
    assert len(set(delays)) > 1
    assert worker.stop() == 0


@pytest.mark.parametrize("library", ["gevent", "eventlet"])
def test_modules_replaced_by_greenlets_are_refused_with_advice(lab: Lab, library: str) -> None:
    package = lab.directory / library
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "monkey.py").write_text("def is_module_patched(name): return name in ('threading', 'socket')")
    (package / "patcher.py").write_text("already_patched = {'socket': True, 'thread': True}")
    target = lab_app(lab, f"import {library}.{'monkey' if library == 'gevent' else 'patcher'}\napp = FastJobs()\n")
    worker = lab.worker(app=target)
    assert worker.wait() == 2
    assert f"{library} has replaced" in worker.log
    assert "with -c" in worker.log
