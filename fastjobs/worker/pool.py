"""A worker started from Python: what `app.pool(...)` returns."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import Any

import orjson

from fastjobs import errors, importing
from fastjobs.worker.interpreter import python


class Pool:
    """Runs a worker for an app, in processes of its own, until it is closed.

    The worker is the one `fastjobs-worker` runs; it also stops when the process that started it ends. Ctrl-C reaches
    that process only: left by it, the `with` block stops the worker as `close` does, and at once by a second one.

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
        self._closed = False

    def start(self) -> None:
        """Starts the worker; returns when one of its processes is ready, which waits for a server that does not answer.

        Raises:
            ConfigError: it was started before, or this is a process of a worker.
            PoolNotStarted: the worker ended before it was ready.
        """
        if self._process is not None:
            raise errors.ConfigError("this pool was started before; make a new one")
        if importing.of_worker:
            raise errors.ConfigError("a process of a worker cannot start a pool, which would be a worker in a worker")
        theirs, self._lifeline = os.pipe()
        ready, ready_theirs = os.pipe()
        try:
            with os.fdopen(ready, "rb") as answer:
                self._process = self._launch(theirs, ready_theirs)
                # Until the worker writes, or has ended.
                started = bool(answer.read(1))
        except BaseException:
            self._let_go()
            raise
        if not started:
            raise errors.PoolNotStarted(self.wait())

    def _launch(self, *descriptors: int) -> subprocess.Popen[bytes]:
        """Starts the worker, which takes the descriptors over."""
        arguments = orjson.dumps([self._target, self._settings, *descriptors]).decode()
        try:
            # In a session of its own, Ctrl-C in a terminal does not reach it.
            return subprocess.Popen(
                python("from fastjobs.cli.worker import run_pool; run_pool()", arguments),
                pass_fds=descriptors,
                start_new_session=True,
            )
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def close(self) -> None:
        """Asks the worker to stop: running jobs may end, the rest is given back. Returns at once; safe to repeat."""
        if not self._closed:
            self._closed = True
            self._send(signal.SIGTERM)

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

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
        self._let_go()
        return code

    def _let_go(self) -> None:
        """Lets the worker end, if it has not: its parent is gone as far as it can see."""
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1

    def __enter__(self) -> Pool:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        try:
            self.wait()
        except KeyboardInterrupt:
            # The second one: running jobs are released.
            self._send(signal.SIGQUIT)
            self.wait()
            raise
