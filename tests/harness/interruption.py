"""Steps into a running call at each point where CPython can let something else run in its thread.

CPython raises exceptions from outside (KeyboardInterrupt, `PyThreadState_SetAsyncExc`) and runs signal handlers when a
function begins, after a call, and before a jump back; nowhere else between two instructions.
"""

from __future__ import annotations

import contextlib
import dis
import functools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import fastjobs

_PACKAGE = str(Path(fastjobs.__file__).parent)
_FILES = (_PACKAGE, contextlib.__file__)
_CALLS = ("CALL", "CALL_FUNCTION_EX", "CALL_KW")


class Interruption(BaseException):
    """What is raised in the middle of a call."""


@functools.cache
def _instructions(code: CodeType) -> dict[int, tuple[str, int | None]]:
    """For each instruction its name, and where an exception in it is handled."""
    entries = dis._parse_exception_table(code)  # type: ignore[attr-defined]
    return {
        instruction.offset: (
            instruction.opname,
            next((entry.target for entry in entries if entry.start <= instruction.offset < entry.end), None),
        )
        for instruction in dis.get_instructions(code)
    }


class Stepper:
    """Counts the points at which the code of fastjobs can be interrupted, and calls a function at one of them.

    Args:
        number: which one, from 0.
        act: called there; what it raises is raised there.
    """

    def __init__(self, number: int, act: Callable[[], object]) -> None:
        self._left = number
        self._act = act
        self._last: dict[FrameType, tuple[str, int | None]] = {}
        #: Whether the call got as far as that point.
        self.acted = False

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Watches the calls of its block."""
        before = sys.gettrace()
        sys.settrace(self._begin)
        try:
            yield
        finally:
            sys.settrace(before)
            self._last.clear()

    def _begin(self, frame: FrameType, event: str, argument: Any) -> Any:
        if self.acted or not frame.f_code.co_filename.startswith(_FILES) or frame.f_code is _EXIT:
            return None
        frame.f_trace_opcodes = True
        self._step()
        return self._inside

    def _inside(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "opcode" and not self.acted:
            name, handler = now = _instructions(frame.f_code)[frame.f_lasti]
            before, self._last[frame] = self._last.get(frame, ("", None)), now
            # CPython raises in the call, before it goes on: that is the same unless the handler ends with the call.
            if before in [(call, handler) for call in _CALLS] or "JUMP_BACKWARD" in name:
                self._step()
        return self._inside

    def _step(self) -> None:
        self._left -= 1
        if self._left < 0 and not self.acted:
            self.acted = True
            self._act()


#: The end of `watching` is no part of what is watched.
_EXIT = contextlib._GeneratorContextManager.__exit__.__code__


def interrupt() -> None:
    """Raises in the middle of a call."""
    raise Interruption


def time_out() -> None:
    """Raises what a handler of SIGALRM may raise: an OSError, as the network does."""
    raise TimeoutError("the alarm went off")
