"""What becomes of the process of a job whose time is over: the choices of a job type."""

from __future__ import annotations

from enum import StrEnum


class OnTimeout(StrEnum):
    """What is done when a job runs longer than its timeout."""

    #: `JobTimeout` is raised in it, and its process goes on.
    COOPERATIVE = "cooperative"
    #: `JobTimeout` is raised in it, and its process is replaced once its other jobs have ended.
    REPLACE = "replace"
    #: Nothing is raised in it: its process is killed at once, and the other jobs of the process start again.
    KILL = "kill"
