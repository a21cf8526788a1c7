"""The reference payload: `welcome(i, email=f"user{i}@example.com", template="welcome")`."""

from __future__ import annotations

import json
from typing import Any


def arguments(number: int) -> list[dict[str, Any]]:
    """Returns the items for `welcome.enqueue_many`: one dict of keyword arguments per job."""
    return [keywords(index) for index in range(number)]


def keywords(index: int) -> dict[str, Any]:
    """Returns the arguments of one job."""
    return {"user_id": index, "email": f"user{index}@example.com", "template": "welcome"}


def payloads(number: int) -> list[bytes]:
    """Returns the JSON that fastjobs stores for these jobs, `[*args, kwargs]`."""
    return [json.dumps([item], separators=(",", ":")).encode() for item in arguments(number)]
