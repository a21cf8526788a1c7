"""Which processes have to be replaced: too large, deaf, or held up by a job that does not end."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable

from fastjobs._core import boot_time_ns
from fastjobs.config import Config, WorkerConfig
from fastjobs.logs import event
from fastjobs.worker.supervisor.child import Child

log = logging.getLogger("fastjobs.supervisor")

#: A process that has stopped fetching and runs no job has so many seconds to end by itself.
_DEAF_GRACE_S = 1.0


class Watchdog:
    """Looks at the progress boards of processes, which they write whatever else they do.

    Args:
        config: the worker's settings: when a process is too large, how long it has to end.
    """

    def __init__(self, config: WorkerConfig) -> None:
        self._config = config
        #: Since when the server has been answering, on the boot clock.
        self._serving_since_ns = 0
        #: When it was last looked whether processes fetch.
        self._looked_ns = 0

    def server_is_back(self) -> None:
        """Notes that the server did not answer and does again: until now, nobody could fetch."""
        self._serving_since_ns = boot_time_ns()

    def look(self, children: Iterable[Child], app: Config | None) -> None:
        """Kills the processes whose time is over; arguments as for `next_look_at`."""
        if app is not None:
            self.kill_overdue(children, app)
        self.kill_overstayed(children)

    def replace_large(self, children: Iterable[Child]) -> None:
        """Has processes replaced that have grown too large."""
        limit_mb = self._config.max_memory_per_child_mb
        for child in children:
            if limit_mb and not child.outdated and child.rss_mb() > limit_mb:
                child.outdated = f"uses {child.rss_mb():.0f} MiB"

    def retire_deaf(self, children: Iterable[Child], app: Config) -> None:
        """Replaces processes that look alive but have stopped fetching: a loop that hangs, a connection that is gone.

        To be called when the server has just answered: while it does not, nobody fetches. A process whose threads all
        run jobs has no reason to fetch, however long they take.

        Args:
            children: the processes that are ready.
            app: the app's settings.
        """
        now_ns = boot_time_ns()
        longest_gap_s = max(app.deaf_after_s / 2, 2 * app.beat_ms / 1000)
        if now_ns - self._looked_ns > longest_gap_s * 1e9:
            # This process was stopped or the machine slept: so may the others have been.
            self._serving_since_ns = now_ns
        self._looked_ns = now_ns
        for child in children:
            silent_s = (now_ns - max(child.board.fetched_ns, child.greeted_ns, self._serving_since_ns)) / 1e9
            ends_in_time = child.stopping and not child.leaving
            if ends_in_time or child.deaf_since_ns or silent_s < app.deaf_after_s or child.board.full:
                continue
            event(
                log,
                logging.ERROR,
                "process stopped fetching, replacing it",
                pid=child.pid,
                silent_s=round(silent_s, 1),
            )
            child.deaf_since_ns = now_ns
            child.retire(self._config.shutdown_timeout_s)

    def kill_overdue(self, children: Iterable[Child], app: Config) -> None:
        """Ends processes in which a job goes on although it was interrupted, or a hook for longer than it may."""
        grace_ns = int(app.timeout_grace_s * 1e9)
        for child in children:
            if child.overdue:
                continue
            if jobs := child.board.overdue(grace_ns):
                event(log, logging.ERROR, "job still running after its timeout, killing its process", pid=child.pid)
                child.kill_for(jobs)
            elif jobs := child.board.overdue_hooks():
                event(log, logging.ERROR, "hook takes too long, killing its process", pid=child.pid)
                child.kill_for(jobs)

    def kill_overstayed(self, children: Iterable[Child]) -> None:
        """Ends processes that were to be replaced and do not end by themselves.

        A deaf one may not even read that it should end; once it runs no job there is nothing to wait for.
        """
        now = time.monotonic()
        for child in children:
            hopeless = child.deaf_since_ns and now >= child.stopped_at + _DEAF_GRACE_S and not child.board.running()
            if child.killed or not (hopeless or now >= child.kill_at):
                continue
            event(log, logging.ERROR, "process did not exit in time, killing it", pid=child.pid)
            # A loop that has not even turned since was held up by what it ran.
            child.held_up = child.board.beat_ns < child.deaf_since_ns
            child.kill()

    def next_look_at(self, children: Iterable[Child], app: Config | None) -> float:
        """Returns when a process may have to be ended next, on the monotonic clock.

        Jobs that start later than this is asked are found by the next call.

        Args:
            children: the processes.
            app: the app's settings, None while they are not known.
        """
        now, now_ns = time.monotonic(), boot_time_ns()
        times = [float("inf")]
        for child in children:
            if not child.killed:
                times.append(child.kill_at)
                if child.deaf_since_ns:
                    times.append(now + _DEAF_GRACE_S / 4)
            if app is not None and not child.overdue:
                overdue_ns = child.board.next_overdue_ns(int(app.timeout_grace_s * 1e9))
                if overdue_ns:
                    times.append(now + (overdue_ns - now_ns) / 1e9)
        return min(times)
