"""How long a job may run, and until when it may be started: pure arithmetic.

The worker turns these into instants of its own clock when it leases the job.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a job; 0 = none.

    Attributes:
        timeout_ms: how long a run may take.
        expires_ms: how long it may wait, from its place in line: when it was enqueued, or became due.
        expires_at_ms: or until when, in milliseconds since 1970.
    """

    timeout_ms: int = 0
    expires_ms: int = 0
    expires_at_ms: int = 0

    def __bool__(self) -> bool:
        return bool(self.timeout_ms or self.expires_ms or self.expires_at_ms)

    def last_start_ms(self, sequence_us: int) -> int:
        """Returns until when the job may be started, in milliseconds since 1970 by the server's clock; 0 = always.

        Args:
            sequence_us: its place in line, in microseconds since 1970 by the server's clock.
        """
        if self.expires_ms:
            return sequence_us // 1000 + self.expires_ms
        return self.expires_at_ms
