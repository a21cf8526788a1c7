"""Entry point of a worker's process: imports the app, then works until it is stopped."""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections.abc import Callable

from fastjobs import errors, importing
from fastjobs.app import FastJobs
from fastjobs.loader import load_app
from fastjobs.logs import AppLines, configure, event
from fastjobs.worker.process.log_writer import LogWriter
from fastjobs.worker.process.process import WorkerProcess
from fastjobs.worker.process.surroundings import Signals, keep_to_itself, leave, refuse_greenlets
from fastjobs.worker.spec import EXIT_FAILED, EXIT_UNUSABLE, ProcessSpec
from fastjobs.worker.supervisor.signals import GROUP_SIGNALS

log = logging.getLogger("fastjobs.worker")

#: How long a thread waits for the interpreter before the thread that has it must let go. The main loop needs it for far
#: less per fetch than Python's default of 5 ms.
_SWITCH_INTERVAL_S = 0.0005
#: How long the last log lines may take to be written when the process ends: a lock of `logging` may never be released.
_LAST_LINES_S = 2.0


def main() -> None:
    """Runs one process; its one argument is the encoded `ProcessSpec`."""
    spec = ProcessSpec.decode(sys.argv[1])
    importing.of_worker = True
    signals = Signals(GROUP_SIGNALS)
    signals.take()
    keep_to_itself(spec.board_fd, spec.control_fd)
    configure(spec.log_level, spec.log_format)
    app_lines = AppLines(spec.log_level, spec.log_format)
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    try:
        _, app = load_app(spec.target, FastJobs, spec.include)
        refuse_greenlets()
        if spec.url is not None:
            app._redirect(spec.url)
        process = WorkerProcess(app._registry, app.config, app._endpoint, app._handles, spec)
    except errors.ConfigError as error:
        event(log, logging.CRITICAL, "cannot load the app", reason=error)
        os._exit(EXIT_UNUSABLE)
    # All objects made so far live as long as the process: collections need not look at them again.
    gc.collect()
    gc.freeze()

    def settle() -> None:
        app_lines.settle()
        signals.take()

    log_writer = LogWriter()
    log_writer.start()
    code = _run(process, settle)
    log_writer.close(_LAST_LINES_S)
    leave(code)


def _run(process: WorkerProcess, settle: Callable[[], None]) -> int:
    try:
        return process.run(settle)
    except BaseException:
        # Passed on, it would wait for threads of the app, with nobody left to report jobs.
        event(log, logging.CRITICAL, "process failed", exc_info=True)
        return EXIT_FAILED
