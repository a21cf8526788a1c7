"""The choices of a job type for the process of a job that runs longer than its timeout."""

from __future__ import annotations

from enum import StrEnum


class OnTimeout(StrEnum):
    """How a job that runs longer than its timeout is ended, and whether its process goes on."""

    #: `JobTimeout` is raised in it, and its process goes on.
    COOPERATIVE = "cooperative"
    #: `JobTimeout` is raised in it, and its process is replaced once its other jobs have ended.
    REPLACE = "replace"
    #: Nothing is raised in it: its process is killed at once, and the other jobs of the process start again.
    KILL = "kill"
