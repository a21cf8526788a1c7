"""Waiting times between tries to reach the server: exponential, with jitter so that clients spread out."""

from __future__ import annotations

from fastjobs.model.chance import chance


class Backoff:
    """Waiting times that grow with each try until they are reset.

    Args:
        first_s: upper bound of the first wait, in seconds.
        cap_s: upper bound of any wait, in seconds.
    """

    def __init__(self, first_s: float = 0.02, cap_s: float = 2.0) -> None:
        self._first_s = first_s
        self._cap_s = cap_s
        self.reset()

    def reset(self) -> None:
        """Starts again with the first wait."""
        self._bound_s = self._first_s

    def next_s(self) -> float:
        """Returns how long to wait now, in seconds."""
        bound_s = self._bound_s
        self._bound_s = min(self._cap_s, bound_s * 2)
        return chance.uniform(bound_s / 2, bound_s)
