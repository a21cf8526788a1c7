"""Compares everything that is stored of a queue with everything else, and puts right what does not fit.

A survey is taken while no job moves: in one step of a small queue, in pages of a large one, and again when something
moved meanwhile. Repairs are written in steps that do nothing when a job has moved since the survey; then there is a
new survey. So it is safe while workers and producers are at work; a large queue that never rests has to be paused.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from fastjobs._core import Chunk
from fastjobs.errors import ChunkError
from fastjobs.model.names import check_name
from fastjobs.model.partitions import queue_of
from fastjobs.operating.fsck.contents import (
    HASHES,
    ZSETS,
    ChunkHead,
    Contents,
    Place,
    read_lease,
    read_ready,
    read_scheduled,
)
from fastjobs.operating.fsck.plan import MAX_NAMED, Finding, Plan, Write, make_plan
from fastjobs.server.backoff import Backoff
from fastjobs.store.keys import QUEUE_KEYS
from fastjobs.store.sealing import sealed_jobs
from fastjobs.store.store import Store

#: Up to so many entries and bytes a queue is read in one step: a few milliseconds of the server.
_SMALL_ENTRIES = 2_000
_SMALL_BYTES = 2 << 20
#: Entries and bytes per page of larger ones.
_PAGE_ENTRIES = 1_000
_PAGE_BYTES = 256 << 10
#: Entries of the first page of a key: it tells how large they are.
_FIRST_ENTRIES = 16
#: Changes and bytes per step of a repair.
_STEP_WRITES = 300
_STEP_BYTES = 512 << 10
#: A queue that needs more rounds of repair is being damaged while it is repaired.
_MAX_ROUNDS = 20
#: Seconds between two looks for a moment in which nothing moves; such moments are short.
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.001, 0.05
#: The order in which keys are read: a session that is closed meanwhile takes what it held with it.
_ORDER = ("stats", "sessions", "leases", *sorted({*HASHES, *ZSETS} - {"stats", "sessions", "leases"}))


@dataclass(slots=True)
class Report:
    """What was found in one queue.

    Attributes:
        queue: its name.
        status: clean; drift (found, not repaired); repaired; or busy: it did not rest for long enough to be compared.
        findings: what was not as it has to be.
        miscounted: name of a counter -> (what it said, how many there are).
        changes: key -> how many of its entries differ from what they should be.
    """

    queue: str
    status: str = "clean"
    findings: list[Finding] = field(default_factory=list)
    miscounted: dict[str, tuple[str, int]] = field(default_factory=dict)
    changes: Counter[str] = field(default_factory=Counter)

    @property
    def lost(self) -> int:
        """How many jobs are lost."""
        return sum(finding.jobs for finding in self.findings if finding.lost)

    def _add(self, plan: Plan, rescues: list[_Rescue]) -> None:
        if rescues:
            ids = [rescue.write.name.decode("utf-8", "replace") for rescue in rescues]
            self.findings.append(Finding("chunks whose place in line was damaged have one again", 0, ids[:MAX_NAMED]))
        known = {finding.what: finding for finding in self.findings}
        for finding in plan.findings:
            if finding.what in known:
                known[finding.what].jobs += finding.jobs
                known[finding.what].ids += finding.ids[: MAX_NAMED - len(known[finding.what].ids)]
            else:
                self.findings.append(finding)
        for name, values in plan.miscounted.items():
            self.miscounted.setdefault(name, values)
        self.changes.update(write.key for write in (*plan.writes, *plan.counters, *(one.write for one in rescues)))


@dataclass(slots=True)
class _Survey:
    contents: Contents
    stillness: bytes
    now_ms: int


@dataclass(slots=True)
class _Rescue:
    """A chunk of which only what stands before it was damaged."""

    write: Write
    before: bytes


class Fsck:
    """Checks and repairs a queue.

    Args:
        store: gives the calling thread's store.
        queue: which queue, or partition of one.
        patience_s: seconds to wait for a moment in which nothing moves.
    """

    def __init__(self, store: Callable[[], Store], queue: str, patience_s: float = 10.0) -> None:
        self._store = store
        self._queue = queue
        check_name("queue", queue_of(queue))
        self._patience_s = patience_s

    def check(self) -> Report:
        """Compares, and changes nothing."""
        report = Report(self._queue)
        survey = self._take_survey(time.monotonic() + self._patience_s)
        if survey is None:
            report.status = "busy"
            return report
        plan, rescues = self._plan(survey)
        if not plan.clean or rescues:
            report.status = "drift"
            report._add(plan, rescues)
        return report

    def repair(self) -> Report:
        """Compares, and puts right what does not fit."""
        report = Report(self._queue)
        deadline = time.monotonic() + self._patience_s
        backoff = Backoff(_FIRST_WAIT_S, _LONGEST_WAIT_S)
        for _ in range(_MAX_ROUNDS):
            survey = self._take_survey(deadline)
            if survey is None:
                report.status = "busy"
                return report
            plan, rescues = self._plan(survey)
            if plan.clean and not rescues:
                report.status = "repaired" if report.changes else "clean"
                return report
            if self._carry_out(survey, plan, rescues):
                report._add(plan, rescues)
                deadline = time.monotonic() + self._patience_s
            elif time.monotonic() > deadline:
                report.status = "busy"
                return report
            else:
                time.sleep(backoff.next_s())
        report.status = "drift"
        return report

    # Reading.

    def _take_survey(self, deadline: float) -> _Survey | None:
        """Reads everything at one instant, or while nothing moves; None when there was no such moment."""
        backoff = Backoff(_FIRST_WAIT_S, _LONGEST_WAIT_S)
        while True:
            survey = self._read_at_once() or self._read_in_pages()
            if survey is not None or time.monotonic() > deadline:
                return survey
            time.sleep(backoff.next_s())

    def _read_at_once(self) -> _Survey | None:
        batch = self._store().batch().command("TIME").survey(self._queue, "", b"0", _SMALL_ENTRIES, _SMALL_BYTES)
        now, reply = batch.run()
        stillness, large, *keys = reply
        if large:
            return None
        contents = Contents()
        for name, entries in zip(QUEUE_KEYS, keys, strict=True):
            contents.keys[name] = dict(zip(entries[::2], entries[1::2], strict=True))
        return _Survey(contents, stillness, _milliseconds(now))

    def _read_in_pages(self) -> _Survey | None:
        contents = Contents()
        first: bytes | None = None
        for name in _ORDER:
            for stillness, entries in self._pages(name):
                first = stillness if first is None else first
                if stillness != first:
                    return None
                contents[name].update(zip(entries[::2], entries[1::2], strict=True))
        # What was read last may have been read after a change of the counters: they tell again.
        now, reply = self._store().batch().command("TIME").survey(self._queue, "stats", b"0", 1, 0).run()
        return _Survey(contents, reply[0], _milliseconds(now)) if first == reply[0] else None

    def _pages(self, name: str) -> Iterator[tuple[bytes, list[bytes]]]:
        cursor, count = b"0", _FIRST_ENTRIES
        while True:
            batch = self._store().batch().survey(self._queue, name, cursor, count, 0)
            ((stillness, cursor, entries, size),) = batch.run()
            yield stillness, entries
            if cursor == b"0":
                return
            # Entries differ in size: the next page is about as many bytes as a page should be.
            count = max(1, min(_PAGE_ENTRIES, 2 * count, count * _PAGE_BYTES // max(1, size)))

    # Chunks of which only the beginning is damaged.

    def _plan(self, survey: _Survey) -> tuple[Plan, list[_Rescue]]:
        rescues = [rescue for rescue in map(self._rescue, *self._damaged(survey)) if rescue is not None]
        for rescue in rescues:
            assert rescue.write.value is not None
            survey.contents["chunks"][rescue.write.name] = rescue.write.value
        store = self._store()
        seal = partial(store.keyring.seal_record, self._queue)
        return make_plan(survey.contents, survey.now_ms, store.config.finished_keep_ms, seal), rescues

    def _damaged(self, survey: _Survey) -> tuple[list[bytes], list[Place]]:
        heads = {name: ChunkHead.parse(value) for name, value in survey.contents["chunks"].items()}
        names = [name for name, head in heads.items() if head is None or head.packed_n != head.n]
        if not names:
            return [], []
        places = dict(_places(survey.contents))
        anew = Place(b"0", b"%013x" % (survey.now_ms * 1000))
        return names, [head.place if (head := heads[name]) else places.get(name, anew) for name in names]

    def _rescue(self, name: bytes, place: Place) -> _Rescue | None:
        """Finds the packed chunk in what is stored; None when there is none that can be read, or nothing is wrong."""
        store = self._store()
        (stored,) = store.batch().command("HGET", store.keys(self._queue).chunks, name).run()
        for match in re.finditer(rb"FJ", stored or b""):
            packed = stored[match.start() :]
            try:
                # What is sealed need not be opened for this.
                n = sealed_jobs(packed) or Chunk.decode(packed).n
            except ChunkError:
                continue
            value = b"%s %s %d %s" % (*place, n, packed)
            return None if value == stored else _Rescue(Write("chunks", name, value), stored)
        return None

    # Writing.

    def _carry_out(self, survey: _Survey, plan: Plan, rescues: list[_Rescue]) -> bool:
        """Writes step by step; False when not even the first step was possible."""
        stillness = survey.stillness
        steps = [([("chunks", rescue.write.name, rescue.before)], [rescue.write]) for rescue in rescues]
        steps += [(_expectations(survey, writes), writes) for writes in _in_steps(plan.writes)]
        if plan.counters or not steps:
            steps.append(([], []))
        steps[-1] = (steps[-1][0], [*steps[-1][1], *plan.counters])
        for number, (expected, writes) in enumerate(steps):
            batch = self._store().batch().amend(self._queue, stillness, expected, map(_as_written, writes))
            (stillness,) = batch.run()
            if not stillness:
                return number > 0
        return True


def _milliseconds(now: Any) -> int:
    seconds, microseconds = now
    return int(seconds) * 1000 + int(microseconds) // 1000


def _places(contents: Contents) -> Iterator[tuple[bytes, Place]]:
    """Chunk ids and the places at which their jobs are met."""
    members = [read_ready(name, score) for name, score in contents["ready"].items()]
    members += map(read_scheduled, contents["scheduled"])
    for name, value in contents["leases"].items():
        members += read_lease(value) if b":" in name else ()
    for member in members:
        if member is not None:
            yield member.ref.id, member.place


def _in_steps(writes: list[Write]) -> Iterator[list[Write]]:
    step: list[Write] = []
    size = 0
    for write in writes:
        step.append(write)
        size += len(write.name) + len(write.value or b"")
        if len(step) >= _STEP_WRITES or size >= _STEP_BYTES:
            yield step
            step, size = [], 0
    if step:
        yield step


def _expectations(survey: _Survey, writes: list[Write]) -> list[tuple[str, bytes, bytes]]:
    """Definitions of recurring jobs change without a job that moves: they have to be as they were."""
    recurring = survey.contents["recurring"]
    keys = ("recurring", "recurring_due")
    return [
        ("recurring", write.name, recurring[write.name])
        for write in writes
        if write.key in keys and write.name in recurring
    ]


def _as_written(write: Write) -> tuple[str, str, bytes, bytes]:
    kind = "zset" if write.key in ZSETS else "hash"
    action = "remove" if write.value is None else "set"
    return f"{action}_{kind}", write.key, write.name, write.value or b""
