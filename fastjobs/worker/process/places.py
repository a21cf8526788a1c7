"""Where in a handler an exception may be raised from outside: where no lock stays locked, and nothing is half done.

An exception is raised at the beginning of a line. There, a `with` statement has either not been entered, or will be
left as it should be. What remains is code that frees what it holds, or has just got something and not noted it yet.
"""

from __future__ import annotations

import dis
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import CodeType, FrameType

_LIBRARY = f"{Path(os.__file__).parent}/"
_PACKAGE = f"{Path(__file__).parents[2]}/"
#: The code that calls handlers: the frames outside of it are not the handler's.
_CALLERS = tuple(f"{_PACKAGE}worker/process/{name}.py" for name in ("thread_executor", "around"))
_IMPORT = "<frozen importlib"
_LOGGING = f"{_LIBRARY}logging/"
#: Modules of the standard library that keep locks, queues and loops in order; others use them for that.
_KEEPERS = tuple(
    _LIBRARY + name
    for name in (
        "asyncio/",
        "concurrent/",
        "importlib/",
        "multiprocessing/",
        "contextlib.py",
        "functools.py",
        "queue.py",
        "selectors.py",
        "socket.py",
        "ssl.py",
        "threading.py",
        "weakref.py",
        "_weakrefset.py",
    )
)
#: What begins or ends to hold something, by name. Python drops what is raised in a destructor.
_HOLDERS = {"__enter__", "__exit__", "__aenter__", "__aexit__", "__del__"}
#: A program that was started and is not noted yet would be lost.
_STARTERS = {"Popen.__init__", "Popen._execute_child"}
_NOP = dis.opmap["NOP"]


def may_interrupt(frame: FrameType, *, gently: bool) -> bool:
    """Whether an exception may be raised at the line that a handler is about to execute.

    Never in fastjobs, in `logging`, during an import, or in the standard library's code for locks and queues.

    Args:
        frame: what the thread of the handler executes.
        gently: also not in code that looks like cleaning up, where it may be that nothing else is ever executed.
    """
    frames = list(_handlers_frames(frame))
    if not frames or _is_kept(frames):
        return False
    return not gently or not (_is_between(frames[0]) or any(map(_cleans_up, frames)))


def _handlers_frames(frame: FrameType | None) -> Iterator[FrameType]:
    """The frames of a handler, innermost first."""
    while frame is not None and frame.f_code.co_filename not in _CALLERS:
        yield frame
        frame = frame.f_back


def _is_kept(frames: list[FrameType]) -> bool:
    """Whether code that must not be interrupted is being executed."""
    if any(frame.f_code.co_filename.startswith((_LOGGING, _IMPORT)) for frame in frames):
        return True
    for frame in frames:
        name = frame.f_code.co_filename
        if name.startswith((*_KEEPERS, _PACKAGE)) or frame.f_code.co_qualname in _STARTERS:
            return True
        if not name.startswith(_LIBRARY) or "site-packages" in name:
            # From here on outwards, code has called what is not fastjobs, and expects whatever that may raise.
            return False
    return False


def _is_between(frame: FrameType) -> bool:
    """Whether a `try` is about to be entered, for what the line before may have got."""
    return frame.f_code.co_code[frame.f_lasti] == _NOP


def _cleans_up(frame: FrameType) -> bool:
    """Whether a frame is at a line that frees something: a `finally`, an `except`, the end of a `with`."""
    return frame.f_code.co_name in _HOLDERS or frame.f_lineno in _clean_up_lines(frame.f_code)


@lru_cache(maxsize=1024)
def _clean_up_lines(code: CodeType) -> frozenset[int]:
    """The lines of code that also run while an exception is handled: the compiler makes two copies of a `finally`."""
    lines: set[int] = set()
    depth = 0
    before = ("", "")
    for instruction in dis.get_instructions(code):
        depth += instruction.opname == "PUSH_EXC_INFO"
        if depth and instruction.positions and instruction.positions.lineno:
            lines.add(instruction.positions.lineno)
        # How each block that handles an exception ends.
        if instruction.opname == "RERAISE" and before == ("COPY", "POP_EXCEPT"):
            depth = max(0, depth - 1)
        before = (before[1], instruction.opname)
    return frozenset(lines)
