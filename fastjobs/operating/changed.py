"""Counts what an operation on many jobs did, and what it had to leave as it was."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from fastjobs.errors import ChunkError, InternalError, NewerLayout, StoreError, WrongKeyType

#: So many reasons are kept.
_KEPT_REASONS = 10
#: Errors that are about one job or one queue: others may be changed all the same.
OF_ONE_JOB = (ChunkError, InternalError, NewerLayout, WrongKeyType)


class Changed(int):
    """How many jobs an operation changed: an `int` that also says what was skipped.

    Attributes:
        skipped: number of jobs, and of queues, that could not be changed: their records cannot be read, or are of a
            newer release, or are sealed with a key that this app does not have.
        reasons: (job id or `queue <name>`, why) of the first ten of them.
    """

    skipped: int
    reasons: list[tuple[str, str]]

    def __new__(cls, changed: int, skipped: int = 0, reasons: Iterable[tuple[str, str]] = ()) -> Changed:
        """Makes it of the numbers and the first reasons."""
        made = super().__new__(cls, changed)
        made.skipped, made.reasons = skipped, list(reasons)[:_KEPT_REASONS]
        return made


class Tally:
    """Counts jobs as they are changed or skipped."""

    def __init__(self) -> None:
        self._changed = 0
        self._skipped = 0
        self._reasons: list[tuple[str, str]] = []

    def count(self, done: bool) -> None:
        """Counts a job if it was changed; one that has ended or gone meanwhile is neither changed nor skipped."""
        self._changed += done

    def add(self, changed: Changed) -> None:
        """Adds what was counted elsewhere."""
        self._changed += changed
        self._skipped += changed.skipped
        self._reasons += changed.reasons[: _KEPT_REASONS - len(self._reasons)]

    @contextmanager
    def skipping(self, name: str) -> Iterator[None]:
        """Skips the job that its block is about if it cannot be changed, and keeps the reason."""
        try:
            yield
        except OF_ONE_JOB as error:
            self._skip(name, error)
        except StoreError as error:
            # A refusal without a class of its own is the answer of one script; the others concern all of them.
            if type(error) is not StoreError:
                raise
            self._skip(name, error)

    def changed(self) -> Changed:
        """Returns the numbers so far."""
        return Changed(self._changed, self._skipped, self._reasons)

    def _skip(self, name: str, error: Exception) -> None:
        self.add(Changed(0, 1, [(name, f"{type(error).__name__}: {error}")]))
