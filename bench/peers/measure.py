"""Measures one configuration of one peer once: enqueue, memory, drain and latency, on a server of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.rows import Figure, Setting
from bench.server import BenchServer, wait_until
from bench.worker import ROOT

FIGURES = (
    Figure("enqueue", "jobs/s"),
    Figure("drain", "jobs/s"),
    Figure("latency_p50", "ms"),
    Figure("latency_p99", "ms"),
    Figure("memory", "bytes"),
)
#: Jobs around the measured ones.
_MARKS = 2
_ACT_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 3.0
#: Spacing of the jobs whose latency is measured, or this multiple of the time the worker takes for one.
_SPACING_S, _SPACING_JOBS = 0.005, 3
#: Limits of the number of latencies and of their duration.
_LATENCIES, _LATENCIES_S = 300, 5.0


class PeerFailed(Exception):
    """A peer could not be measured; the message says why in one line."""


class Run:
    """One configuration's processes.

    Args:
        peer: the peer's name.
        configuration: the configuration's name.
        python: interpreter that has the peer.
        server: its server.
        notes: an empty directory.
        counted: whether handlers note that they ran.
    """

    def __init__(
        self, peer: str, configuration: str, python: str, server: BenchServer, notes: Path, counted: bool
    ) -> None:
        self._server = server
        self._is_ours = peer == "fastjobs"
        self._notes = notes
        self._command = [python, "-m", "bench.peers.adapter", peer]
        self._environment = os.environ | {
            "PEERS_SOCKET": server.socket,
            "PEERS_CONFIGURATION": configuration,
            "PEERS_NOTES": str(notes),
            "PEERS_COUNTED": "yes" if counted else "",
            "PYTHONPATH": str(ROOT),
        }
        self._worker: subprocess.Popen[bytes] | None = None

    def enqueue(self, jobs: int) -> dict[str, float]:
        """Enqueues jobs in bulk, between two marks; no client is connected when memory is measured."""
        # The server's memory for scripts and groups does not belong to the jobs.
        self.act("one", "mark", "warm")
        bytes_before = self._server.memory_bytes()
        seconds = float(self.act("enqueue", jobs))
        return {"enqueue": jobs / seconds, "memory": (self._server.memory_bytes() - bytes_before) / (jobs + _MARKS)}

    def start(self) -> None:
        """Starts a worker."""
        with Path(self._notes, "log").open("ab") as log:
            self._worker = subprocess.Popen(
                [*self._command, "worker"],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def drain(self, jobs: int) -> dict[str, float]:
        """Times the worker, which was just started, from the first mark to the last: its start does not count."""
        self.wait(lambda: self._mark_s("last"), "the last job has run")
        begun_s, ended_s = self._mark_s("first"), self._mark_s("last")
        if self._is_ours:
            # Its processes hold many jobs, so the last one enqueued need not be the last one to run: all acks count.
            self.wait(lambda: self._server.stat("finished_total") == jobs + _MARKS + 1, "all jobs are acknowledged")
            ended_s = max(ended_s, time.monotonic())
        return {"drain": jobs / (ended_s - begun_s)}

    def latency(self, drain_rate: float) -> dict[str, float]:
        """Enqueues single jobs for the worker, which has nothing else to do."""
        spacing_s = max(_SPACING_S, _SPACING_JOBS / drain_rate)
        number = max(2, min(_LATENCIES, int(_LATENCIES_S / spacing_s)))
        self.act("latency", number, spacing_s)
        self.wait(lambda: len(self.lines("delays")) == number, "all single jobs have run")
        delays_ms = [int(line) / 1e6 for line in self.lines("delays")]
        return {
            "latency_p50": statistics.median(delays_ms),
            "latency_p99": statistics.quantiles(delays_ms, n=100, method="inclusive")[98],
        }

    def check_each_ran_once(self, jobs: int) -> None:
        """Checks the notes of counted handlers.

        Raises:
            PeerFailed: a job did not run, or ran twice.
        """
        self.wait(lambda: len(self.lines("ran")) >= jobs, f"{jobs} jobs have run")
        if sorted(map(int, self.lines("ran"))) != list(range(jobs)):
            raise PeerFailed("a job ran twice")

    def stop(self) -> None:
        """Stops the worker with all its processes."""
        if self._worker is None:
            return
        self._worker.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._worker.wait(_STOP_TIMEOUT_S)
        self.kill()

    def kill(self) -> None:
        """Kills the worker with all its processes."""
        if self._worker is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._worker.pid, signal.SIGKILL)
        self._worker.wait()
        self._worker = None

    def act(self, *words: object) -> str:
        """Runs the adapter once; returns the last line it printed.

        Raises:
            PeerFailed: the adapter failed, or took too long.
        """
        command = [*self._command, *map(str, words)]
        try:
            done = subprocess.run(
                command,
                cwd=ROOT,
                env=self._environment,
                check=False,
                capture_output=True,
                text=True,
                timeout=_ACT_TIMEOUT_S,
            )
        except subprocess.TimeoutExpired:
            raise PeerFailed(f"{words[0]} took longer than {_ACT_TIMEOUT_S:g} s") from None
        if done.returncode:
            raise PeerFailed(f"{words[0]}: {last_line(done.stderr)}")
        return done.stdout.splitlines()[-1] if done.stdout else ""

    def wait(self, condition: Callable[[], object], what: str) -> None:
        """Waits until the worker has done something.

        Raises:
            PeerFailed: the worker ended, or it took too long.
        """

        def ended() -> bool:
            return self._worker is not None and self._worker.poll() is not None

        try:
            wait_until(lambda: condition() or ended(), _ACT_TIMEOUT_S, what)
        except TimeoutError as error:
            raise PeerFailed(f"{error}; {self._last_words()}") from None
        if not condition():
            raise PeerFailed(f"the worker ended: {self._last_words()}")

    def _last_words(self) -> str:
        return last_line(Path(self._notes, "log").read_text(errors="replace"))

    def _mark_s(self, name: str) -> float:
        """Returns when the job of a mark ran, or 0 if it has not run yet."""
        try:
            return int(Path(self._notes, name).read_text() or 0) / 1e9
        except FileNotFoundError:
            return 0.0

    def lines(self, name: str) -> list[str]:
        """Returns the notes of handlers under a name."""
        try:
            return Path(self._notes, name).read_text().splitlines()
        except FileNotFoundError:
            return []


def measure(
    peer: str, configuration: str, python: str, setting: Setting, jobs: int, *, counted: bool
) -> dict[str, float]:
    """Measures a configuration once; returns a value for each of FIGURES.

    Args:
        counted: check that each job ran once; the rates are then lower.

    Raises:
        PeerFailed: the peer does not start, does not stop, or does not run its jobs.
    """
    with setting.server() as server, tempfile.TemporaryDirectory(prefix="fastjobs-peers-") as notes:
        run = Run(peer, configuration, python, server, Path(notes), counted)
        try:
            values = run.enqueue(jobs)
            run.start()
            values |= run.drain(jobs)
            values |= run.latency(values["drain"])
            if counted:
                run.check_each_ran_once(jobs)
        finally:
            run.stop()
    return values


def last_line(text: str) -> str:
    """Returns the last line that is not empty, shortened."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it said nothing"
