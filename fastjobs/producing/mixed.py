"""Calls of any types, queues, priorities and due times, sorted into the chunks that they can share."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import overload

from fastjobs.config import Config
from fastjobs.model.partitions import Partitioner
from fastjobs.model.refs import job_id
from fastjobs.producing.call import Call
from fastjobs.producing.open_chunks import OpenChunk, OpenChunks
from fastjobs.producing.sending import Sending

#: Chunks being filled at a time when calls of several queues, priorities or due times are mixed.
_OPEN_CHUNKS = 64


class MixedIds(Sequence[str]):
    """The ids of mixed calls, in the order of the calls: six bytes per job beside the chunks' ids."""

    def __init__(self) -> None:
        self._chunk_ids: list[str] = []
        self._sizes = array("H")
        self._chunk_of = array("I")
        self._index_in = array("H")

    def add(self, chunk: OpenChunk) -> None:
        """Appends the id of the job that was added to a chunk last."""
        number, size = chunk.number, chunk.count
        if size == 1:
            self._chunk_ids.append(chunk.destination.chunk_id)
            self._sizes.append(1)
        else:
            self._sizes[number] = size
        self._chunk_of.append(number)
        self._index_in.append(size - 1)

    def __len__(self) -> int:
        return len(self._chunk_of)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        chunk = self._chunk_of[index]
        return job_id(self._chunk_ids[chunk], self._index_in[index], self._sizes[chunk])

    def __repr__(self) -> str:
        return f"<MixedIds: {len(self)} in {len(self._chunk_ids)} chunks>"


class Mix:
    """Sorts calls into chunks and sends each chunk that is full."""

    def __init__(self, sending: Sending, config: Config, partitioner: Partitioner) -> None:
        self._sending = sending
        self._chunks = OpenChunks(config, partitioner, most=_OPEN_CHUNKS)
        self.ids = MixedIds()

    def add(self, call: Call) -> None:
        """Adds a call; a job with an id of its own is a chunk of its own."""
        chosen_id = call.options.job_id
        if chosen_id is None:
            chunk = self._chunks.add(call)
        else:
            chunk = self._chunks.add_alone(call, self._sending.destination_of(call.line, chosen_id))
        # Before its chunk is sent: an error of sending says what became of all ids.
        self.ids.add(chunk)
        self._send_closed()

    def flush(self) -> None:
        """Sends all open chunks."""
        self._chunks.close_all()
        self._send_closed()

    def _send_closed(self) -> None:
        closed = self._chunks.closed
        while closed:
            chunk = closed.popleft()
            self._sending.send_new(chunk.line, chunk.destination, chunk.count, chunk.packed)
