"""Breaks fastjobs on purpose, in processes that have this directory on their path: CHAOS_BREAK names what to break.

Only the tests of the checker use it. Python imports a module of this name when it starts, so that also a supervisor,
which imports no code of the app, is broken.
"""

from __future__ import annotations

import os
import sys

#: Name -> (script, what is replaced, by what).
_BREAKS = {
    # An ack is taken from anybody: what it reports is believed, whoever holds the jobs.
    "fencing": (
        "ack",
        """if not is_open(session) then
  return -1
end
local entries = read_lease(session, fence)
if not entries then
  return 0
end
""",
        """local entries = read_lease(session, fence) or {}
local at = 7
for _ = 1, #entries == 0 and spans or 0 do
  local id, _, first, count = unpack(ARGV, at, at + 3)
  entries[#entries + 1] = {
    score = '0', sequence = '0000000000000', ref = id, id = id, first = tonumber(first), count = tonumber(count),
    detached = false,
  }
  at = at + SPAN_WIDTH
end
""",
    ),
    # Jobs of dead sessions stay where they are.
    "reclaim": ("reclaim", "if #expired == 0 then", "if true then"),
    # A chunk that is sent again is stored again.
    "idempotency": (
        "enqueue",
        "if not chosen and last and number == last + 1 and number > DOUBTFUL_NUMBERS",
        "if true",
    ),
}


def _break(name: str) -> None:
    from fastjobs.store import scripts

    script, found, replacement = _BREAKS[name]
    read = scripts._read

    def broken(wanted: str) -> str:
        source = read(wanted)
        if wanted != script:
            return source
        if source.count(found) != 1:
            raise AssertionError(f"{script}.lua has changed: what has to be broken is not there once")
        return source.replace(found, replacement)

    scripts._read = broken
    scripts.load.cache_clear()


try:
    if os.environ.get("CHAOS_BREAK"):
        _break(os.environ["CHAOS_BREAK"])
except BaseException as error:
    # Python would go on without what could not be imported, and nothing would be broken.
    sys.stderr.write(f"cannot break fastjobs: {error!r}\n")
    os._exit(70)
