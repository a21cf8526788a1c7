"""The rights of the user that docs/redis.md names, read from there."""

from __future__ import annotations

import re
from pathlib import Path

_PAGE = Path(__file__).parents[2] / "docs" / "redis.md"


def minimal_user(password: str, *further: str) -> list[str]:
    """The words of the documented ACL SETUSER for the user `fastjobs`, and further rights."""
    line = re.search(r"^ACL SETUSER fastjobs .*$", _PAGE.read_text(), re.MULTILINE)
    assert line is not None
    return [*line[0].replace("PASSWORD", password).split(), *further]
