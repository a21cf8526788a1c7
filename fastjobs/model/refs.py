"""How jobs, spans and detached jobs are named: the one place that reads and writes those names.

A ref names jobs in line: `<chunk id>` a chunk of one, `<chunk id>~<first>+<count>` a span of a larger chunk,
`<chunk id>~<index>` a detached job. A job's public id is its chunk's id, or `<chunk id>~<index>` in a larger chunk.
"""

from __future__ import annotations

from typing import NamedTuple

from fastjobs.errors import ConfigError, JobNotFound
from fastjobs.model.names import check_name

#: How the ids of recurring jobs' runs begin; no job id that is chosen may.
RUN_PREFIX = "recur:"


def job_id(chunk_id: str, index: int, n: int) -> str:
    """Returns the id of a job: its chunk's for a chunk of one, else `<chunk id>~<index>`."""
    return chunk_id if n == 1 else f"{chunk_id}~{index}"


def is_detached(ref: str) -> bool:
    """Whether a ref names a detached job."""
    return "~" in ref and "+" not in ref


class JobAddress(NamedTuple):
    """Which job is meant."""

    chunk_id: str
    #: Its place in the chunk.
    position: int
    #: It has to be the only one of its chunk.
    alone: bool

    @property
    def words(self) -> tuple[str, int, int]:
        """How scripts are told which job is meant."""
        return self.chunk_id, self.position, int(self.alone)

    @property
    def ref(self) -> str:
        """What it is called once it is detached."""
        return f"{self.chunk_id}~{self.position}"


def address(job_id: str) -> JobAddress:
    """Takes a job id apart.

    Raises:
        JobNotFound: no job can have this id.
    """
    chunk_id, tilde, index = job_id.partition("~")
    try:
        check_name("job id", chunk_id)
    except ConfigError as error:
        raise JobNotFound(job_id) from error
    if not tilde:
        return JobAddress(chunk_id, 0, True)
    if not (index.isascii() and index.isdecimal() and len(index) <= 3 and str(int(index)) == index):
        raise JobNotFound(job_id)
    return JobAddress(chunk_id, int(index), False)


def run_id(definition_id: str, occasion: int | str) -> str:
    """Returns the id of a run: of the one due at an instant (ms), or of one asked for, named by an id of its own."""
    return f"{RUN_PREFIX}{definition_id}:{occasion}"


def definition_of(job_id: str) -> str | None:
    """Returns the id of the definition a job is a run of; None for other jobs."""
    if not job_id.startswith(RUN_PREFIX):
        return None
    return job_id[len(RUN_PREFIX) :].rpartition(":")[0] or None
