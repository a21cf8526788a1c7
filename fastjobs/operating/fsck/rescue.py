"""Rescues chunks of which only what stands before the packed chunk is damaged: their jobs get a place again."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fastjobs._core import Chunk
from fastjobs.errors import ChunkError
from fastjobs.model.refs import Member, Place, format_sequence, parse_lease_name, read_ready, read_scheduled
from fastjobs.model.stored import CHUNK_MAGIC, ChunkHead, chunk_value, read_leased
from fastjobs.operating.fsck.contents import Contents, Rescue, Write
from fastjobs.operating.fsck.survey import Survey
from fastjobs.store.sealing import sealed_jobs
from fastjobs.store.store import Store


def find_rescues(store: Store, partition: str, survey: Survey) -> list[Rescue]:
    """Finds the chunks that can be rescued, and writes them into the survey as they will be."""
    heads = {name: ChunkHead.read(value) for name, value in survey.contents["chunks"].items()}
    damaged = {name: head for name, head in heads.items() if head is None or head.packed_n != head.n}
    if not damaged:
        return []
    places = dict(_places(survey.contents))
    anew = Place("0", format_sequence(survey.now_ms * 1000))
    rescues = []
    for name, head in damaged.items():
        place = head.place if head else places.get(name, anew)
        rescue = _rescue(store, partition, name, place)
        if rescue is not None:
            rescues.append(rescue)
            survey.contents["chunks"][name] = rescue.write.value or b""
    return rescues


def _places(contents: Contents) -> Iterator[tuple[str, Place]]:
    """Chunk ids, and the places at which their jobs are met."""
    for member in _members(contents):
        if member is not None:
            yield member.ref.chunk_id, member.place


def _members(contents: Contents) -> Iterator[Member | None]:
    yield from (read_ready(name, score.decode()) for name, score in contents["ready"].items())
    yield from map(read_scheduled, contents["scheduled"])
    for name, value in contents["leases"].items():
        yield from read_leased(value) if parse_lease_name(name) else ()


def _rescue(store: Store, partition: str, name: str, place: Place) -> Rescue | None:
    """Finds the packed chunk in what is stored; None when none can be read, or nothing is wrong."""
    field = Write("chunks", name, None).field
    stored = store.batch().stored_chunk(partition, field).run() or b""
    for packed, n in _packed_chunks(stored):
        value = chunk_value(place, n, packed)
        return None if value == stored else Rescue(Write("chunks", name, value), stored)
    return None


def _packed_chunks(stored: bytes) -> Iterator[tuple[bytes, int]]:
    """Packed chunks in what is stored, with their number of jobs."""
    for match in re.finditer(CHUNK_MAGIC, stored):
        packed = stored[match.start() :]
        try:
            # A sealed chunk need not be opened for this.
            yield packed, sealed_jobs(packed) or Chunk.decode(packed).n
        except ChunkError:
            continue
