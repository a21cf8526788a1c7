"""Looks whether a server, its settings and what runs on it are fit for jobs; it only reads."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version

from fastjobs import errors
from fastjobs._core import __file__ as core_file
from fastjobs.operating.queues import Queue
from fastjobs.operating.workers import Workers
from fastjobs.store.store import Store

#: The oldest server whose commands the scripts use.
MINIMUM_VERSION = (6, 2)
#: Replies that are waited for to tell the latency.
_PINGS = 100
#: Milliseconds: the slowest of a hundred replies on a network that is fit, and on one that is hardly usable.
_SLOW_MS, _TOO_SLOW_MS = 20.0, 200.0
#: Seconds that a clock may be wrong before delays look wrong, and before leases do.
_SKEW_S, _BAD_SKEW_S = 1.0, 30.0
#: Parts of `maxmemory` in use.
_FULL, _NEARLY_FULL = 0.9, 0.75
#: Seconds that the oldest job may wait before that is worth telling.
_OLD_S = 300.0


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at.

    Attributes:
        name: of the check.
        level: how bad it is.
        text: what there is.
        advice: what to do about it; empty when nothing.
    """

    name: str
    level: Level
    text: str
    advice: str = ""


class Doctor:
    """Examines a namespace and its server.

    Args:
        store: gives the calling thread's store.
        queues: gives the names of the queues in use.
        shown_url: the server, without its password.
        now_s: this machine's clock, seconds since 1970.
    """

    def __init__(
        self,
        store: Callable[[], Store],
        queues: Callable[[], list[str]],
        shown_url: str,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._queues = queues
        self._shown_url = shown_url
        self._now_s = now_s

    def examine(self) -> list[Finding]:
        """Returns what was found, in a fixed order.

        Raises:
            Unavailable: no server answers.
            AccessDenied: it refuses the credentials.
        """
        found: list[Finding] = [self._versions()]
        # The first call connects: without a server there is nothing to examine.
        self._store().batch().ping().run()
        for check in (
            *(self._server, self._scripts, self._persistence, self._memory, self._replication),
            *(self._latency, self._clock, self._workers, self._waiting),
        ):
            try:
                found += check()
            except errors.AccessDenied as error:
                name = check.__name__.strip("_")
                found.append(
                    Finding(name, Level.WARNING, f"not told: {error}", "let this user run INFO and CONFIG GET")
                )
        return found

    def _info(self, section: str) -> dict[str, str]:
        return self._store().batch().info(section).run()

    def _setting(self, name: str) -> str | None:
        """A setting of the server; None when it does not tell."""
        try:
            return self._store().batch().setting(name).run()
        except errors.StoreError:
            return None

    def _versions(self) -> Finding:
        text = (
            f"fastjobs {version('fastjobs')}, core {core_file}, Python {platform.python_version()},"
            f" redis-py {version('redis')}"
        )
        return Finding("fastjobs", Level.OK, text)

    def _server(self) -> Iterator[Finding]:
        info = self._info("server")
        name = info.get("server_name", "redis")
        # Valkey says for which Redis it can stand in.
        speaks = info.get("redis_version", "0")
        text = f"{name} {info.get(f'{name}_version', speaks)} at {self._shown_url}"
        if tuple(int(part) for part in speaks.split(".")[:2] if part.isdigit()) < MINIMUM_VERSION:
            yield Finding("server", Level.PROBLEM, text, "use Redis 6.2 or newer, or Valkey")
        else:
            yield Finding("server", Level.OK, text)

    def _scripts(self) -> Iterator[Finding]:
        try:
            self._store().client.load_scripts()
        except errors.StoreError as error:
            yield Finding("scripts", Level.PROBLEM, str(error), "let this user run SCRIPT LOAD and EVALSHA")
        else:
            yield Finding("scripts", Level.OK, "all scripts can be loaded")

    def _persistence(self) -> Iterator[Finding]:
        info = self._info("persistence")
        fsync = self._setting("appendfsync")
        if info.get("aof_enabled") == "1":
            if info.get("aof_last_write_status", "ok") != "ok":
                yield Finding("persistence", Level.PROBLEM, "the last write to the AOF failed", "look at the disk")
            elif fsync == "no":
                yield Finding(
                    "persistence",
                    Level.WARNING,
                    "AOF is on, appendfsync no: a power failure loses what the system has not written yet",
                    "set appendfsync everysec, or always",
                )
            else:
                yield Finding("persistence", Level.OK, f"AOF is on, appendfsync {fsync or 'not told'}")
        elif self._setting("save"):
            text = "AOF is off: a crash loses the jobs since the last snapshot"
            yield Finding("persistence", Level.WARNING, text, "set appendonly yes")
        else:
            text = "neither AOF nor snapshots are on: a restart of the server loses all jobs"
            yield Finding("persistence", Level.PROBLEM, text, "set appendonly yes")
        if info.get("rdb_last_bgsave_status", "ok") != "ok":
            text = "the last snapshot failed: the server may refuse writes"
            yield Finding("persistence", Level.PROBLEM, text, "look at the server's log and its disk")

    def _memory(self) -> Iterator[Finding]:
        info = self._info("memory")
        limit, used = int(info.get("maxmemory", 0)), int(info.get("used_memory", 0))
        policy = info.get("maxmemory_policy", "noeviction")
        if policy != "noeviction":
            level = Level.PROBLEM if limit else Level.WARNING
            text = f"maxmemory-policy is {policy}: a full server throws jobs away"
            yield Finding("eviction", level, text, "set maxmemory-policy noeviction")
        else:
            yield Finding("eviction", Level.OK, "maxmemory-policy is noeviction")
        what = "of maxmemory" if limit else "of the machine's memory"
        limit = limit or int(info.get("total_system_memory", 0))
        if not limit:
            return
        text = f"{used / limit:.0%} {what} is in use"
        if used >= _NEARLY_FULL * limit:
            level = Level.PROBLEM if used >= _FULL * limit else Level.WARNING
            yield Finding(
                "memory", level, text, "raise maxmemory, add workers, or keep less (finished_keep, failed_keep)"
            )
        else:
            yield Finding("memory", Level.OK, text)

    def _replication(self) -> Iterator[Finding]:
        info, config = self._info("replication"), self._store().config
        connected = int(info.get("connected_slaves", 0))
        if info.get("role") == "slave":
            text = "this is a replica: it refuses writes"
            yield Finding("replication", Level.PROBLEM, text, "connect to the primary, or through Sentinel")
        elif config.durability == "replicated" and connected < config.replicas:
            text = f"{connected} replicas are connected, durability asks for {config.replicas}: enqueuing fails"
            yield Finding("replication", Level.PROBLEM, text, "start replicas, or choose another durability")
        elif config.durability == "replicated" and self._setting("min-replicas-to-write") == "0":
            text = f"{connected} replicas are connected, min-replicas-to-write is 0: a primary that was cut off goes on"
            yield Finding("replication", Level.WARNING, text, f"set min-replicas-to-write {config.replicas}")
        else:
            yield Finding("replication", Level.OK, f"{connected} replicas are connected")

    def _latency(self) -> Iterator[Finding]:
        taken_ms = []
        for _ in range(_PINGS):
            begun = time.perf_counter()
            self._store().batch().ping().run()
            taken_ms.append((time.perf_counter() - begun) * 1000)
        taken_ms.sort()
        median, slow = taken_ms[_PINGS // 2], taken_ms[_PINGS * 99 // 100]
        text = f"p50 {median:.2f} ms, p99 {slow:.2f} ms of {_PINGS} pings"
        if slow < _SLOW_MS:
            yield Finding("latency", Level.OK, text)
        else:
            level = Level.PROBLEM if slow >= _TOO_SLOW_MS else Level.WARNING
            yield Finding("latency", level, text, "bring worker and server together, or look what else keeps it busy")

    def _clock(self) -> Iterator[Finding]:
        before = self._now_s()
        theirs = self._store().batch().time_us().run() / 1e6
        after = self._now_s()
        # What lies between the two looks at our own clock is no skew.
        skew = max(before - theirs, theirs - after, 0.0)
        text = f"this machine's clock and the server's differ by {skew:.3f} s"
        if skew < _SKEW_S:
            yield Finding("clock", Level.OK, text)
        else:
            yield Finding("clock", Level.PROBLEM if skew >= _BAD_SKEW_S else Level.WARNING, text, "run an NTP client")

    def _workers(self) -> Iterator[Finding]:
        workers = Workers(self._store).list()
        lease_s = self._store().config.lease_ms / 1000
        alive = [worker for worker in workers if worker.age.total_seconds() <= lease_s and not worker.quiet]
        served = {name for worker in alive for name in worker.queues}
        if not alive:
            yield Finding("workers", Level.WARNING, "no worker is alive", "start fastjobs-worker")
            return
        yield Finding("workers", Level.OK, f"{len(alive)} alive: {', '.join(worker.name for worker in alive)}")
        unserved = [name for name in self._queues() if name not in served]
        if unserved:
            text = f"no worker works on {', '.join(unserved)}"
            yield Finding("workers", Level.WARNING, text, "start fastjobs-worker -Q with these queues")

    def _waiting(self) -> Iterator[Finding]:
        names = self._queues()
        paused = [name for name in names if Queue(self._store, name).paused]
        if paused:
            text = f"paused: {', '.join(paused)}"
            yield Finding("queues", Level.WARNING, text, "fastjobs queue resume, when the reason is gone")
        else:
            yield Finding("queues", Level.OK, f"{len(names)} in use, none is paused")
        ages = {name: Queue(self._store, name).latency().total_seconds() for name in names}
        name = max(ages, key=ages.__getitem__, default="")
        if not name or not ages[name]:
            yield Finding("oldest job", Level.OK, "no job is waiting in line")
        elif ages[name] < _OLD_S:
            yield Finding("oldest job", Level.OK, f"has been waiting in {name} for {ages[name]:.1f} s")
        else:
            text = f"has been waiting in {name} for {ages[name]:,.0f} s"
            yield Finding(
                "oldest job", Level.WARNING, text, "add workers, or look what keeps them: fastjobs workers ls"
            )
