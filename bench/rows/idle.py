"""The cost of idle workers to a server: a few real ones, and a thousand that are played."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack

from bench.nodes import Nodes
from bench.rows.cluster import MASTERS
from bench.rows.latency import spaced
from bench.rows.row import Figure, Row
from bench.server import wait_until
from bench.traffic import commands_per_s
from bench.worker import ROOT, BenchWorker
from fastjobs import FastJobs

_KIB = 1 << 10
#: In this time every duty of an idle worker comes round, except the audit, which is due once per lease.
_LOOK_S = 15.0
_READY_TIMEOUT_S = 120.0


class Idlers:
    """Idle workers played by one process; see `bench.idlers`. A context manager.

    Args:
        nodes: their servers.
        number: number of workers.
    """

    def __init__(self, nodes: Nodes, number: int) -> None:
        self._command = [sys.executable, "-m", "bench.idlers", str(number)]
        self._environment = os.environ | nodes.environment
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Idlers:
        self._process = subprocess.Popen(
            self._command, cwd=ROOT, env=self._environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            raise RuntimeError("the idle workers have ended")
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> list[float]:
        """Stops them; returns how long jobs took to reach one of them, in milliseconds."""
        if self._process is None:
            return []
        output, _ = self._process.communicate(timeout=_READY_TIMEOUT_S)
        code, self._process = self._process.returncode, None
        if code:
            raise RuntimeError(f"the idle workers ended with exit code {code}")
        delays_ms: list[float] = json.loads(output)
        return delays_ms


class Seen:
    """Measurements that servers make of themselves over some seconds, summed.

    Args:
        nodes: the servers.
        seconds: duration of the measurement.
    """

    def __init__(self, nodes: Nodes, seconds: float) -> None:
        cpu_before, log_before = sum(nodes.cpu_s()), _log_bytes(nodes)
        time.sleep(seconds)
        #: Processor time, in milliseconds per second.
        self.cpu = (sum(nodes.cpu_s()) - cpu_before) * 1000 / seconds
        #: Bytes per second written to the append-only file; the same would go to each replica.
        self.log = (_log_bytes(nodes) - log_before) / seconds
        #: Connections, without ours to each server.
        self.connections = sum(int(client.info("clients")["connected_clients"]) - 1 for client in nodes.clients)
        self.memory = sum(int(client.info("memory")["used_memory"]) for client in nodes.clients)


def _log_bytes(nodes: Nodes) -> int:
    return sum(int(client.info("persistence")["aof_current_size"]) for client in nodes.clients)


class Idle(Row):
    """Real workers of one process, one of eight, one on eight partitions of a cluster; and played ones."""

    name = "idle"
    title = "an idle worker, as its server sees it, TCP"
    figures = (
        Figure("connections", "per worker"),
        Figure("commands", "/s per worker"),
        Figure("log", "bytes/s per worker"),
        Figure("cpu", "ms/s per worker"),
        Figure("played_commands", "x", at_least=0.95, at_most=1.05),
        Figure("played_log", "x", at_least=0.9, at_most=1.1),
        Figure("played_cpu", "x"),
        Figure("process_commands", "/s per process"),
        Figure("supervisor_commands", "/s per worker"),
        Figure("cluster_connections", "per worker"),
        Figure("cluster_commands", "/s per worker"),
    )
    max_rounds = 3
    #: Partitions of the queue on the cluster.
    PARTITIONS = 8
    _WORKERS, _PROCESSES = 16, 8

    def measure(self, turn: int) -> dict[str, float]:
        number = self._WORKERS
        with Nodes(self.setting.binary) as nodes:
            alone = Seen(nodes, _LOOK_S)
            with ExitStack() as stack:
                for _ in range(number):
                    stack.enter_context(BenchWorker(nodes))
                wait_until(lambda: nodes.sessions() == number, _READY_TIMEOUT_S, "all workers are ready")
                real, real_commands = Seen(nodes, _LOOK_S), commands_per_s(nodes, _LOOK_S)
            with Idlers(nodes, number):
                played, played_commands = Seen(nodes, _LOOK_S), commands_per_s(nodes, _LOOK_S)
        commands = _own(real_commands) / number
        process = self._process_commands(commands)
        return {
            "connections": real.connections / number,
            "commands": commands,
            "log": real.log / number,
            "cpu": (real.cpu - alone.cpu) / number,
            "played_commands": _own(played_commands) / _own(real_commands),
            "played_log": played.log / real.log,
            "played_cpu": (played.cpu - alone.cpu) / (real.cpu - alone.cpu),
            "process_commands": process,
            "supervisor_commands": commands - process,
        } | self._on_cluster()

    def _process_commands(self, one: float) -> float:
        """Returns the commands per second of each further process, if a worker of one process sends `one`."""
        with Nodes(self.setting.binary) as nodes, BenchWorker(nodes, self._PROCESSES):
            return (_own(commands_per_s(nodes, _LOOK_S)) - one) / (self._PROCESSES - 1)

    def _on_cluster(self) -> dict[str, float]:
        with Nodes(self.setting.binary, MASTERS, partitions=self.PARTITIONS) as nodes, BenchWorker(nodes):
            connections = Seen(nodes, 1.0).connections
            return {
                "cluster_connections": connections,
                "cluster_commands": _own(commands_per_s(nodes, _LOOK_S)),
            }


def _own(commands: dict[str, float]) -> float:
    """Returns how many of the calls come from workers, without those that set up a connection."""
    return sum(number for name, number in commands.items() if name not in ("info", "monitor", "script"))


class Thousand(Row):
    """A thousand idle workers on one server, and jobs enqueued one by one; the same with a hundred workers."""

    name = "thousand"
    title = "1,000 idle workers (played) on one server, TCP"
    figures = (
        Figure("connections", ""),
        Figure("commands", "/s"),
        Figure("cpu", "ms/s"),
        Figure("hundred_cpu", "ms/s"),
        Figure("log", "bytes/s"),
        Figure("memory", "KiB per connection"),
        Figure("arrival", "ms per worker"),
        Figure("enqueue_p50", "ms"),
        Figure("enqueue_p99", "ms"),
        Figure("enqueue_p50_vs_hundred", "x", at_most=1.5),
        Figure("start_p50", "ms"),
        Figure("start_p50_vs_hundred", "x"),
        Figure("job_cpu", "us"),
        Figure("job_cpu_vs_hundred", "x", at_most=1.5),
    )
    max_rounds = 3

    def measure(self, turn: int) -> dict[str, float]:
        sides = {"hundred": 100, "thousand": 1000}
        found = {side: self._idle(sides[side]) for side in (list(sides) if turn % 2 == 0 else list(sides)[::-1])}
        thousand, hundred = found["thousand"], found["hundred"]
        ratios = ("enqueue_p50", "start_p50", "job_cpu")
        return (
            thousand
            | {"hundred_cpu": hundred["cpu"]}
            | {f"{name}_vs_hundred": thousand[name] / hundred[name] for name in ratios}
        )

    def _idle(self, workers: int) -> dict[str, float]:
        jobs = self.setting.jobs(2000, 1000)
        with Nodes(self.setting.binary) as nodes:
            before, started_s = Seen(nodes, _LOOK_S / 3), sum(nodes.cpu_s())
            with Idlers(nodes, workers) as idlers:
                arrived_s = sum(nodes.cpu_s())
                seen = Seen(nodes, _LOOK_S)
                commands = _own(commands_per_s(nodes, _LOOK_S))
                (cpu_before_s,) = nodes.cpu_s()
                begun = time.monotonic()
                enqueue_ms = _enqueue_spaced(nodes, jobs)
                seconds = time.monotonic() - begun
                (cpu_after_s,) = nodes.cpu_s()
                delays_ms = idlers.end()
        if len(delays_ms) != jobs:
            raise RuntimeError(f"{len(delays_ms)} of {jobs} jobs came to a worker")
        return {
            "connections": seen.connections,
            "commands": commands,
            "cpu": seen.cpu - before.cpu,
            "log": seen.log,
            "memory": (seen.memory - before.memory) / _KIB / seen.connections,
            "arrival": (arrived_s - started_s) * 1000 / workers,
            "enqueue_p50": statistics.median(enqueue_ms),
            "enqueue_p99": statistics.quantiles(enqueue_ms, n=100)[98],
            "start_p50": statistics.median(delays_ms),
            "job_cpu": (cpu_after_s - cpu_before_s - seen.cpu * seconds / 1000) * 1e6 / jobs,
        }


def _enqueue_spaced(nodes: Nodes, jobs: int) -> list[float]:
    """Enqueues jobs one by one, each with its time; returns how long each call took, in milliseconds."""
    app = FastJobs(nodes.url)

    @app.job
    def arrive(begun_ns: int) -> None:
        pass

    _, took_ms = spaced(jobs, lambda _: arrive.enqueue(time.monotonic_ns()))
    app.close()
    return took_ms
