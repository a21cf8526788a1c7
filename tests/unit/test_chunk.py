"""The core's chunk codec against the plain one, and against every kind of damage."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastjobs._core import Chunk, ChunkWriter
from fastjobs.errors import ChunkError, CorruptChunk, NewerFormat, PayloadTooLarge
from tests.harness import plain_codec, values
from tests.harness.plain_codec import PlainChunk

NEVER = 1 << 30
type_names = st.text("abcXYZ019_.:-", min_size=1, max_size=40) | st.just("n" * 255)
types = st.lists(st.tuples(type_names, st.binary(max_size=30)), min_size=1, max_size=6, unique=True)


@st.composite
def job_lists(draw, arguments):
    """(types, jobs): every job is (entry, arguments)."""
    table = draw(types)
    jobs = st.tuples(st.integers(0, len(table) - 1), arguments)
    return table, draw(st.lists(jobs, min_size=1, max_size=12))


def parts(chunk: Chunk) -> PlainChunk:
    return PlainChunk(
        chunk.types,
        [chunk.type_index(index) for index in range(chunk.n)],
        [chunk.payload(index) for index in range(chunk.n)],
        chunk.created_at_ms,
    )


def write(table, jobs, compress_min=NEVER, created_at_ms=1_700_000_000_123) -> bytes:
    writer = ChunkWriter(compress_min=compress_min)
    for name, options in table:
        writer.entry(name, options)
    for entry, (args, keywords) in jobs:
        writer.add(entry, args, keywords)
    assert writer.count == len(jobs)
    return writer.finish(created_at_ms)


def one_type(number, compress_min=NEVER) -> bytes:
    return write([("mail", b"")], [(0, ((i,), None)) for i in range(number)], compress_min)


@settings(max_examples=150)
@given(
    job_lists(st.tuples(values.positional, values.keywords)),
    st.sampled_from([0, NEVER]),
    st.integers(0, 2**48 - 1),
)
def test_written_chunks_are_what_the_plain_codec_reads(drawn, compress_min, created_at_ms):
    table, jobs = drawn
    read = plain_codec.decode(write(table, jobs, compress_min, created_at_ms))
    assert read.types == table
    assert read.entries == [entry for entry, _ in jobs]
    assert read.created_at_ms == created_at_ms
    assert [orjson.loads(item) for item in read.payloads] == [[*args, keywords] for _, (args, keywords) in jobs]


@settings(max_examples=150)
@given(job_lists(st.binary(min_size=2, max_size=40)), st.booleans(), st.integers(0, 2**48 - 1))
def test_chunks_of_the_plain_codec_are_read(drawn, compressed, created_at_ms):
    table, jobs = drawn
    plain = PlainChunk(table, [entry for entry, _ in jobs], [raw for _, raw in jobs], created_at_ms)
    assert parts(Chunk.decode(plain_codec.encode(plain, compressed=compressed))) == plain


@pytest.mark.parametrize("compress_min", [0, NEVER])
@pytest.mark.parametrize("number", [1, 2, 999, 1000])
def test_size_of_a_chunk_does_not_matter(number, compress_min):
    blob = one_type(number, compress_min)
    chunk = Chunk.decode(blob)
    assert chunk.n == number
    assert [orjson.loads(chunk.payload(index)) for index in range(number)] == [[index, {}] for index in range(number)]
    assert plain_codec.decode(blob) == parts(chunk)


@given(st.integers(1, 40), st.data())
def test_any_run_of_jobs_is_a_json_array(number, data):
    chunk = Chunk.decode(one_type(number))
    first = data.draw(st.integers(0, number - 1))
    count = data.draw(st.integers(1, number - first))
    found = orjson.loads(chunk.payloads(first, count))
    assert found == [[index, {}] for index in range(first, first + count)]


@pytest.mark.parametrize(
    ("first", "count"),
    [
        (-1, 1),
        (0, 0),
        (0, -1),
        (0, 4),
        (3, 1),
        (1, 2**63 - 1),
        (2**63 - 1, 2**63 - 1),
        (2**62, 2**62),
    ],
)
def test_jobs_outside_of_the_chunk_are_an_index_error(first, count):
    with pytest.raises(IndexError):
        Chunk.decode(one_type(3)).payloads(first, count)


def test_single_jobs_outside_of_the_chunk_are_an_index_error():
    chunk = Chunk.decode(one_type(3))
    for index in (-1, 3, 2**63 - 1):
        with pytest.raises(IndexError):
            chunk.payload(index)
        with pytest.raises(IndexError):
            chunk.type_index(index)


def test_a_chunk_that_was_not_decoded_is_empty():
    with pytest.raises(IndexError):
        Chunk().payload(0)


def samples() -> dict[str, bytes]:
    two_types = [("mail", b'{"retries":3}'), ("sms", b"")]
    mixed = [(i % 2, ((i, "x" * i), {"lang": "sv"})) for i in range(9)]
    return {
        "one job": one_type(1),
        "three jobs": one_type(3),
        "one job, compressed": write([("mail", b"")], [(0, (("x" * 200,), None))], 0),
        "two types": write(two_types, mixed),
        "two types, compressed": write(two_types, mixed, 0),
        "sizes with zero bytes": write(
            [("a", b"")], [(0, (("x" * 249,), None)), (0, (("x" * 505,), None)), (0, ((), None))]
        ),
    }


@pytest.mark.parametrize("blob", samples().values(), ids=samples().keys())
def test_every_truncation_is_noticed(blob):
    for size in range(len(blob)):
        with pytest.raises(CorruptChunk):
            Chunk.decode(blob[:size])
    with pytest.raises(CorruptChunk):
        Chunk.decode(blob + b"\0")


@pytest.mark.parametrize("blob", samples().values(), ids=samples().keys())
def test_every_changed_bit_or_byte_is_noticed(blob):
    for position, byte in enumerate(blob):
        for change in (1, 2, 4, 8, 16, 32, 64, 128, 255, byte or 1):
            damaged = bytearray(blob)
            damaged[position] ^= change
            with pytest.raises(ChunkError):
                Chunk.decode(bytes(damaged))


def sealed_body(blob: bytes) -> tuple[bytes, int, bool]:
    """The uncompressed body of a sample, to be damaged under a right checksum."""
    plain = plain_codec.decode(blob)
    return plain_codec.pack_body(plain), len(plain.payloads), len(plain.types) > 1


@pytest.mark.parametrize("blob", samples().values(), ids=samples().keys())
def test_damage_under_a_right_checksum_is_noticed_or_harmless(blob):
    body, number, type_column = sealed_body(blob)
    for position in range(len(body)):
        for byte in (0, 1, 0x2C, 0xFF):
            damaged = body[:position] + bytes([byte]) + body[position + 1 :]
            read_all(plain_codec.pack(damaged, number, type_column=type_column))
        read_all(plain_codec.pack(body[:position], number, type_column=type_column))


@settings(max_examples=200)
@given(st.binary(max_size=60), st.integers(0, 12), st.integers(0, 3))
def test_any_body_under_a_right_checksum_is_safe_to_read(body, number, flags):
    read_all(plain_codec.pack(body, number, flags=flags))


def read_all(blob: bytes) -> None:
    """Reads whatever there is to read; a ChunkError is fine, anything else is not."""
    try:
        chunk = Chunk.decode(blob)
    except ChunkError:
        return
    read = parts(chunk)
    assert all(entry < len(read.types) for entry in read.entries)
    assert chunk.payloads(0, chunk.n) == b"[" + b",".join(read.payloads) + b"]"


@pytest.mark.parametrize("version", [2, 3, 255])
def test_newer_versions_are_told_from_damage(version):
    with pytest.raises(NewerFormat, match=f"format {version}"):
        Chunk.decode(plain_codec.pack(b"whatever comes next", 1, version=version))


@pytest.mark.parametrize("flags", [4, 8, 5, 128])
def test_newer_flags_are_told_from_damage(flags):
    with pytest.raises(NewerFormat, match="flags"):
        Chunk.decode(plain_codec.pack(b"\x01\x01a\0\0[{}]", 1, flags=flags))


@pytest.mark.parametrize(
    ("body", "number", "header"),
    [
        (b"\x01\x01a\0\0[{}]", 0, {}),
        (b"\x01\x01a\0\0[{}]", 1001, {}),
        (b"\x01\x01a\0\0[{}]", 1, {"raw_size": 2**32 - 1}),
        (b"\x01\x01a\0\0[{}]", 1, {"raw_size": 8}),
        (b"\x01\x01a\0\0[{}]", 1, {"raw_size": 2**31, "compressed": True}),
        (b"\x01\x01a\0\0[{}]", 1, {"version": 0}),
        (b"\x01\x01\xe5\0\0[{}]", 1, {}),
        (b"\x01\x01a\0\0[", 1, {}),
        (b"\x00[{}]", 1, {}),
        (b"\x02\x01a\0\0\x01b\0\0[{}]", 1, {}),
        (b"\x01\x01a\xff\xff[{}]", 1, {}),
        (b"\x01\xff", 1, {}),
        (b"", 1, {}),
    ],
)
def test_impossible_chunks_are_corrupt(body, number, header):
    with pytest.raises(CorruptChunk):
        Chunk.decode(plain_codec.pack(body, number, **header))


def test_a_compressed_body_that_claims_another_size_is_not_unpacked():
    bomb = plain_codec.pack(b"\0" * (100 << 20), 1, compressed=True, raw_size=1000)
    with pytest.raises(CorruptChunk, match="another size"):
        Chunk.decode(bomb)


def test_a_compressed_body_without_a_size_is_corrupt():
    stream = b"(\xb5/\xfd\x00X\x01\x00\x00"
    with pytest.raises(CorruptChunk):
        Chunk.decode(plain_codec.pack(stream, 1, flags=1))


@pytest.mark.parametrize(("name", "options"), [("å", b""), ("n" * 256, b""), ("n", b"x" * 65536), ("n", None)])
def test_types_that_do_not_fit_their_fields_are_refused(name, options):
    writer = ChunkWriter()
    with pytest.raises(ValueError):
        writer.entry(name, options)
    writer.add(writer.entry("n", b"x" * 65535), ())
    assert Chunk.decode(writer.finish(0)).types == [("n", b"x" * 65535)]


def test_a_full_type_table_says_so():
    writer = ChunkWriter()
    for index in range(255):
        assert writer.entry(f"t{index}") == index
    assert writer.entry("one too many") == -1
    assert writer.entry("t254") == 254
    for index in range(255):
        writer.add(index, (index,))
    chunk = Chunk.decode(writer.finish(0))
    assert [chunk.types[chunk.type_index(index)][0] for index in range(255)] == [f"t{index}" for index in range(255)]


@pytest.mark.parametrize("entry", [-1, 1, 256, 2**31 - 1])
def test_an_entry_that_is_not_in_the_table_is_refused(entry):
    writer = ChunkWriter()
    writer.entry("mail")
    with pytest.raises(ValueError, match="not in the chunk's table"):
        writer.add(entry, ())
    assert writer.count == 0


def test_a_chunk_holds_a_thousand_jobs():
    writer = ChunkWriter()
    entry = writer.entry("mail")
    assert writer.fill(entry, iter(range(1000)), 1000, NEVER) is False
    with pytest.raises(ValueError, match="at most 1000"):
        writer.add(entry, ())
    assert Chunk.decode(writer.finish(0)).n == 1000


def test_an_empty_chunk_is_refused():
    with pytest.raises(ValueError, match="at least one job"):
        ChunkWriter().finish(0)


def test_chunks_that_could_not_be_read_back_are_not_written():
    writer = ChunkWriter(max_payload_bytes=32 << 20)
    entry = writer.entry("mail")
    # The most that the settings allow: a chunk just short of full, and one more of the largest jobs.
    writer.add(entry, ("x" * ((16 << 20) - 100),))
    large = "x" * ((32 << 20) - 100)
    writer.add(entry, (large,))
    with pytest.raises(ValueError, match="bytes of payload"):
        writer.add(entry, (large,))
    with pytest.raises(ValueError):
        ChunkWriter(max_payload_bytes=64 << 20)
    assert Chunk.decode(writer.finish(0)).n == 2


@pytest.mark.parametrize("created_at_ms", [-1, 2**48, 2**63 - 1])
def test_impossible_times_are_refused_and_nothing_is_lost(created_at_ms):
    writer = ChunkWriter()
    writer.add(writer.entry("mail"), (1,))
    with pytest.raises(ValueError, match="not a time"):
        writer.finish(created_at_ms)
    assert Chunk.decode(writer.finish(2**48 - 1)).created_at_ms == 2**48 - 1


def test_fill_reads_shapes_of_arguments():
    writer = ChunkWriter()
    items = iter([(1, 2), {"a": 1}, [1, 2], "text", (), {}, None])
    assert writer.fill(writer.entry("mail"), items, 100, NEVER) is True
    chunk = Chunk.decode(writer.finish(0))
    assert orjson.loads(chunk.payloads(0, chunk.n)) == [
        [1, 2, {}], [{"a": 1}], [[1, 2], {}], ["text", {}], [{}], [{}], [None, {}],
    ]  # fmt: skip


def test_fill_stops_at_its_limits_and_takes_nothing_more():
    writer = ChunkWriter()
    entry = writer.entry("mail")
    items = iter(range(100))
    assert writer.fill(entry, items, 10, NEVER) is False
    assert next(items) == 10
    assert writer.fill(entry, items, 100, writer.size + 1) is False
    assert next(items) == 12


def test_fill_passes_on_what_the_iterator_raises():
    def broken():
        yield 1
        raise LookupError("no more")

    writer = ChunkWriter()
    with pytest.raises(LookupError):
        writer.fill(writer.entry("mail"), broken(), 10, NEVER)
    assert writer.count == 1
    with pytest.raises(TypeError):
        writer.fill(0, [1, 2], 10, NEVER)


def test_a_writer_is_as_new_after_each_chunk():
    writer = ChunkWriter()
    for name in ("first", "second"):
        writer.add(writer.entry(name), (name,))
        chunk = Chunk.decode(writer.finish(0))
        assert (writer.count, writer.size) == (0, 0)
        assert (chunk.n, chunk.types) == (1, [(name, b"")])
    writer.add(writer.entry("third"), ())
    writer.clear()
    with pytest.raises(ValueError):
        writer.finish(0)


def test_bodies_are_compressed_from_the_given_size_on():
    small, large = ("x" * 10,), ("x" * 2000,)
    for args, compressed in ((small, 0), (large, 1)):
        writer = ChunkWriter(compress_min=1024)
        writer.add(writer.entry("mail"), args)
        assert writer.finish(0)[3] == compressed


def test_arguments_that_share_and_multiply_end_early():
    shared: list[object] = ["x"]
    for _ in range(60):
        shared = [shared, shared]
    writer = ChunkWriter(max_payload_bytes=10_000)
    with pytest.raises(PayloadTooLarge):
        writer.add(writer.entry("mail"), (shared,))
    assert (writer.count, writer.size) == (0, 0)
