"""Checks whether a server, its settings and the workers are fit for jobs; it only reads."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from importlib.metadata import version

from fastjobs import errors
from fastjobs._core import __file__ as core_file
from fastjobs.operating.queues import Queue
from fastjobs.operating.workers import Workers
from fastjobs.store.store import Store

#: The oldest server that has all commands of the scripts.
MINIMUM_VERSION = (6, 2)
#: Replies over which the latency is measured.
_REPLIES = 100
#: Milliseconds for the 99th of a hundred replies: slower than a fit network, and hardly usable.
_SLOW_MS, _TOO_SLOW_MS = 20.0, 200.0
#: Seconds that a clock may be wrong before delays look wrong, and before leases do.
_SKEW_S, _BAD_SKEW_S = 1.0, 30.0
#: Parts of the memory in use.
_NEARLY_FULL, _FULL = 0.75, 0.9
#: Seconds that the oldest job may wait in line.
_OLD_S = 300.0


class Check(StrEnum):
    """The checks; docs/repair.md has the same list."""

    FASTJOBS = "fastjobs"
    SERVER = "server"
    SCRIPTS = "scripts"
    PERSISTENCE = "persistence"
    EVICTION = "eviction"
    MEMORY = "memory"
    REPLICATION = "replication"
    LATENCY = "latency"
    CLOCK = "clock"
    WORKERS = "workers"
    QUEUES = "queues"
    OLDEST_JOB = "oldest job"


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The outcome of a check.

    Attributes:
        name: of the check.
        level: how bad it is.
        text: what the check found.
        advice: what to do about it; empty when nothing.
    """

    name: Check
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

    def examine(self) -> list[Diagnosis]:
        """Returns the outcomes of all checks, in the order of `Check`; a check may have several.

        A check that the server's user has no right to make is a warning that names the right.

        Raises:
            Unavailable: no server answers.
            AccessDenied: it refuses the credentials, or a right is missing that every connection needs.
        """
        # The first call connects: without a server there is nothing to examine.
        try:
            self._store().batch().time_us().run()
        except errors.AccessDenied as error:
            if error.missing_right != "+time":
                raise
        checks = {
            Check.FASTJOBS: self._versions,
            Check.SERVER: self._server,
            Check.SCRIPTS: self._scripts,
            Check.PERSISTENCE: self._persistence,
            Check.EVICTION: self._eviction,
            Check.MEMORY: self._memory,
            Check.REPLICATION: self._replication,
            Check.LATENCY: self._latency,
            Check.CLOCK: self._clock,
            Check.WORKERS: self._workers,
            Check.QUEUES: self._paused,
            Check.OLDEST_JOB: self._oldest_job,
        }
        return [diagnosis for name, check in checks.items() for diagnosis in _outcomes(name, check)]

    def _info(self, section: str) -> dict[str, str]:
        return self._store().batch().info(section).run()

    def _setting(self, name: str) -> str | None:
        """A setting of the server; None when it has none of this name.

        Raises:
            AccessDenied: this user may not read it, like the one that docs/redis.md describes.
        """
        return self._store().batch().setting(name).run()

    def _versions(self) -> Iterator[Diagnosis]:
        mine, python, redis = version("fastjobs"), platform.python_version(), version("redis")
        yield _ok(Check.FASTJOBS, f"fastjobs {mine}, core {core_file}, Python {python}, redis-py {redis}")

    def _server(self) -> Iterator[Diagnosis]:
        info = self._info("server")
        name = info.get("server_name", "redis")
        # Valkey reports the version of Redis that it is compatible with.
        speaks = info.get("redis_version", "0")
        text = f"{name} {info.get(f'{name}_version', speaks)} at {self._shown_url}"
        if tuple(int(part) for part in speaks.split(".")[:2] if part.isdigit()) < MINIMUM_VERSION:
            yield _problem(Check.SERVER, text, "use Redis 6.2 or newer, or Valkey")
        else:
            yield _ok(Check.SERVER, text)

    def _scripts(self) -> Iterator[Diagnosis]:
        try:
            self._store().client.load_scripts()
        except errors.StoreError as error:
            yield _problem(Check.SCRIPTS, str(error), "let this user run SCRIPT LOAD and EVALSHA")
        else:
            yield _ok(Check.SCRIPTS, "all scripts can be loaded")

    def _persistence(self) -> Iterator[Diagnosis]:
        info = self._info("persistence")
        yield self._aof(info) if info.get("aof_enabled") == "1" else self._without_aof()
        if info.get("rdb_last_bgsave_status", "ok") != "ok":
            text = "the last snapshot failed: the server may refuse writes"
            yield _problem(Check.PERSISTENCE, text, "look at the server's log and its disk")

    def _aof(self, info: dict[str, str]) -> Diagnosis:
        if info.get("aof_last_write_status", "ok") != "ok":
            return _problem(Check.PERSISTENCE, "the last write to the AOF failed", "look at the disk")
        try:
            fsync = self._setting("appendfsync")
        except errors.AccessDenied as error:
            return _unchecked(Check.PERSISTENCE, "AOF is on; appendfsync was not checked", error)
        if fsync == "no":
            text = "AOF is on, appendfsync no: a power failure loses what is not on the disk yet"
            return _warning(Check.PERSISTENCE, text, "set appendfsync everysec, or always")
        return _ok(Check.PERSISTENCE, f"AOF is on, appendfsync {fsync or 'unknown'}")

    def _without_aof(self) -> Diagnosis:
        advice = "set appendonly yes"
        try:
            snapshots = self._setting("save")
        except errors.AccessDenied as error:
            text = "AOF is off: a crash loses jobs; whether there are snapshots was not checked"
            unchecked = _unchecked(Check.PERSISTENCE, text, error)
            return replace(unchecked, advice=f"{advice}; {unchecked.advice}")
        if snapshots:
            text = "AOF is off: a crash loses the jobs since the last snapshot"
            return _warning(Check.PERSISTENCE, text, advice)
        text = "neither AOF nor snapshots are on: a restart of the server loses all jobs"
        return _problem(Check.PERSISTENCE, text, advice)

    def _eviction(self) -> Iterator[Diagnosis]:
        info = self._info("memory")
        policy = info.get("maxmemory_policy", "noeviction")
        if policy == "noeviction":
            yield _ok(Check.EVICTION, "maxmemory-policy is noeviction")
            return
        text = f"maxmemory-policy is {policy}: a full server deletes jobs"
        level = Level.PROBLEM if int(info.get("maxmemory", 0)) else Level.WARNING
        yield Diagnosis(Check.EVICTION, level, text, "set maxmemory-policy noeviction")

    def _memory(self) -> Iterator[Diagnosis]:
        info = self._info("memory")
        limit, used = int(info.get("maxmemory", 0)), int(info.get("used_memory", 0))
        what = "of maxmemory" if limit else "of the machine's memory"
        limit = limit or int(info.get("total_system_memory", 0))
        if limit:
            advice = "raise maxmemory, add workers, or keep less (finished_keep, failed_keep)"
            text = f"{used / limit:.0%} {what} is in use"
            yield _graded(Check.MEMORY, used / limit, _NEARLY_FULL, _FULL, text, advice)

    def _replication(self) -> Iterator[Diagnosis]:
        info, config = self._info("replication"), self._store().config
        connected = int(info.get("connected_slaves", 0))
        replicated = config.durability == "replicated"
        if info.get("role") == "slave":
            text = "this is a replica: it refuses writes"
            yield _problem(Check.REPLICATION, text, "connect to the primary, or through Sentinel")
        elif replicated and connected < config.replicas:
            text = f"{connected} replicas are connected, durability asks for {config.replicas}: enqueuing fails"
            yield _problem(Check.REPLICATION, text, "start replicas, or choose another durability")
        elif replicated:
            yield self._replicated(connected)
        else:
            yield _ok(Check.REPLICATION, f"{connected} replicas are connected")

    def _replicated(self, connected: int) -> Diagnosis:
        text = f"{connected} replicas are connected"
        try:
            needed = self._setting("min-replicas-to-write")
        except errors.AccessDenied as error:
            return _unchecked(Check.REPLICATION, f"{text}; min-replicas-to-write was not checked", error)
        if needed == "0":
            text = f"{text}, min-replicas-to-write is 0: a primary that is cut off goes on"
            return _warning(Check.REPLICATION, text, f"set min-replicas-to-write {self._store().config.replicas}")
        return _ok(Check.REPLICATION, text)

    def _latency(self) -> Iterator[Diagnosis]:
        taken_ms = sorted(self._reply_ms() for _ in range(_REPLIES))
        median_ms, slow_ms = taken_ms[_REPLIES // 2], taken_ms[_REPLIES * 99 // 100]
        text = f"p50 {median_ms:.2f} ms, p99 {slow_ms:.2f} ms of {_REPLIES} replies"
        advice = "run workers closer to the server, or find out what else keeps it busy"
        yield _graded(Check.LATENCY, slow_ms, _SLOW_MS, _TOO_SLOW_MS, text, advice)

    def _reply_ms(self) -> float:
        begun = time.perf_counter()
        self._store().batch().time_us().run()
        return (time.perf_counter() - begun) * 1000

    def _clock(self) -> Iterator[Diagnosis]:
        before = self._now_s()
        theirs = self._store().batch().time_us().run() / 1e6
        after = self._now_s()
        # The server read its clock at some time between our two readings: a difference within them is no skew.
        skew_s = max(before - theirs, theirs - after, 0.0)
        text = f"this machine's clock and the server's differ by {skew_s:.3f} s"
        yield _graded(Check.CLOCK, skew_s, _SKEW_S, _BAD_SKEW_S, text, "run an NTP client")

    def _workers(self) -> Iterator[Diagnosis]:
        lease_s = self._store().config.lease_ms / 1000
        alive = [one for one in Workers(self._store).list() if one.age.total_seconds() <= lease_s and not one.quiet]
        if not alive:
            yield _warning(Check.WORKERS, "no worker is alive", "start fastjobs-worker")
            return
        yield _ok(Check.WORKERS, f"{len(alive)} alive: {', '.join(worker.name for worker in alive)}")
        served = {name for worker in alive for name in worker.queues}
        unserved = [name for name in self._queues() if name not in served]
        if unserved:
            text = f"no worker works on {', '.join(unserved)}"
            yield _warning(Check.WORKERS, text, "start fastjobs-worker -Q with these queues")

    def _paused(self) -> Iterator[Diagnosis]:
        names = self._queues()
        paused = [name for name in names if Queue(self._store, name).paused]
        if paused:
            text = f"paused: {', '.join(paused)}"
            yield _warning(Check.QUEUES, text, "resume them with fastjobs queue resume when the reason is gone")
        else:
            yield _ok(Check.QUEUES, f"{len(names)} in use, none is paused")

    def _oldest_job(self) -> Iterator[Diagnosis]:
        ages_s = {name: Queue(self._store, name).latency().total_seconds() for name in self._queues()}
        name = max(ages_s, key=ages_s.__getitem__, default="")
        if not name or not ages_s[name]:
            yield _ok(Check.OLDEST_JOB, "no job is waiting in line")
        elif ages_s[name] < _OLD_S:
            yield _ok(Check.OLDEST_JOB, f"has been waiting in {name} for {ages_s[name]:.1f} s")
        else:
            text = f"has been waiting in {name} for {ages_s[name]:,.0f} s"
            advice = "add workers, or find out what keeps them busy: fastjobs workers ls"
            yield _warning(Check.OLDEST_JOB, text, advice)


def _outcomes(name: Check, check: Callable[[], Iterator[Diagnosis]]) -> Iterator[Diagnosis]:
    try:
        yield from check()
    except errors.AccessDenied as error:
        yield _unchecked(name, "not checked", error)
    except errors.ConnectionLost:
        raise
    except errors.StoreError as error:
        # What is wrong with one key or queue must not keep the other checks from being made.
        yield _problem(name, f"not checked: {error}", "find out what the server means")


def _ok(name: Check, text: str) -> Diagnosis:
    return Diagnosis(name, Level.OK, text)


def _warning(name: Check, text: str, advice: str) -> Diagnosis:
    return Diagnosis(name, Level.WARNING, text, advice)


def _unchecked(name: Check, text: str, error: errors.AccessDenied) -> Diagnosis:
    """What could not be checked for want of a right."""
    right = error.missing_right
    advice = f"give this user the right {right}" if right else "give this user the rights that docs/redis.md lists"
    return _warning(name, f"{text}: {error}", advice)


def _problem(name: Check, text: str, advice: str) -> Diagnosis:
    return Diagnosis(name, Level.PROBLEM, text, advice)


def _graded(name: Check, value: float, warn_at: float, problem_at: float, text: str, advice: str) -> Diagnosis:
    """The outcome of a measurement: advice is given from `warn_at` on."""
    if value < warn_at:
        return _ok(name, text)
    return Diagnosis(name, Level.PROBLEM if value >= problem_at else Level.WARNING, text, advice)
