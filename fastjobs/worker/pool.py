"""A worker started from Python: what `app.pool(...)` returns."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import Any

import orjson

from fastjobs import errors
from fastjobs.worker.interpreter import python


class Pool:
    """Runs a worker for an app, in processes of its own, until it is closed.

    The worker is the one `fastjobs-worker` runs; it also stops when the process that started it ends.

    Args:
        target: where the app is, for the processes to import it.
        settings: as for `WorkerConfig`: processes, threads, queues, batch_size and so on.

    Example:
        pool = app.pool(processes=8, batch_size=500)
        pool.start()
        ...
        pool.close()
        pool.wait()
    """

    def __init__(self, target: str, settings: dict[str, Any]) -> None:
        self._target = target
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline = -1

    def start(self) -> None:
        """Starts the worker; returns at once.

        Raises:
            ConfigError: it was started before.
        """
        if self._process is not None:
            raise errors.ConfigError("this pool was started before; make a new one")
        theirs, self._lifeline = os.pipe()
        arguments = orjson.dumps([self._target, self._settings, theirs]).decode()
        self._process = subprocess.Popen(
            python("from fastjobs.cli.worker import run_pool; run_pool()", arguments),
            pass_fds=(theirs,),
        )
        os.close(theirs)

    def close(self) -> None:
        """Tells the worker to stop: running jobs may end, the rest is given back. Returns at once; safe to repeat."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def wait(self, timeout_s: float | None = None) -> int:
        """Waits for the worker to end.

        Args:
            timeout_s: seconds to wait; None = for ever.

        Returns:
            The worker's exit code; 0 when all went well.

        Raises:
            ConfigError: it was never started.
            TimeoutError: it has not ended in time.
        """
        if self._process is None:
            raise errors.ConfigError("this pool was not started")
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"the worker has not ended within {timeout_s} s") from error
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1
        return code

    def __enter__(self) -> Pool:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self.wait()
