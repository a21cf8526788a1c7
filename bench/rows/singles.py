"""The cost of jobs enqueued one by one to a server that has little to do, and to a busy one."""

from __future__ import annotations

import re
import shutil
import subprocess
import time

from bench.nodes import Nodes
from bench.payload import arguments, keywords
from bench.rows.enqueue import reference_type
from bench.rows.latency import spaced
from bench.rows.row import Figure, Row
from bench.server import NAMESPACE, wait_until
from bench.worker import BenchWorker
from fastjobs import FastJobs
from fastjobs._core import ChunkWriter
from fastjobs.store.keys import queue_keys
from fastjobs.store.scripts import load

_LOAD_GENERATOR = "redis-benchmark"
#: Connections with one call each in flight; enough to keep the server busy.
_CONNECTIONS = 50
_RATE = re.compile(r"([\d.]+) requests per second")
_TIMEOUT_S = 60.0


class Singles(Row):
    """Chunks of one: enqueued and drained from a backlog; each waking an idle worker; enqueued over many connections.

    The many connections are those of a load generator in C, which calls the script `enqueue`.
    """

    name = "singles"
    title = "server CPU per job enqueued by itself, TCP"
    figures = (
        Figure("enqueue", "us"),
        Figure("drain", "us"),
        Figure("trickle", "us"),
        Figure("bytes", "bytes"),
        Figure("loaded_rate", "enqueues/s"),
        Figure("loaded_busy", "of a core"),
        Figure("loaded_enqueue", "us"),
    )

    def unavailable(self) -> str:
        return "" if shutil.which(_LOAD_GENERATOR) else f"no {_LOAD_GENERATOR} on PATH"

    def prepare(self) -> None:
        self._items = arguments(self.setting.jobs(30_000, 10_000))

    def measure(self, turn: int) -> dict[str, float]:
        return self._backlog() | {"trickle": self._trickle()} | self._loaded()

    def _backlog(self) -> dict[str, float]:
        number = len(self._items)
        with Nodes(self.setting.binary) as nodes:
            nodes.hold()
            memory, before_s = nodes.memory_bytes(), sum(nodes.cpu_s())
            app = FastJobs(nodes.url)
            enqueue = reference_type(app).enqueue
            for item in self._items:
                enqueue(item["user_id"], email=item["email"], template=item["template"])
            app.close()
            stored_s = sum(nodes.cpu_s())
            held = nodes.memory_bytes() - memory
            with BenchWorker(nodes) as worker:
                ready_s = sum(nodes.cpu_s())
                worker.drain_s(number)
                after_s = sum(nodes.cpu_s())
        return {
            "enqueue": (stored_s - before_s) * 1e6 / number,
            "drain": (after_s - ready_s) * 1e6 / number,
            "bytes": held / number,
        }

    def _trickle(self) -> float:
        number = self.setting.jobs(2000, 1000)
        with Nodes(self.setting.binary) as nodes, BenchWorker(nodes):
            app = FastJobs(nodes.url)
            enqueue = reference_type(app).enqueue
            enqueue(**keywords(0))
            before_s = sum(nodes.cpu_s())
            spaced(number, lambda index: enqueue(**keywords(index)))
            app.close()
            wait_until(lambda: nodes.stat("finished_total") > number, _TIMEOUT_S, "all jobs have finished")
            return (sum(nodes.cpu_s()) - before_s) * 1e6 / number

    def _loaded(self) -> dict[str, float]:
        writer = ChunkWriter()
        writer.add(writer.entry("welcome"), (), keywords(0))
        blob = writer.finish(time.time_ns() // 1_000_000)
        with Nodes(self.setting.binary) as nodes:
            (server,), (client,) = nodes.servers, nodes.clients
            script = load("enqueue")
            client.script_load(script.source)
            keys = queue_keys(NAMESPACE, nodes.queue)
            names = [getattr(keys, name) for name in script.keys]
            call = ["evalsha", script.sha, str(len(names)), *(str(name, "ascii") for name in names)]
            # Id (random for each call), jobs, priority, delay, due time, most hints; the chunk comes from the input.
            call += ["__rand_int__", "1", "0", "0", "0", "64"]
            number = self.setting.jobs(300_000, 100_000)
            load_of = ["-h", server.host, "-p", str(server.port), "-c", str(_CONNECTIONS), "-n", str(number)]
            before_s, begun = sum(nodes.cpu_s()), time.monotonic()
            output = subprocess.run(
                [_LOAD_GENERATOR, "-q", "-x", "-r", "1000000000", *load_of, *call],
                input=blob,
                capture_output=True,
                check=True,
            ).stdout.decode()
            seconds, used_s = time.monotonic() - begun, sum(nodes.cpu_s()) - before_s
            if nodes.stat("queued") < 0.99 * number:
                raise RuntimeError(f"{nodes.stat('queued')} of {number} jobs were stored")
        return {
            "loaded_rate": float(_RATE.findall(output)[-1]),
            "loaded_busy": used_s / seconds,
            "loaded_enqueue": used_s * 1e6 / number,
        }
