"""The least it takes to start a job in another process: a pop with a script behind it, and a thread that is woken.

As a program, `python -m bench.handover SOCKET NUMBER`, it is that other process: it prints `ready`, and notes for each
of NUMBER hints when its thread received it.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from queue import SimpleQueue

import redis

from bench.notes import VARIABLE, Notes

_HINTS = "bench:hints"
_NOTHING = "return 1"
_HINT = "return redis.call('LPUSH', KEYS[1], '')"


class Hints:
    """The sending side: one script call per hint.

    Args:
        client: a connection to the server.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._sha = client.script_load(_HINT)

    def send(self) -> None:
        """Wakes the other process."""
        self._client.evalsha(self._sha, 1, _HINTS)


def _note_all(notes: Notes, indexes: SimpleQueue[int], number: int) -> None:
    for _ in range(number):
        index = indexes.get()
        notes.write(index, time.monotonic_ns())


def main() -> None:
    """The program."""
    path, number = sys.argv[1], int(sys.argv[2])
    client = redis.Redis(unix_socket_path=path)
    sha = client.script_load(_NOTHING)
    connection = client.connection_pool.get_connection()
    # Pop and script in one write, as a worker does.
    request = b"".join(connection.pack_commands([("BLPOP", _HINTS, 0), ("EVALSHA", sha, 0)]))
    indexes: SimpleQueue[int] = SimpleQueue()
    notes = Notes(Path(os.environ[VARIABLE]))
    thread = threading.Thread(target=_note_all, args=(notes, indexes, number))
    thread.start()
    print("ready", flush=True)
    for index in range(number):
        connection.send_packed_command([request], check_health=False)
        connection.read_response()
        connection.read_response()
        indexes.put(index)
    thread.join()


if __name__ == "__main__":
    main()
