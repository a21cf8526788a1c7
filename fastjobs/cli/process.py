"""Entry point of a worker's process: imports the app, then works until told to stop."""

from __future__ import annotations

import faulthandler
import gc
import logging
import os
import signal
import sys

from fastjobs import errors
from fastjobs.app import FastJobs
from fastjobs.loader import load_app
from fastjobs.logs import configure, event
from fastjobs.worker.process.process import WorkerProcess
from fastjobs.worker.spec import EXIT_UNUSABLE, ProcessSpec
from fastjobs.worker.supervisor.signals import GROUP_SIGNALS

log = logging.getLogger("fastjobs.worker")

#: How long a thread that wants the interpreter waits until the one that has it lets go: the main loop's share
#: of a fetch is far shorter than Python's default of 5 ms.
_SWITCH_INTERVAL_S = 0.0005


def main() -> None:
    """Runs one process; its one argument is the encoded `ProcessSpec`."""
    spec = ProcessSpec.decode(sys.argv[1])
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    _leave_signals_to_supervisor()
    configure(spec.log_level, spec.log_format)
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    try:
        _, app = load_app(spec.target, FastJobs)
        process = WorkerProcess(app.registry, app.config, app.endpoint, app.jobs, spec)
    except errors.ConfigError as error:
        event(log, logging.CRITICAL, "cannot load the app", reason=error)
        os._exit(EXIT_UNUSABLE)
    # What was made so far lives as long as the process: collections need not look at it again.
    gc.collect()
    gc.freeze()
    code = process.run()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # Not `exit`: a handler that never returns would keep the interpreter from ending.
    os._exit(code)


def _leave_signals_to_supervisor() -> None:
    """The terminal's signals go to the whole group; what a process does is decided by its supervisor.

    Handlers that do nothing, not SIG_IGN: what a job starts would inherit that, and could not be ended. Until
    they are in place the supervisor's signal mask, which is inherited, holds the signals back.
    """
    for number in GROUP_SIGNALS:
        signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, GROUP_SIGNALS)
