"""Seals what is stored of jobs, by signing or encrypting it with keys of the app, and opens it again.

Sealed are whole chunks, records of detached jobs, and definitions of recurring jobs. A seal holds for one place:
namespace, queue and id; of a run of a recurring job for any run of its definition. Without keys nothing is sealed.

    offset size  of an envelope
    0      2     magic "FS"
    2      1     format version, 1
    3      1     "s" = signed, "e" = encrypted
    4      1     size of the key's id, then the id
    ..     32    HMAC-SHA256 of format, key id, place and content
    ..     ..    the content; encrypted by AES-256-GCM under a key of its own, which follows from the HMAC

Nothing in it is random: the same content in the same place is sealed to the same bytes. So the server can still
distinguish a chunk that is sent again from another chunk with its id. It is the scheme called SIV: a key for AES-GCM is
never used for two contents, however many there are, and equal envelopes show only that the same was stored in the same
place.
"""

from __future__ import annotations

import base64
import hmac
import struct
import zlib
from collections.abc import Mapping
from types import ModuleType
from typing import NamedTuple

from fastjobs.config import Config
from fastjobs.errors import CorruptChunk, MissingKey, NewerFormat, UntrustedChunk
from fastjobs.model.partitions import queue_of
from fastjobs.model.refs import definition_of
from fastjobs.model.stored import CHUNK_HEADER, CHUNK_MAGIC

_MAGIC, _VERSION = b"FS", 1
_SIGNED, _ENCRYPTED = b"s", b"e"
_MAC_SIZE = 32

#: The part of a packed chunk that its checksum covers begins here.
_CRC_START = 8
#: What is sealed of a chunk: its flags, and its bytes from here on. When it was made stays outside, so that a job
#: enqueued again is the same job; the number of jobs is part of the place.
CONTENT_START = 16
#: Flag of a chunk whose body is an envelope.
FLAG_SEALED = 4


class _Key(NamedTuple):
    kind: bytes
    id: bytes
    #: Derived from the configured key, so that it may be configured for both uses.
    mac: bytes
    cipher: bytes


class Keyring:
    """The keys of an app. Safe for use by several threads.

    Args:
        config: names the keys, and says whether what is not sealed is refused.
    """

    def __init__(self, config: Config) -> None:
        self._namespace = config.namespace
        self._required = config.require_signed
        encrypting = _derive(_ENCRYPTED, config.encryption_keys)
        signing = _derive(_SIGNED, config.signing_keys)
        self._keys = {(key.kind, key.id): key for key in (*encrypting, *signing)}
        self._first = next(iter(self._keys.values()), None)

    @property
    def seals(self) -> bool:
        """Whether there is a key to seal with; if not, sealing leaves everything as it is."""
        return self._first is not None

    def seal_chunk(self, partition: str, chunk_id: str, packed: bytes) -> bytes:
        """Returns a packed chunk as it is to be stored."""
        if self._first is None:
            return packed
        magic, version, flags, _, n, low, high, size = CHUNK_HEADER.unpack_from(packed)
        place = self._place(*_chunk_kind(chunk_id), partition, n)
        envelope = _seal(self._first, place, bytes((flags,)) + packed[CONTENT_START:])
        return _with_header(magic, version, FLAG_SEALED, n, low, high, struct.pack("<I", size) + envelope)

    def open_chunk(self, partition: str, chunk_id: str, stored: bytes) -> bytes:
        """Returns the packed chunk in what is stored of it.

        Raises:
            MissingKey: it is sealed with a key that is not known here.
            UntrustedChunk: its seal is wrong, or it has none and has to.
            CorruptChunk, NewerFormat: it is damaged, or a newer release wrote it.
        """
        if not _is_sealed_chunk(stored):
            return self._unsealed(stored)
        magic, version, flags, checksum, n, low, high, size = CHUNK_HEADER.unpack_from(stored)
        if version != 1 or flags != FLAG_SEALED:
            raise NewerFormat(f"format {version} with flags {flags:#x} is not known to this release")
        if zlib.crc32(memoryview(stored)[_CRC_START:]) != checksum:
            raise CorruptChunk("its checksum does not match")
        content = self._open(self._place(*_chunk_kind(chunk_id), partition, n), stored[CHUNK_HEADER.size :])
        if content[1:5] != struct.pack("<I", size):
            raise CorruptChunk("what is sealed has another size than its header says")
        return _with_header(magic, version, content[0], n, low, high, content[1:])

    def seal_record(self, partition: str, ref: str, body: bytes) -> bytes:
        """Returns the record of a detached job, `<chunk id>~<index>`, as it is to be stored."""
        return body if self._first is None else _seal(self._first, self._place(b"record", ref, partition), body)

    def open_record(self, partition: str, ref: str, stored: bytes) -> bytes:
        """Returns the record in what is stored of it; errors as for `open_chunk`."""
        return self._open_if_sealed(b"record", ref, partition, stored)

    def seal_definition(self, partition: str, definition_id: str, body: bytes) -> bytes:
        """Returns the body of a recurring job's definition as it is to be stored."""
        if self._first is None:
            return body
        return _seal(self._first, self._place(b"definition", definition_id, partition), body)

    def open_definition(self, partition: str, definition_id: str, stored: bytes) -> bytes:
        """Returns the body in what is stored of it; errors as for `open_chunk`."""
        return self._open_if_sealed(b"definition", definition_id, partition, stored)

    def _open_if_sealed(self, kind: bytes, name: str, partition: str, stored: bytes) -> bytes:
        if not is_sealed(stored):
            return self._unsealed(stored)
        return self._open(self._place(kind, name, partition), stored)

    def _unsealed(self, stored: bytes) -> bytes:
        if self._required:
            raise UntrustedChunk("it is not signed, and require_signed is on")
        return stored

    def _place(self, kind: bytes, name: str, partition: str, n: int = 0) -> bytes:
        """What a seal is bound to. Sizes stand before the parts: no two places are the same bytes."""
        parts = (kind, self._namespace.encode(), queue_of(partition).encode(), name.encode(), b"%d" % n)
        return b"".join(struct.pack("<I", len(part)) + part for part in parts)

    def _open(self, place: bytes, envelope: bytes) -> bytes:
        """Returns the content of an envelope."""
        if len(envelope) < 5 or not is_sealed(envelope):
            raise CorruptChunk("it does not begin like an envelope")
        if envelope[2] != _VERSION:
            raise NewerFormat(f"its envelope has format {envelope[2]}, this release knows format {_VERSION}")
        kind, mac_at = envelope[3:4], 5 + envelope[4]
        key_id, mac, content = envelope[5:mac_at], envelope[mac_at : mac_at + _MAC_SIZE], envelope[mac_at + _MAC_SIZE :]
        key = self._keys.get((kind, key_id))
        if key is None:
            how = "encrypted" if kind == _ENCRYPTED else "signed"
            raise MissingKey(f"it is {how} with a key that is not known here: {key_id.decode('ascii', 'replace')!r}")
        if kind == _ENCRYPTED:
            content = _cipher().decrypt(_content_key(key, mac), content)
        if not hmac.compare_digest(mac, _mac(key, place, content)):
            raise UntrustedChunk("its signature is wrong: it was changed, or stored under another id")
        return content


def is_sealed(stored: bytes) -> bool:
    """Whether what is stored of a record or of a definition's body is an envelope."""
    return stored.startswith(_MAGIC)


def sealed_jobs(stored: bytes) -> int:
    """Returns how many jobs a sealed chunk holds, as far as its header says; 0 = it is none, or damaged."""
    if (
        not _is_sealed_chunk(stored)
        or zlib.crc32(memoryview(stored)[_CRC_START:]) != CHUNK_HEADER.unpack_from(stored)[3]
    ):
        return 0
    return int(CHUNK_HEADER.unpack_from(stored)[4])


def _is_sealed_chunk(stored: bytes) -> bool:
    return len(stored) >= CHUNK_HEADER.size and stored.startswith(CHUNK_MAGIC) and bool(stored[3] & FLAG_SEALED)


def _chunk_kind(chunk_id: str) -> tuple[bytes, str]:
    """What a chunk is bound to: its id, or, all runs of a recurring job being one chunk's copies, its definition."""
    definition_id = definition_of(chunk_id)
    return (b"chunk", chunk_id) if definition_id is None else (b"run", definition_id)


def _derive(kind: bytes, keys: Mapping[str, str] | None) -> list[_Key]:
    derived = []
    for key_id, text in (keys or {}).items():
        secret = base64.b64decode(text)
        mac, cipher = (hmac.digest(secret, b"fastjobs 1 %s %s" % (kind, use), "sha256") for use in (b"mac", b"cipher"))
        derived.append(_Key(kind, key_id.encode(), mac, cipher))
    return derived


def _seal(key: _Key, place: bytes, content: bytes) -> bytes:
    mac = _mac(key, place, content)
    if key.kind == _ENCRYPTED:
        content = _cipher().encrypt(_content_key(key, mac), content)
    return b"".join((_MAGIC, bytes((_VERSION,)), key.kind, bytes((len(key.id),)), key.id, mac, content))


def _mac(key: _Key, place: bytes, content: bytes) -> bytes:
    about = bytes((_VERSION,)) + key.kind + bytes((len(key.id),)) + key.id
    return hmac.digest(key.mac, about + place + content, "sha256")


def _content_key(key: _Key, mac: bytes) -> bytes:
    return hmac.digest(key.cipher, mac, "sha256")


def _cipher() -> ModuleType:
    from fastjobs.store import cipher  # noqa: PLC0415 - only who encrypts has to have the extra

    return cipher


def _with_header(magic: bytes, version: int, flags: int, n: int, low: int, high: int, rest: bytes) -> bytes:
    """A packed chunk from the fields of its header, and its size and body, with the checksum that it needs."""
    checked = struct.pack("<HHI", n, low, high) + rest
    return struct.pack("<2sBBI", magic, version, flags, zlib.crc32(checked)) + checked
