"""One job to be enqueued, and the line that it waits in."""

from __future__ import annotations

from typing import Any, NamedTuple

from fastjobs.model.partitions import Partitioner
from fastjobs.options import Options
from fastjobs.registry import RegisteredType


class Line(NamedTuple):
    """Where a job goes and when it is due: jobs with the same line can share a chunk."""

    queue: str
    priority: int
    delay_ms: int
    due_at_ms: int
    #: The number of the partition it has to go to; None = any.
    partition: int | None = None


class Call(NamedTuple):
    """One job to be enqueued: what to run, with which arguments, and how."""

    job_type: RegisteredType
    options: Options
    #: From `line_of`: made once for all calls with the same type and options.
    line: Line
    args: tuple[Any, ...]
    kwargs: dict[str, Any] | None


def line_of(job_type: RegisteredType, options: Options, partitioner: Partitioner) -> Line:
    """Returns the line of jobs of a type with these options."""
    priority = job_type.priority if options.priority is None else options.priority
    queue, key = options.queue or job_type.queue, options.partition_key
    partition = None if key is None else partitioner.of_key(queue, key)
    return Line(queue, priority, options.delay_ms, options.due_at_ms, partition)
