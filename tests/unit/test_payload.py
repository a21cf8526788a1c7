"""What arguments are stored as, and what is refused, where and why."""

from __future__ import annotations

import datetime
import decimal
import enum
import uuid
from collections import OrderedDict, namedtuple

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastjobs._core import Chunk, ChunkWriter
from fastjobs.errors import PayloadError, PayloadTooLarge
from fastjobs.model.payload import MAX_DEPTH, explain
from fastjobs.model.secret import Secret
from tests.harness import values

Point = namedtuple("Point", "x y")


class Text(str):
    pass


class Number(int):
    pass


class Real(float):
    pass


class Items(list):
    pass


class Color(enum.IntEnum):
    RED = 1


def stored(args, keywords=None) -> bytes:
    writer = ChunkWriter()
    writer.add(writer.entry("mail"), args, keywords)
    return Chunk.decode(writer.finish(0)).payload(0)


def refusal(args, keywords=None, **limits) -> PayloadError:
    """The refusal, after making sure that the writer goes on as if nothing had been."""
    writer = ChunkWriter(**limits)
    entry = writer.entry("mail")
    with pytest.raises(PayloadError) as caught:
        writer.add(entry, args, keywords)
    assert (writer.count, writer.size) == (0, 0)
    writer.add(entry, ("before",))
    size = writer.size
    with pytest.raises(PayloadError):
        writer.add(entry, args, keywords)
    assert (writer.count, writer.size) == (1, size)
    writer.add(entry, ("after",))
    chunk = Chunk.decode(writer.finish(0))
    assert [chunk.payload(index) for index in range(chunk.n)] == [b'["before",{}]', b'["after",{}]']
    return caught.value


def nested(depth: int, innermost: object = None) -> object:
    value = innermost
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


@settings(max_examples=300)
@given(values.positional, values.keywords)
def test_what_is_stored_reads_back_as_it_was(args, keywords):
    read = orjson.loads(stored(args, keywords))
    assert read == [*args, keywords]
    assert _types(read) == _types([*args, keywords])


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=20))
def test_floats_keep_every_bit(numbers):
    read = orjson.loads(stored(numbers))[:-1]
    assert [number.hex() for number in read] == [number.hex() for number in numbers]


@given(st.text(st.characters(max_codepoint=0x24F, exclude_categories=["Cs"])))
def test_every_text_is_escaped_as_json_wants_it(text):
    assert orjson.loads(stored((text,), {text: text})) == [text, {text: text}]


@pytest.mark.parametrize(
    ("args", "keywords", "expected"),
    [
        ((), None, b"[{}]"),
        ([], {}, b"[{}]"),
        ((1, "a"), None, b'[1,"a",{}]'),
        ((), {"x": None}, b'[{"x":null}]'),
        ((True, False, None), None, b"[true,false,null,{}]"),
        ((-(2**63), 2**64 - 1, 0), None, b"[-9223372036854775808,18446744073709551615,0,{}]"),
        ((2**63, 2**63 - 1), None, b"[9223372036854775808,9223372036854775807,{}]"),
        ((-0.0, 1e16, 0.1, 5e-324), None, b"[-0.0,1e+16,0.1,5e-324,{}]"),
        (('"\\\0\x1f\x7f/',), None, b'["\\"\\\\\\u0000\\u001f\x7f/",{}]'),
        (("å€𐍈",), None, '["å€𐍈",{}]'.encode()),
        ((((1,), [2, ()]),), None, b"[[[1],[2,[]]],{}]"),
        (({"": {}},), None, b'[{"":{}},{}]'),
        ((Secret('a"'), {"k": Secret("")}), None, b'[{"$secret":"a\\""},{"k":{"$secret":""}},{}]'),
        (({"$secrets": 1, "secret$": 2},), None, b'[{"$secrets":1,"secret$":2},{}]'),
    ],
)
def test_stored_form(args, keywords, expected):
    assert stored(args, keywords) == expected


@pytest.mark.parametrize(
    ("args", "keywords", "path", "reason"),
    [
        ((float("nan"),), None, "args[0]", "NaN and infinity"),
        ((1, [float("inf")]), None, "args[1][0]", "NaN and infinity"),
        ((), {"a": -float("inf")}, "kwargs.a", "NaN and infinity"),
        ((2**64,), None, "args[0]", "beyond 64 bits"),
        ((-(2**63) - 1,), None, "args[0]", "beyond 64 bits"),
        (({"n": [0, 10**400]},), None, "args[0].n[1]", "beyond 64 bits"),
        (({1: 2},), None, "args[0]", "a key of type int; keys must be str"),
        (({"ok": {None: 1}},), None, "args[0].ok", "a key of type NoneType"),
        ((), {"a": {b"k": 1}}, "kwargs.a", "a key of type bytes"),
        ((), {1: 2}, "kwargs", "a key of type int"),
        (([{"$secret": "s"}],), None, "args[0][0]", "kept for how a Secret is stored"),
        ((), {"$secret": 1, "other": 2}, "kwargs", "kept for how a Secret is stored"),
        ((Secret("\ud800"),), None, "args[0]", "a lone surrogate"),
        ((), {Text("k"): 2}, "kwargs", "a key of type Text"),
        (("\ud800",), None, "args[0]", "a lone surrogate"),
        (({"a b": "\udfff"},), None, "args[0]['a b']", "a lone surrogate"),
        (({"\ud800": 1},), None, "args[0] (a key)", "a lone surrogate"),
        ((), {"k\udc00": 1}, "kwargs (a key)", "a lone surrogate"),
        ((b"raw",), None, "args[0]", "type bytes"),
        ((bytearray(b"raw"),), None, "args[0]", "type bytearray"),
        (({1},), None, "args[0]", "type set"),
        ((frozenset(),), None, "args[0]", "type frozenset"),
        ((datetime.datetime(2030, 1, 1),), None, "args[0]", "type datetime"),
        ((datetime.date(2030, 1, 1),), None, "args[0]", "type date"),
        (([1, decimal.Decimal(1)],), None, "args[0][1]", "type Decimal"),
        ((uuid.UUID(int=1),), None, "args[0]", "type UUID"),
        ((1j,), None, "args[0]", "type complex"),
        ((Text("a"),), None, "args[0]", "type Text"),
        ((Number(1),), None, "args[0]", "type Number"),
        ((Real(1),), None, "args[0]", "type Real"),
        ((Color.RED,), None, "args[0]", "type Color"),
        ((OrderedDict(a=1),), None, "args[0]", "type OrderedDict"),
        ((Items([1]),), None, "args[0]", "type Items"),
        ((Point(1, 2),), None, "args[0]", "type Point"),
        ((object(),), None, "args[0]", "type object"),
        ((int,), None, "args[0]", "type type"),
        ((range(3),), None, "args[0]", "type range"),
        (({"a": [{"b": ()}, {"b": (1, {2})}]},), None, "args[0].a[1].b[1]", "type set"),
    ],
)
def test_what_cannot_be_stored_exactly_is_refused_with_its_path(args, keywords, path, reason):
    error = refusal(args, keywords)
    assert error.path == path
    assert str(error).startswith(f"{path}: ")
    assert reason in str(error)
    assert (error.index, error.enqueued) == (None, None)
    assert error.__suppress_context__


def test_values_are_not_shown():
    secret = "correct horse"
    for value in (secret + "\ud800", Text(secret), secret.encode()):
        assert secret not in str(refusal((value,)))


@pytest.mark.parametrize("keywords", [False, True])
def test_nesting_is_stored_up_to_the_limit(keywords):
    deepest, deeper = nested(MAX_DEPTH), nested(MAX_DEPTH + 1)
    args = ((deepest,), None) if not keywords else ((), {"k": deepest})
    assert orjson.loads(stored(*args)) == [*args[0], args[1] or {}]
    error = refusal((deeper,), None) if not keywords else refusal((), {"k": deeper})
    assert "nested deeper than 128 levels" in str(error)
    assert error.path.startswith("kwargs.k" if keywords else "args[0]")
    assert len(error.path) < 210


def test_circles_are_refused():
    items: list[object] = [1]
    items.append(items)
    mapping: dict[str, object] = {}
    mapping["again"] = {"deep": [mapping]}
    for value, path in ((items, "args[0][1][1]"), (mapping, "args[0].again.deep[0].again")):
        error = refusal((value,))
        assert "in a circle" in str(error)
        assert error.path.startswith(path)


def test_one_object_in_several_places_is_no_circle():
    shared = {"a": [1]}
    assert orjson.loads(stored((shared, [shared, shared]))) == [shared, [shared, shared], {}]


@pytest.mark.parametrize("keyword", [False, True])
def test_too_large_arguments_are_refused_exactly_at_the_limit(keyword):
    def job(size):
        # 6 or 10 bytes go to brackets, quotes and braces.
        return ((), {"k": "x" * (size - 10)}) if keyword else (("x" * (size - 7),), None)

    writer = ChunkWriter(max_payload_bytes=1000)
    writer.add(writer.entry("mail"), *job(1000))
    assert writer.size == 1000
    error = refusal(*job(1001), max_payload_bytes=1000)
    assert isinstance(error, PayloadTooLarge)
    assert "more than the 1000 bytes allowed" in str(error)
    assert error.path == ""


def test_far_too_large_arguments_are_refused():
    for args in ((["x" * 100] * 10_000,), ("x" * 10**6,), ('"' * 10**6,), ("å" * 10**6,)):
        assert isinstance(refusal(args, max_payload_bytes=1000), PayloadTooLarge)


def test_escapes_count_as_they_are_stored():
    writer = ChunkWriter(max_payload_bytes=6 * 100 + 7)
    writer.add(writer.entry("mail"), ("\0" * 100,))
    assert isinstance(refusal(("\0" * 101,), max_payload_bytes=6 * 100 + 7), PayloadTooLarge)


@pytest.mark.parametrize("bad", [float("nan"), {1: 2}, {"a": {3}}, ("ok", b"no")])
def test_fill_keeps_what_came_before_the_refused_item(bad):
    writer = ChunkWriter()
    items = iter([(1,), 2, bad, 4])
    with pytest.raises(PayloadError):
        writer.fill(writer.entry("mail"), items, 100, 1 << 20)
    assert writer.count == 2
    assert next(items) == 4
    chunk = Chunk.decode(writer.finish(0))
    assert chunk.payloads(0, 2) == b"[[1,{}],[2,{}]]"


@pytest.mark.parametrize(("args", "keywords"), [(1, None), ("text", None), (iter(()), None), ((), []), (None, None)])
def test_arguments_of_another_shape_are_a_type_error(args, keywords):
    writer = ChunkWriter()
    with pytest.raises(TypeError):
        writer.add(writer.entry("mail"), args, keywords)


@given(values.positional, values.keywords)
def test_nothing_is_wrong_with_what_can_be_stored(args, keywords):
    assert explain(args, keywords) is None
    assert explain(tuple(args), None) is None


bad_leaves = st.sampled_from([float("nan"), 2**64, b"", {1: 1}, {1}, "\ud800", Text("")])


@given(st.recursive(values.scalars | bad_leaves, lambda inner: st.lists(inner, max_size=3)))
def test_the_fast_pass_and_the_slow_walk_agree(value):
    writer = ChunkWriter()
    entry = writer.entry("mail")
    expected = explain((value,), None)
    if expected is None:
        writer.add(entry, (value,))
    else:
        with pytest.raises(PayloadError) as caught:
            writer.add(entry, (value,))
        assert (str(caught.value), caught.value.path) == (str(expected), expected.path)


def _types(value):
    """The shape of a value: True is not 1, and 1 is not 1.0."""
    if type(value) is list:
        return [_types(item) for item in value]
    if type(value) is dict:
        return {key: _types(item) for key, item in value.items()}
    return type(value)
