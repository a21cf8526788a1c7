"""What a process shares with the app's code in one interpreter and keeps as it needs it: signals, descriptors, its end.

The app's code may change all of it when it is imported, in its hooks and in its handlers.
"""

from __future__ import annotations

import atexit
import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from fastjobs.errors import ConfigError

#: How long the functions that the app has registered with `atexit` may take, in seconds.
_LAST_WORDS_S = 5.0
#: Modules on which threads, sleeping and connections depend.
_NEEDED = ("_thread", "thread", "threading", "socket", "select", "time", "queue")


class Signals:
    """The signals of a process.

    Args:
        of_group: signals that go to the whole process group: what they mean is the supervisor's to decide.
    """

    def __init__(self, of_group: Sequence[signal.Signals]) -> None:
        self._of_group = of_group
        #: The signal mask of a thread that forks.
        self._forking = threading.local()
        os.register_at_fork(
            before=self._hold_back, after_in_parent=self._let_through, after_in_child=self._begin_as_a_program
        )

    def take(self) -> None:
        """Installs the handlers of this process, in place of those that the app has installed, if it has.

        They do nothing, but are not SIG_IGN: programs that a job starts would inherit that, and could not be ended.
        Until they are in place, the signal mask inherited from the supervisor holds the signals back.
        """
        for number in self._of_group:
            signal.signal(number, _leave_to_supervisor)
        # A write to a closed connection ends a program unless it ignores this, as Python does from its start.
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        faulthandler.enable()
        faulthandler.register(signal.SIGUSR1, all_threads=True)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (*self._of_group, signal.SIGUSR1))

    def _hold_back(self) -> None:
        """Has signals wait until the new process can obey them: `multiprocessing` may end it at once."""
        self._forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, self._of_group)

    def _let_through(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._forking.mask)

    def _begin_as_a_program(self) -> None:
        self._release()
        self._let_through()

    def _release(self) -> None:
        """Gives a process that a handler forked the handlers of a new program: `multiprocessing` ends it by SIGTERM."""
        for number in self._of_group:
            if signal.getsignal(number) is _leave_to_supervisor:
                signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        faulthandler.unregister(signal.SIGUSR1)


def _leave_to_supervisor(*_: object) -> None:
    pass


def keep_to_itself(*descriptors: int) -> None:
    """Has descriptors closed in programs that jobs start: one left behind would hold the control line open."""
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)


def refuse_greenlets() -> None:
    """Refuses modules that have been replaced by those of gevent or eventlet.

    Raises:
        ConfigError: the app's code has replaced a module that the process depends on.
    """
    for library, replaced in (("gevent", _replaced_by_gevent()), ("eventlet", _replaced_by_eventlet())):
        if replaced:
            raise ConfigError(
                f"{library} has replaced {', '.join(replaced)}: a worker runs handlers in threads of the system,"
                " and could neither interrupt a job nor keep its leases. Call monkey_patch or patch_all in the programs"
                " that need it, not in a module that the worker imports, and give the worker more threads with -c"
            )


def _replaced_by_gevent() -> list[str]:
    patches = sys.modules.get("gevent.monkey")
    return [name for name in _NEEDED if patches.is_module_patched(name)] if patches else []


def _replaced_by_eventlet() -> list[str]:
    patches = sys.modules.get("eventlet.patcher")
    return [name for name in _NEEDED if name in patches.already_patched] if patches else []


def leave(code: int) -> NoReturn:
    """Ends the process with an exit code, once what is registered with `atexit` has run.

    Not by `sys.exit`: a handler that never returns would keep the interpreter from ending.
    """
    signal.signal(signal.SIGALRM, lambda *_: os._exit(code))
    signal.setitimer(signal.ITIMER_REAL, _LAST_WORDS_S)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        # The app may have closed or replaced it.
        with suppress(Exception):
            stream.flush()
    os._exit(code)
