"""The statuses of jobs."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """Where a job is in its life; each job is in exactly one."""

    SCHEDULED = "scheduled"
    """Waits for its time."""
    QUEUED = "queued"
    """Ready to run, in line."""
    EXECUTING = "executing"
    """Leased by a worker: being run, or about to be."""
    RETRYING = "retrying"
    """Raised, and waits for its next run."""
    FINISHED = "finished"
    """Ran to its end; kept for a while."""
    FAILED = "failed"
    """Will not run again; its errors are kept."""
    CANCELLED = "cancelled"
    """Was cancelled, or expired, before it ran to its end."""
