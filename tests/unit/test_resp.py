"""RESP: commands as a plain encoder packs them, replies however cut, and bytes that are neither."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastjobs._core import NOT_READY, CommandBuffer, ReplyError, ReplyReader, pack_head

arguments = st.lists(
    st.binary(max_size=30) | st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
    | st.integers(-(2**63), 2**63 - 1),
    max_size=6,
)  # fmt: skip
lines = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=20)
leaves = (
    st.none() | st.integers(-(2**63), 2**63 - 1) | st.binary(max_size=30) | lines.map(lambda text: ReplyError(text))
)
replies = st.recursive(leaves, lambda inner: st.lists(inner, max_size=4), max_leaves=15)


def plain_command(parts) -> bytes:
    out = b"*%d\r\n" % len(parts)
    for part in parts:
        raw = part if isinstance(part, bytes) else str(part).encode()
        out += b"$%d\r\n%s\r\n" % (len(raw), raw)
    return out


def plain_reply(reply) -> bytes:
    if reply is None:
        return b"$-1\r\n"
    if isinstance(reply, int):
        return b":%d\r\n" % reply
    if isinstance(reply, bytes):
        return b"$%d\r\n%s\r\n" % (len(reply), reply)
    if isinstance(reply, ReplyError):
        return b"-%s\r\n" % reply.message.encode()
    return b"*%d\r\n" % len(reply) + b"".join(map(plain_reply, reply))


def comparable(reply):
    """Replies with errors as pairs: two `ReplyError`s are never equal."""
    if isinstance(reply, ReplyError):
        return ("error", reply.message)
    return list(map(comparable, reply)) if isinstance(reply, list) else reply


def read(*portions: bytes) -> list[object]:
    """Every reply there is after each portion."""
    reader = ReplyReader()
    found = []
    for portion in portions:
        reader.feed(portion)
        while (reply := reader.get()) is not NOT_READY:
            found.append(comparable(reply))
    return found


# Commands.


@given(st.lists(st.tuples(arguments, arguments), min_size=1, max_size=5))
def test_commands_are_packed_as_the_plain_encoder_does(commands):
    calls, lists = CommandBuffer(), CommandBuffer()
    expected = []
    for head, rest in commands:
        calls.call(pack_head(*head), *rest)
        lists.extend(pack_head(*head), rest)
        expected.append(plain_command([*head, *rest]))
    assert len(calls) == len(commands)
    assert calls.tobytes() == lists.tobytes() == b"".join(expected)
    assert calls.size == len(calls.tobytes())
    assert [calls.command(index) for index in range(len(calls))] == expected


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (None, TypeError),
        (1.5, TypeError),
        (True, TypeError),
        (["a"], TypeError),
        (bytearray(b"a"), TypeError),
        (2**63, OverflowError),
        ("\ud800", UnicodeEncodeError),
    ],
)
def test_a_refused_argument_leaves_the_buffer_as_it_was(bad, error):
    buffer = CommandBuffer()
    buffer.call(pack_head("PING"))
    with pytest.raises(error):
        buffer.call(pack_head("SET", "key"), "value", bad)
    with pytest.raises(error):
        pack_head("SET", bad)
    buffer.call(pack_head("GET"), "key")
    assert buffer.tobytes() == plain_command(["PING"]) + plain_command(["GET", "key"])
    assert len(buffer) == 2


@pytest.mark.parametrize("head", [(), (b"",), (b"", 1, 2), ("text", 1), (b"", "1"), (None, None)])
def test_a_head_of_another_make_is_refused(head):
    buffer = CommandBuffer()
    with pytest.raises(TypeError):
        buffer.call(head, "a")
    assert (len(buffer), buffer.size) == (0, 0)


@pytest.mark.parametrize("index", [-1, 1, 2, 2**63 - 1, -(2**63)])
def test_commands_that_are_not_there_are_an_index_error(index):
    buffer = CommandBuffer()
    buffer.call(pack_head("PING"))
    with pytest.raises(IndexError):
        buffer.command(index)


def test_a_cleared_buffer_is_empty():
    buffer = CommandBuffer()
    buffer.call(pack_head("PING"))
    buffer.clear()
    assert (len(buffer), buffer.size, buffer.tobytes()) == (0, 0, b"")


# Replies.


@settings(max_examples=200)
@given(st.lists(replies, min_size=1, max_size=4), st.data())
def test_replies_are_read_however_they_are_cut(expected, data):
    stream = b"".join(map(plain_reply, expected))
    expected = list(map(comparable, expected))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    portions = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert read(*portions) == expected
    assert read(*(bytes([byte]) for byte in stream)) == expected


SAMPLE = [
    [1, [b"chunk~000+12", b"", None], [[], [[b"\r\n$5\r\n", -7]]], ReplyError("ERR one")],
    b"x" * 300,
    [],
    ReplyError("NOSCRIPT none"),
    None,
    2**63 - 1,
]


def test_replies_are_read_split_at_every_position():
    stream = b"".join(map(plain_reply, SAMPLE))
    expected = list(map(comparable, SAMPLE))
    for cut in range(len(stream) + 1):
        assert read(stream[:cut], stream[cut:]) == expected


def test_a_reply_is_ready_with_its_last_byte_and_not_before():
    reader = ReplyReader()
    *most, last = plain_reply(SAMPLE[0])
    for byte in most:
        reader.feed(bytes([byte]))
        assert reader.get() is NOT_READY
        assert reader.get() is NOT_READY
    reader.feed(bytes([last]))
    assert comparable(reader.get()) == comparable(SAMPLE[0])
    assert reader.get() is NOT_READY


def test_other_forms_of_nothing_and_of_text():
    assert read(b"*-1\r\n+OK\r\n+\r\n-\r\n$0\r\n\r\n*0\r\n:-0\r\n") == [
        None, b"OK", b"", ("error", ""), b"", [], 0,
    ]  # fmt: skip


def test_any_buffer_of_bytes_can_be_fed():
    reader = ReplyReader()
    for portion in (bytearray(b":1"), memoryview(b"x2\r\n")[1:], b""):
        reader.feed(portion)
    assert reader.get() == 12
    with pytest.raises(TypeError):
        reader.feed(None)


def test_errors_that_are_not_utf_8_are_readable():
    assert read(b"-ERR \xff\r\n") == [("error", "ERR �")]
    assert repr(ReplyError("ERR x")) == "ReplyError('ERR x')"
    assert repr(NOT_READY) == "NOT_READY"


def test_the_reader_keeps_up_when_every_portion_ends_inside_a_reply():
    stream = plain_reply([b"x" * 50, 7]) * 2000
    portions = [stream[start : start + 777] for start in range(0, len(stream), 777)]
    assert read(*portions) == [[b"x" * 50, 7]] * 2000


def test_a_large_reply_is_read_in_many_portions():
    """Reading an array anew with each portion, this would run into the time limit."""
    reply = [b"%07d" % number for number in range(200_000)]
    stream = plain_reply(reply)
    assert read(*(stream[start : start + 128] for start in range(0, len(stream), 128))) == [reply]


@pytest.mark.parametrize(
    "stream",
    [
        b"PONG\r\n",
        b"\r\n",
        b"\n",
        b"%1\r\n+a\r\n+b\r\n",
        b":\r\n",
        b":-\r\n",
        b":--1\r\n",
        b":+1\r\n",
        b": 1\r\n",
        b":1.0\r\n",
        b":1\n",
        b":9223372036854775808\r\n",
        b":-9223372036854775809\r\n",
        b":99999999999999999999\r\n",
        b":1" + b"0" * 30,
        b"$a\r\n",
        b"$-2\r\n",
        b"$9223372036854775807\r\n",
        b"$9223372036854775805\r\nxx\r\n",
        b"$4294967296\r\n",
        b"$" + b"1" * 40,
        b"$2\r\nabc\r\n",
        b"$2\r\nab\rc",
        b"$2\r\nabcd",
        b"*-2\r\n",
        b"*9223372036854775807\r\n",
        b"*4294967296\r\n",
        b"*x\r\n",
        b"*2\r\n:1\r\n?",
        b"*1\r\n" * 9,
        b"+OK\n",
        b"-ERR\n",
        b"+" + b"x" * (1 << 20),
    ],
)
def test_what_is_not_resp_is_a_value_error_again_and_again(stream):
    reader = ReplyReader()
    reader.feed(stream)
    for _ in range(3):
        with pytest.raises(ValueError, match="protocol error"):
            reader.get()


def test_replies_nest_up_to_the_limit():
    assert read(b"*1\r\n" * 8 + b":1\r\n") == [[[[[[[[[1]]]]]]]]]
    with pytest.raises(ValueError, match="too deep"):
        read(b"*1\r\n" * 8 + b"*0\r\n")


def test_sizes_beyond_what_has_come_are_waited_for():
    for stream in (
        b"$1073741824\r\nabc",
        b"*1073741824\r\n:1\r\n",
        b"$3\r\nabc\r",
        b"$3",
        b"$3\r",
        b"",
    ):
        assert read(stream) == []


@settings(max_examples=300)
@given(st.lists(st.sampled_from([b"*", b"$", b":", b"-", b"+", b"\r\n", b"\r", b"\n", b"1", b"3", b"x"])))
def test_any_bytes_give_replies_or_a_value_error(pieces):
    stream = b"".join(pieces)
    outcomes = []
    for portions in ([stream], [bytes([byte]) for byte in stream]):
        try:
            outcomes.append(read(*portions))
        except ValueError:
            outcomes.append("refused")
    assert outcomes[0] == outcomes[1]
