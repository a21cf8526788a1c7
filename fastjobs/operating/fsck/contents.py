"""Holds what is stored of a partition, key by key, and the single changes of a repair."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fastjobs.store.keys import compared_keys

#: The keys that are compared.
HASHES = compared_keys("hash")
ZSETS = compared_keys("zset")

#: Bytes in names that are not UTF-8 are kept as surrogates.
_ERRORS = "surrogateescape"


@dataclass(slots=True)
class Contents:
    """The keys of a partition at one instant: field -> value, or member -> score.

    Of chunks only the first bytes are kept: their place in line, and their header.
    """

    keys: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def __getitem__(self, key: str) -> dict[str, bytes]:
        return self.keys.setdefault(key, {})

    def add(self, key: str, entries: Mapping[bytes, bytes]) -> None:
        """Adds entries of a key as they are stored."""
        self[key].update({name.decode("utf-8", _ERRORS): value for name, value in entries.items()})


@dataclass(frozen=True, slots=True)
class Write:
    """One change of one key; value None removes."""

    key: str
    name: str
    value: bytes | None

    @property
    def field(self) -> bytes:
        """The field or member, as it is stored."""
        return self.name.encode("utf-8", _ERRORS)


@dataclass(frozen=True, slots=True)
class Rescue:
    """A chunk of which only what stood before the packed chunk was damaged, and what was stored of it."""

    write: Write
    before: bytes


def same_score(one: bytes | str, other: bytes | str) -> bool:
    """Whether two scores are the same number: servers write large ones in several ways."""
    try:
        return one == other or float(one) == float(other)
    except ValueError:
        return False
