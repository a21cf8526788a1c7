"""The cursors of listings over several partitions: one opaque word, good only for the listing that it comes from."""

from __future__ import annotations

import base64
import binascii
from typing import Any, NamedTuple
from zlib import crc32

import orjson

from fastjobs.errors import ConfigError


class PageCursor(NamedTuple):
    """Where the next page begins."""

    partition: str
    #: The cursor in the partition; None = at its beginning.
    inner: str | None

    def pack(self, listing: list[Any]) -> str:
        """Returns the cursor as a word of letters, digits, `-` and `_`.

        Args:
            listing: what the pages list: a cursor of another listing is refused.
        """
        text = orjson.dumps([*self, _check(listing, self)])
        return base64.urlsafe_b64encode(text).decode().rstrip("=")

    @staticmethod
    def parse(word: str, listing: list[Any]) -> PageCursor:
        """Reads a cursor.

        Raises:
            ConfigError: it does not come from a page of this listing.
        """
        try:
            partition, inner, check = orjson.loads(base64.urlsafe_b64decode(word + "=" * (-len(word) % 4)))
            cursor = PageCursor(partition, inner)
            if check == _check(listing, cursor):
                return cursor
        except (binascii.Error, ValueError, TypeError):
            pass
        raise ConfigError(
            f"cursor {word!r} does not come from a page of this listing: the status, the queue and the order must be"
            " those of the page before"
        )


def _check(listing: list[Any], cursor: PageCursor) -> int:
    return crc32(orjson.dumps([listing, *cursor]))
