"""Handlers that write down what they do, wait for permission, fail and crash; registered with the app of each side."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

from fastjobs import Discard, FastJobs, Retry
from fastjobs.worker.process.loop import MainLoop
from tests.harness.ledger import LEDGER_VARIABLE, Ledger

#: Seconds until a handler that waits for permission gives up, so that nothing outlives its test for long.
_PATIENCE_S = 60.0


def _ledger() -> Ledger:
    return Ledger(Path(os.environ[LEDGER_VARIABLE]))


@contextmanager
def _noted(key: str | int) -> Iterator[None]:
    ledger = _ledger()
    ledger.write("START", key)
    yield
    ledger.write("END", key)


def note(key: str | int) -> None:
    with _noted(key):
        pass


def number(value: int) -> None:
    _ledger().write_number(value)


def hold(key: str | int, gate: str) -> None:
    """Runs until the file `gate` exists."""
    with _noted(key):
        deadline = time.monotonic() + _PATIENCE_S
        while not Path(gate).exists() and time.monotonic() < deadline:
            time.sleep(0.003)


def take(key: str | int, seconds: float) -> None:
    with _noted(key):
        time.sleep(seconds)


def hold_gil(key: str | int, seconds: float) -> None:
    """A C call that does not let other threads in."""
    with _noted(key):
        ctypes.PyDLL(None).usleep(int(seconds * 1_000_000))


def wedge(key: str | int, flag: str) -> None:
    """The first time, lets the main loop of its process hang for good, at its next turn."""
    with _noted(key):
        if not Path(flag).exists():
            Path(flag).touch()
            MainLoop.cancel = lambda self: time.sleep(600)  # type: ignore[method-assign]


def crash(key: str | int, how: str) -> None:
    _ledger().write("START", key)
    if how == "segfault":
        ctypes.string_at(0)
    elif how == "exit as if all were well":
        os._exit(0)
    elif how == "exit":
        os._exit(9)
    elif how == "abort":
        # Not by raise_signal, which lets other threads run while their stacks are being dumped.
        os.abort()
    else:
        # To this thread: a signal to the process may arrive when the job has ended.
        signal.raise_signal(signal.SIGRTMAX - 1 if how == "real-time" else signal.Signals[how])


def crash_once(key: str | int, flag: str) -> None:
    """Kills its process the first time."""
    with _noted(key):
        if not Path(flag).exists():
            Path(flag).touch()
            os.kill(os.getpid(), signal.SIGKILL)


def crash_beside(key: str | int, neighbours: list[str | int]) -> None:
    """Kills its process the first time, once its neighbours run."""
    ledger = _ledger()
    with _noted(key):
        if ledger.count("START", key) > 1:
            return
        while not all(ledger.count("START", neighbour) for neighbour in neighbours):
            time.sleep(0.003)
        os.kill(os.getpid(), signal.SIGKILL)


def fail_times(key: str | int, times: int) -> None:
    """Raises the first `times` times."""
    ledger = _ledger()
    with _noted(key):
        if ledger.count("START", key) <= times:
            raise ValueError(f"attempt {ledger.count('START', key)}")


def grow(key: str | int, mebibytes: int) -> None:
    with _noted(key):
        _HOARD.append(bytearray(os.urandom(1024)) * (1024 * mebibytes))


_HOARD: list[bytearray] = []


def exhaust_memory(key: str | int) -> None:
    """Asks for more memory than its process may have."""
    with _noted(key):
        occupied = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (occupied + (64 << 20), resource.RLIM_INFINITY))
        _HOARD.append(bytearray(1 << 30))


def exhaust_descriptors(key: str | int, gate: str) -> None:
    """Runs until the file `gate` exists; until then its process keeps its descriptors and gets no new ones."""
    with _noted(key):
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        # Those below are taken: standard input and output.
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
        deadline = time.monotonic() + _PATIENCE_S
        while not os.access(gate, os.F_OK) and time.monotonic() < deadline:
            time.sleep(0.003)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def leave_threads(key: str | int, number: int) -> None:
    """Starts threads that never end: daemons, and one that is none."""
    with _noted(key):
        for position in range(number):
            threading.Thread(target=time.sleep, args=(3600,), daemon=position > 0).start()


def replace_threading(key: str | int) -> None:
    """Replaces what the standard library offers, as some libraries do."""
    with _noted(key):
        threading.Thread = threading.Lock = threading.Event = None  # type: ignore[assignment,misc]


def fork(key: str | int, how: str) -> None:
    """Forks, and lets the new process end in one of the ways there are."""
    ledger = _ledger()
    ledger.write("START", key)
    if how == "multiprocessing":
        process = multiprocessing.get_context("fork").Process(target=ledger.write, args=("FORKED", key))
        process.start()
        process.join()
    else:
        pid = os.fork()
        if pid == 0:
            ledger.write("FORKED", key)
            if how == "_exit":
                os._exit(0)
            if how == "sys.exit":
                sys.exit(0)
            if how == "raise":
                raise RuntimeError("in the forked process")
            return
        os.waitpid(pid, 0)
    ledger.write("END", key)


def end_a_subprocess(key: str | int) -> None:
    """Starts a program and ends it with SIGTERM."""
    with subprocess.Popen(["sleep", "60"]) as program:
        program.terminate()
        try:
            code = program.wait(10)
        except subprocess.TimeoutExpired:
            program.kill()
            code = program.wait()
    _ledger().write("END", f"{key}:{code}")


def size(key: str | int, payload: str) -> None:
    _ledger().write("END", f"{key}:{len(payload)}")


class Hostile(Exception):
    """Raises when looked at."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class VeryHostile(Exception):
    """Raises what `except Exception` does not catch when looked at."""

    def __str__(self) -> str:
        raise SystemExit(3)

    __repr__ = __str__


class Untraceable(Exception):
    """Cannot be given a traceback."""

    def with_traceback(self, tb: object) -> NoReturn:
        raise KeyboardInterrupt


class OddText(str):
    """Text that cannot be worked with."""

    def _refuse(self, *args: object, **kwargs: object) -> NoReturn:
        raise SystemExit(4)

    encode = __getitem__ = __len__ = __str__ = __repr__ = __format__ = _refuse  # type: ignore[assignment]


class OddlyWorded(Exception):
    def __str__(self) -> str:
        return OddText("odd")


class _Nameless(type):
    """Classes that do not say what they are."""

    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise SystemExit(5)

    __module__ = __name__  # type: ignore[assignment]


class Nameless(Exception, metaclass=_Nameless): ...


class _Misnamed(type):
    __name__ = "bad \ud800 name"  # type: ignore[assignment]
    __module__ = 5  # type: ignore[assignment]


class Misnamed(Exception, metaclass=_Misnamed): ...


class Shapeless(Exception):
    """Raises wherever it is looked at from Python."""

    def _refuse(self) -> NoReturn:
        raise SystemExit(6)

    __class__ = __traceback__ = __cause__ = __context__ = __notes__ = property(_refuse)  # type: ignore[assignment]


class OddRetry(Retry):
    """Asks to run again, and raises when asked when."""

    in_ = property(lambda self: sys.exit(7))  # type: ignore[assignment]

    def __init__(self) -> None:
        Exception.__init__(self, "odd")


class OddNumber(int):
    """A number that counts as no other number does."""

    def __mul__(self, other: object) -> OddNumber:  # type: ignore[override]
        return self

    def __round__(self, digits: object = None) -> str:  # type: ignore[override]
        return "soon"


def _with(error: Exception, **attributes: object) -> Exception:
    for name, value in attributes.items():
        setattr(error, name, value)
    return error


def _chain(links: int) -> Exception:
    error = ValueError("first")
    for number in range(links):
        error = _with(ValueError(f"link {number}"), __cause__=error)  # type: ignore[assignment]
    return error


def _nested(depth: int) -> Exception:
    error: Exception = ValueError("inner")
    for _ in range(depth):
        error = ExceptionGroup("outer", [error])
    return error


def _recurse() -> None:
    _recurse()


def _cycle() -> None:
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    raise one


def _raise(make: Callable[[], BaseException]) -> Callable[[], None]:
    def raiser() -> None:
        raise make()

    return raiser


RAISERS: dict[str, Callable[[], object]] = {
    "Exception": _raise(lambda: Exception("plain")),
    "SystemExit": _raise(lambda: SystemExit(0)),
    "KeyboardInterrupt": _raise(KeyboardInterrupt),
    "BaseException": _raise(lambda: BaseException("base")),
    "GeneratorExit": _raise(GeneratorExit),
    "ExceptionGroup": _raise(lambda: ExceptionGroup("group", [ValueError("inner"), OSError("other")])),
    "Hostile": _raise(Hostile),
    "VeryHostile": _raise(VeryHostile),
    "Untraceable": _raise(Untraceable),
    "long": _raise(lambda: ValueError("x" * 10_000_000)),
    "surrogate": _raise(lambda: ValueError("bad \ud800 text")),
    "cycle": _cycle,
    "recursion": _recurse,
    "odd text": _raise(OddlyWorded),
    "odd name": _raise(type("Odd", (Exception,), {"__module__": "\udfff", "__qualname__": "bad \ud800"})),
    "long name": _raise(lambda: type("x" * 10_000_000, (Exception,), {})("plain")),
    "Nameless": _raise(lambda: Nameless("plain")),
    "Misnamed": _raise(lambda: Misnamed("plain")),
    "Shapeless": _raise(lambda: Shapeless("plain")),
    "odd syntax": _raise(lambda: _with(SyntaxError("odd"), filename=5, lineno="x", text=Hostile(), offset=-(10**30))),
    "odd notes": _raise(lambda: _with(ValueError("noted"), __notes__=Hostile())),
    "many notes": _raise(lambda: _with(ValueError("noted"), __notes__=["\ud800" * 1000] * 1000)),
    "long chain": _raise(lambda: _chain(2000)),
    "deep group": _raise(lambda: _nested(800)),
    "wide group": _raise(lambda: ExceptionGroup("wide", [ValueError(str(number)) for number in range(10_000)])),
    "OddRetry": _raise(OddRetry),
    "odd delay": _raise(lambda: Retry("odd", in_=OddNumber(1))),
    "discard": _raise(lambda: Discard("not worth it")),
    "type_error": lambda: len(5),  # type: ignore[arg-type]
}


def explode(kind: str) -> None:
    RAISERS[kind]()


async def _nothing() -> None: ...


UNRUN: dict[str, Callable[[], object]] = {
    "coroutine": _nothing,
    "generator": lambda: (number for number in range(3)),
}


def return_unrun(kind: str) -> object:
    return UNRUN[kind]()


def of_an_object(self: str | int, *, key: str | int) -> None:
    """Has a parameter with the name of every method's first one."""
    note(f"{self}-{key}")


def explode_later(key: str | int, kind: str) -> None:
    """Raises an ordinary exception in its first run, and another kind in the next ones."""
    with _noted(key):
        if _ledger().count("START", key) == 1:
            raise ValueError("ordinary")
        RAISERS[kind]()


def ask_again(key: str | int, in_: float | None) -> None:
    ledger = _ledger()
    with _noted(key):
        if ledger.count("START", key) == 1:
            raise Retry("later", in_=in_)


def _delay(attempt: int) -> float:
    return 0.01 * attempt


def _broken_delay(attempt: int) -> float:
    raise RuntimeError("no idea")


def _exiting_delay(attempt: int) -> float:
    sys.exit(8)


def _odd_delay(attempt: int) -> float:
    return OddNumber(attempt)


def register(app: FastJobs) -> SimpleNamespace:
    """Registers all handlers with an app; returns their job types by name."""
    plain: list[Callable[..., object]] = [
        note,
        number,
        hold,
        take,
        hold_gil,
        crash,
        crash_once,
        crash_beside,
        grow,
        wedge,
        exhaust_descriptors,
        leave_threads,
        replace_threading,
        fork,
        end_a_subprocess,
        size,
        ask_again,
        return_unrun,
        of_an_object,
    ]
    types: dict[str, Any] = {handler.__name__: app.job(handler) for handler in plain}
    types["exhaust_memory"] = app.job(retries=0)(exhaust_memory)
    types["explode"] = app.job(retries=0)(explode)
    types["other"] = app.job(queue="other", name="other")(note)
    types["third"] = app.job(queue="third", name="third")(note)
    types["fail_number"] = app.job(name="fail_number", retry_delay=0.02)(fail_times)
    types["fail_list"] = app.job(name="fail_list", retry_delay=[0.01, 0.03])(fail_times)
    types["fail_function"] = app.job(name="fail_function", retry_delay=_delay)(fail_times)
    types["fail_broken"] = app.job(name="fail_broken", retries=5, retry_delay=_broken_delay)(fail_times)
    types["fail_exiting"] = app.job(name="fail_exiting", retry_delay=_exiting_delay)(fail_times)
    types["fail_odd"] = app.job(name="fail_odd", retry_delay=_odd_delay)(fail_times)
    types["explode_later"] = app.job(retries=2, retry_delay=0.01)(explode_later)
    types["fail_default"] = app.job(name="fail_default")(fail_times)
    return SimpleNamespace(**types)
