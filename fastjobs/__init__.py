"""fastjobs: persistent background jobs on Redis or Valkey, enqueued and executed in chunks."""

try:
    import fastjobs._core as _core  # noqa: F401, PLR0402 - `from` would not name what is missing
except ModuleNotFoundError as _error:
    if _error.name != "fastjobs._core":
        raise
    raise ImportError(
        "fastjobs is not compiled here: install it with `pip install .`, or in a checkout run"
        " `pip install -e .`; it has no slow fallback"
    ) from None

from fastjobs.app import FastJobs
from fastjobs.context import Context
from fastjobs.errors import (
    ConfigError,
    Discard,
    EnqueueUnknown,
    FastJobsError,
    JobCancelled,
    JobError,
    JobIdConflict,
    JobNotFound,
    JobStateError,
    JobTimeout,
    NotEnqueued,
    PayloadError,
    PayloadTooLarge,
    PoolNotStarted,
    RecurringNotFound,
    Retry,
    StoreError,
)
from fastjobs.job import Job, JobIds
from fastjobs.jobtypes import JobType
from fastjobs.model.secret import Secret
from fastjobs.model.status import Status
from fastjobs.operating.recurring import Recurring
from fastjobs.worker.pool import Pool

__version__ = "0.1.0"

__all__ = [  # noqa: RUF022 - grouped by what they are for
    # The app and its jobs
    "FastJobs",
    "JobType",
    "Job",
    "JobIds",
    "Status",
    "Recurring",
    "Pool",
    "Context",
    "Secret",
    # For handlers to raise
    "Retry",
    "Discard",
    # Raised in handlers
    "JobTimeout",
    "JobCancelled",
    # Errors
    "FastJobsError",
    "ConfigError",
    "JobError",
    "PayloadError",
    "PayloadTooLarge",
    "JobIdConflict",
    "JobNotFound",
    "JobStateError",
    "RecurringNotFound",
    "StoreError",
    "NotEnqueued",
    "EnqueueUnknown",
    "PoolNotStarted",
]
