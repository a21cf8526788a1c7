"""Seals: what they hold for, what breaks them, and which keys open them."""

from __future__ import annotations

import base64
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastjobs._core import Chunk, ChunkWriter
from fastjobs.config import Config, load_config
from fastjobs.errors import ChunkError, ConfigError, MissingKey, UntrustedChunk
from fastjobs.store.sealing import Keyring, is_sealed, sealed_jobs

OLD, NEW = (base64.b64encode(bytes((byte,)) * 32).decode() for byte in (1, 2))
#: The bytes of a chunk that say when it was made, which no seal covers, and its checksum, which is none of anybody's.
CREATED, CHECKSUM = range(10, 16), range(4, 8)
BOTH = pytest.mark.parametrize("use", ["signing_keys", "encryption_keys"])


def keyring(*, namespace: str = "n", required: bool = True, **keys: dict[str, str]) -> Keyring:
    return Keyring(Config(namespace=namespace, require_signed=required and bool(keys), **keys))


def packed(*values: object, at_ms: int = 1_700_000_000_000) -> bytes:
    writer = ChunkWriter()
    for value in values or ("attack at dawn",):
        writer.add(writer.entry("work"), (value,))
    return writer.finish(at_ms)


def with_right_checksum(stored: bytes) -> bytes:
    return stored[:4] + zlib.crc32(stored[8:]).to_bytes(4, "little") + stored[8:]


@BOTH
@given(values=st.lists(st.text(max_size=50), min_size=1, max_size=20))
def test_what_was_sealed_is_opened_as_it_was(use, values):
    ring = keyring(**{use: {"k": NEW}})
    blob = packed(*values)
    sealed = ring.seal_chunk("mail", "id", blob)
    assert ring.open_chunk("mail", "id", sealed) == blob
    assert sealed_jobs(sealed) == len(values)
    body = repr(values).encode()
    assert ring.open_record("mail", "id~000", ring.seal_record("mail", "id~000", body)) == body
    assert ring.open_definition("mail", "id", ring.seal_definition("mail", "id", body)) == body


def test_without_keys_nothing_is_changed():
    ring = keyring()
    assert not ring.seals
    assert ring.seal_chunk("mail", "id", packed()) == packed()
    assert ring.seal_record("mail", "id~000", b"{}") == b"{}"
    assert ring.open_chunk("mail", "id", packed()) == packed()
    assert ring.open_definition("mail", "id", b"{}") == b"{}"


@BOTH
def test_no_byte_of_a_chunk_can_be_changed(use):
    ring = keyring(**{use: {"k": NEW}})
    sealed = ring.seal_chunk("mail", "id", packed())
    for position in range(len(sealed)):
        for bit in range(8):
            changed = bytearray(sealed)
            changed[position] ^= 1 << bit
            forged = with_right_checksum(bytes(changed))
            if position in CHECKSUM:
                assert forged == sealed
            elif position in CREATED:
                assert Chunk.decode(ring.open_chunk("mail", "id", forged)).payload(0) == b'["attack at dawn",{}]'
            else:
                with pytest.raises(ChunkError):
                    Chunk.decode(ring.open_chunk("mail", "id", forged))


@BOTH
def test_no_byte_of_a_record_can_be_changed(use):
    ring = keyring(**{use: {"k": NEW}})
    sealed = ring.seal_record("mail", "id~000", b'{"v":1}')
    for position in range(len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 0x20
        with pytest.raises(ChunkError):
            ring.open_record("mail", "id~000", bytes(changed))


@BOTH
@pytest.mark.parametrize("size", range(80))
def test_what_is_cut_off_is_refused(use, size):
    ring = keyring(**{use: {"k": NEW}})
    with pytest.raises(ChunkError):
        ring.open_record("mail", "id~000", ring.seal_record("mail", "id~000", b'{"v":1}' * 10)[:size])
    with pytest.raises(ChunkError):
        cut = ring.seal_chunk("mail", "id", packed())[:size]
        ring.open_chunk("mail", "id", with_right_checksum(cut) if size > 8 else cut)


@BOTH
@given(st.binary(max_size=200), st.binary(max_size=8))
def test_foreign_bytes_are_refused_and_nothing_else_happens(use, tail, key_id):
    ring = keyring(**{use: {"k": NEW}})
    head = b"FS\x01" + (b"s" if use == "signing_keys" else b"e")
    for stored in (tail, head + tail, head + b"\x01k" + tail, head + bytes((len(key_id),)) + key_id + tail):
        with pytest.raises(ChunkError):
            ring.open_record("mail", "id~000", stored)
        in_chunk = packed()[:3] + b"\x04" + packed()[4:16] + len(stored).to_bytes(4, "little") + stored
        with pytest.raises(ChunkError):
            ring.open_chunk("mail", "x" * 70_000, with_right_checksum(in_chunk))


@BOTH
def test_a_seal_holds_for_its_place_only(use):
    ring = keyring(**{use: {"k": NEW}})
    chunk, record = ring.seal_chunk("mail", "id", packed()), ring.seal_record("mail", "id~000", b"{}")
    for attempt in (
        lambda: ring.open_chunk("mail", "id2", chunk),
        lambda: ring.open_chunk("other", "id", chunk),
        lambda: ring.open_record("mail", "id~001", record),
        lambda: ring.open_record("other", "id~000", record),
        lambda: ring.open_definition("mail", "id~000", record),
        lambda: keyring(namespace="m", **{use: {"k": NEW}}).open_chunk("mail", "id", chunk),
        lambda: keyring(**{use: {"k": OLD}}).open_chunk("mail", "id", chunk),
    ):
        with pytest.raises(UntrustedChunk):
            attempt()
    # Partitions of a queue are one place: a chunk's id is unique in all of them.
    assert ring.open_chunk("mail#3", "id", chunk) == packed()


@BOTH
def test_runs_of_a_recurring_job_share_a_seal_and_no_other_job_does(use):
    ring = keyring(**{use: {"k": NEW}})
    sealed = ring.seal_chunk("mail", "recur:nightly:1000", packed())
    assert ring.open_chunk("mail", "recur:nightly:2000", sealed) == packed()
    for other in ("recur:daily:1000", "nightly", "recur:nightly"):
        with pytest.raises(UntrustedChunk):
            ring.open_chunk("mail", other, sealed)


@BOTH
def test_keys_rotate(use):
    before, during, after = {"old": OLD}, {"new": NEW, "old": OLD}, {"new": NEW}
    first = keyring(**{use: before}).seal_chunk("mail", "id", packed())
    second = keyring(**{use: during}).seal_chunk("mail", "id", packed())
    assert second == keyring(**{use: after}).seal_chunk("mail", "id", packed())
    for sealed in (first, second):
        assert keyring(**{use: during}).open_chunk("mail", "id", sealed) == packed()
    with pytest.raises(MissingKey, match="'old'"):
        keyring(**{use: after}).open_chunk("mail", "id", first)


def test_who_encrypts_still_reads_what_was_signed():
    signed = keyring(signing_keys={"k": OLD}).seal_record("mail", "id~000", b"{}")
    ring = keyring(signing_keys={"k": OLD}, encryption_keys={"k": NEW})
    assert ring.open_record("mail", "id~000", signed) == b"{}"
    encrypted = ring.seal_record("mail", "id~000", b"{}")
    assert encrypted[3:4] == b"e"
    with pytest.raises(MissingKey, match="encrypted"):
        keyring(signing_keys={"k": NEW}).open_record("mail", "id~000", encrypted)


def test_one_key_in_both_uses_does_not_let_one_pass_for_the_other():
    ring = keyring(signing_keys={"k": NEW}, encryption_keys={"k": NEW})
    sealed = bytearray(keyring(signing_keys={"k": NEW}).seal_record("mail", "id~000", b"{}"))
    sealed[3:4] = b"e"
    with pytest.raises(UntrustedChunk):
        ring.open_record("mail", "id~000", bytes(sealed))


def test_what_is_encrypted_cannot_be_read():
    ring = keyring(encryption_keys={"k": NEW})
    for sealed in (ring.seal_chunk("mail", "id", packed()), ring.seal_record("mail", "id~000", b"attack at dawn")):
        assert b"dawn" not in sealed
    assert b"dawn" in keyring(signing_keys={"k": NEW}).seal_chunk("mail", "id", packed())


def test_no_two_contents_or_places_are_encrypted_alike():
    ring = keyring(encryption_keys={"k": NEW})
    places = [(queue, ref, body) for queue in "ab" for ref in ("x~000", "y~000") for body in (b"1", b"2")]
    tails = {ring.seal_record(*place)[-17:] for place in places}
    assert len(tails) == len(places)


@BOTH
def test_the_same_job_is_sealed_to_the_same_bytes_whenever_it_is_enqueued(use):
    ring = keyring(**{use: {"k": NEW}})
    first, later = (ring.seal_chunk("mail", "id", packed(at_ms=at_ms)) for at_ms in (1_000, 2_000))
    assert first != later
    assert first[16:] == later[16:]


def test_what_is_not_signed_is_read_unless_it_has_to_be():
    relaxed = keyring(required=False, signing_keys={"k": NEW})
    assert relaxed.open_chunk("mail", "id", packed()) == packed()
    strict = keyring(signing_keys={"k": NEW})
    for attempt in (
        lambda: strict.open_chunk("mail", "id", packed()),
        lambda: strict.open_record("mail", "id~000", b"{}"),
        lambda: strict.open_definition("mail", "id", b"{}"),
    ):
        with pytest.raises(UntrustedChunk, match="not signed"):
            attempt()


def test_who_has_no_keys_is_told_what_is_missing():
    sealed = keyring(signing_keys={"k": NEW}).seal_chunk("mail", "id", packed())
    with pytest.raises(MissingKey, match="'k'"):
        keyring().open_chunk("mail", "id", sealed)
    assert is_sealed(keyring(signing_keys={"k": NEW}).seal_record("mail", "id~000", b"{}"))


@pytest.mark.parametrize("keys", ["k:short", "k:" + NEW[:-4], f"bad id:{NEW}", f"k:{NEW}!", "k", {"k": 5}, {"k": ""}])
@BOTH
def test_a_key_that_cannot_be_used_is_refused_and_not_shown(use, keys):
    with pytest.raises(ConfigError) as refused:
        load_config(**{use: keys})
    assert use in str(refused.value)
    for shown in (NEW[:20], "short"):
        assert shown not in str(refused.value)


def test_keys_come_from_the_environment_in_order(monkeypatch):
    monkeypatch.setenv("FASTJOBS_SIGNING_KEYS", f"new:{NEW}, old:{OLD}")
    monkeypatch.setenv("FASTJOBS_REQUIRE_SIGNED", "1")
    config = load_config()
    assert list((config.signing_keys or {}).items()) == [("new", NEW), ("old", OLD)]
    assert config.require_signed
    assert NEW not in repr(config)


def test_what_has_to_be_signed_needs_keys():
    with pytest.raises(ConfigError, match="require_signed needs"):
        Config(require_signed=True)


def test_without_the_extra_one_sentence_says_what_to_do(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    Config(signing_keys={"k": NEW})
    with pytest.raises(ConfigError, match=r"fastjobs\[crypto\]"):
        Config(encryption_keys={"k": NEW})
