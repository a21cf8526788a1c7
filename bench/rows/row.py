"""The rows of the table: figures with their targets, and a method that measures them once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from bench.server import BenchServer


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of a row. A ratio is measured against a partner in the same round; its unit is `x`."""

    name: str
    unit: str
    #: The target, if the figure has one.
    at_least: float | None = None
    at_most: float | None = None

    def meets(self, value: float) -> bool:
        """Whether a value reaches the target; True without one."""
        enough = self.at_least is None or value >= self.at_least
        return enough and (self.at_most is None or value <= self.at_most)


@dataclass(frozen=True, slots=True)
class Setting:
    """The settings that all rows of a run share."""

    #: The server program.
    binary: str
    #: Whether to use fewer jobs, for a run of a minute and a half in all.
    quick: bool

    def server(self) -> BenchServer:
        """Returns a new, empty server, not entered yet."""
        return BenchServer(self.binary)

    def jobs(self, full: int, quick: int) -> int:
        """Returns how many jobs to measure with."""
        return quick if self.quick else full


class Row(ABC):
    """One row of the table.

    Args:
        setting: the settings of the run.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    figures: ClassVar[tuple[Figure, ...]]
    #: Whether quick runs include the row.
    quick: ClassVar[bool] = True
    #: Most rounds that make sense.
    max_rounds: ClassVar[int] = 100

    def __init__(self, setting: Setting) -> None:
        self.setting = setting

    def unavailable(self) -> str:
        """Returns why this build cannot be measured, or "" if it can."""
        return ""

    def prepare(self) -> None:  # noqa: B027 - rows that need nothing leave it
        """Prepares what all rounds need. Not measured."""

    @abstractmethod
    def measure(self, turn: int) -> dict[str, float]:
        """Measures one round.

        Args:
            turn: number of the round; odd ones measure the partners in the opposite order.

        Returns:
            A value for each of `figures`, by name.
        """
