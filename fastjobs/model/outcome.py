"""The reports of worker processes: runs of jobs that finished, and an outcome for each other job."""

from __future__ import annotations

from typing import NamedTuple


class Run(NamedTuple):
    """Neighbouring jobs of a chunk that finished."""

    chunk_id: str
    #: Number of jobs in the whole chunk.
    n: int
    first: int
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody calls
    #: When and where they ran, as `Board.finished_runs` packs it.
    head: bytes
    #: Eight bytes of times per job.
    columns: bytes
    #: How long they are kept in the history, in milliseconds; 0 = not at all.
    keep_ms: int


class Outcome(NamedTuple):
    """The end of a run that did not simply finish."""

    #: The ref it is leased by: of a detached job, or its chunk's id.
    ref: str
    #: Number of jobs in the chunk; 0 when the chunk cannot be read, or for a detached job.
    n: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody calls
    #: finished | retrying | scheduled | failed | cancelled
    status: str
    delay_ms: int
    priority: int
    #: How long it is kept if it finished, in milliseconds; 0 = not at all.
    keep_ms: int
    type: str
    record: bytes
    #: What to store in place of the record while the server is out of memory; b"" = the record.
    short: bytes = b""
