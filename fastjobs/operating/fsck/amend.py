"""Carries out a plan: writes step by step, each of which does nothing when a job has moved since the survey."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from fastjobs.operating.fsck.contents import ZSETS, Write
from fastjobs.operating.fsck.plan import Plan
from fastjobs.operating.fsck.survey import Survey
from fastjobs.store.store import Store

#: Changes and bytes per step.
_STEP_WRITES = 300
_STEP_BYTES = 512 << 10


class _Step(NamedTuple):
    writes: list[Write]
    #: (key, field, value) of hashes that have to be as they were.
    expected: Sequence[tuple[str, bytes, bytes]] = ()


def amend(store: Callable[[], Store], partition: str, survey: Survey, plan: Plan) -> bool:
    """Writes what a plan says; False when not even the first step was possible."""
    stillness = survey.stillness
    for number, step in enumerate(_steps(survey, plan)):
        amended = store().batch().amend(partition, stillness, step.expected, map(_as_written, step.writes))
        stillness = amended.run()
        if not stillness:
            return number > 0
    return True


def _steps(survey: Survey, plan: Plan) -> list[_Step]:
    """All steps; the counters are written with the last one."""
    steps = [_Step([rescue.write], [("chunks", rescue.write.field, rescue.before)]) for rescue in plan.rescues]
    steps += [_Step(writes, _expectations(survey, writes)) for writes in _cut(plan.writes)]
    if plan.miscounts or not steps:
        steps.append(_Step([]))
    steps[-1].writes.extend(miscount.write for miscount in plan.miscounts)
    return steps


def _cut(writes: Sequence[Write]) -> Iterator[list[Write]]:
    """Cuts writes into steps of a bounded size."""
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


def _expectations(survey: Survey, writes: Sequence[Write]) -> list[tuple[str, bytes, bytes]]:
    """Definitions of recurring jobs change without a job that moves: they have to be as they were."""
    recurring = survey.contents["recurring"]
    return [
        ("recurring", write.field, recurring[write.name])
        for write in writes
        if write.key in ("recurring", "recurring_due") and write.name in recurring
    ]


def _as_written(write: Write) -> tuple[str, str, bytes, bytes]:
    kind = "zset" if write.key in ZSETS else "hash"
    action = "remove" if write.value is None else "set"
    return f"{action}_{kind}", write.key, write.field, write.value or b""
