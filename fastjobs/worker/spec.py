"""The start parameters of a process: everything but the app, which the process imports itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import orjson

#: Exit codes of a process.
EXIT_DONE = 0
#: Something raised in its main loop.
EXIT_FAILED = 1
EXIT_UNUSABLE = 2
#: Told to stop, and jobs were still running when the time was over: they have been given back.
EXIT_OUT_OF_TIME = 75
#: Its session is lost, or could not be closed.
EXIT_FENCED = 76


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessSpec:
    """The start parameters of one worker process."""

    #: Where the app is: "module:variable" or "path/to/file.py:variable".
    target: str
    #: Modules and packages to import beside the app's.
    include: list[str]
    #: The server to use instead of the app's; None = the app's. Not shown: it may hold a password.
    url: str | None
    #: The incarnation's id; it holds the leases.
    session: str
    #: Name of the worker, stored with run times and errors: as chosen, or "host:pid of the supervisor".
    worker: str
    #: Inherited descriptors: the progress board and the process's end of the control line.
    board_fd: int
    control_fd: int
    threads: int
    #: How many of the threads may run jobs at first; the process that it replaces may still need the others.
    seats: int
    #: Leases the process can hold at a time.
    slots: int
    #: (queue, weight or None) in order; empty = all queues of the app's job types.
    queues: list[tuple[str, int | None]]
    batch_size: int
    #: The process starts no more jobs than this; 0 = no limit.
    max_jobs: int
    shutdown_timeout_s: float
    log_level: str
    log_format: str

    def encode(self) -> str:
        """Returns the parameters as one command line argument."""
        return orjson.dumps(asdict(self)).decode()

    @staticmethod
    def decode(text: str) -> ProcessSpec:
        """Reads what `encode` made."""
        values = orjson.loads(text)
        values["queues"] = [(name, weight) for name, weight in values["queues"]]
        return ProcessSpec(**values)
