"""Secret arguments: shown nowhere, and the text that was given where it is asked for."""

from __future__ import annotations

import copy
import logging

import orjson
import pytest

from fastjobs import Secret
from fastjobs.model.secret import masked, with_secrets
from tests.harness.jobs import make_bench, make_chunk

TEXT = "correct horse"


def test_it_is_shown_nowhere(caplog):
    secret = Secret(TEXT)
    shown = [repr(secret), str(secret), f"{secret}", f"{secret!r:>20}", f"{[secret]} {(secret,)} { {'k': secret} }"]
    with caplog.at_level(logging.DEBUG):
        logging.getLogger().info("%s %r", secret, secret)
    for text in (*shown, caplog.text):
        assert TEXT not in text
        assert "***" in text
    assert secret.reveal() == TEXT
    assert not hasattr(secret, "__dict__")


def test_two_of_the_same_text_are_equal():
    assert Secret(TEXT) == Secret(TEXT) == copy.deepcopy(Secret(TEXT))
    assert Secret(TEXT) != Secret("other")
    assert Secret(TEXT) != TEXT
    assert len({Secret(TEXT), Secret(TEXT), TEXT}) == 2


@pytest.mark.parametrize("value", [b"bytes", 5, None, Secret("nested")])
def test_it_holds_text_only(value):
    with pytest.raises(TypeError, match="a secret is a str"):
        Secret(value)


@pytest.mark.parametrize("neighbours", [0, 100])
def test_handlers_get_it_where_it_was(neighbours):
    args = (Secret(TEXT), {"deep": [1, Secret("")]}, "$secret", {"$": "not one"})
    jobs = [("take", (index,), {}) for index in range(neighbours)]
    taken = []
    with make_bench() as bench:
        bench.lease(make_chunk(*jobs, ("take", args, {"key": Secret("k")})), lambda *a, **k: taken.append((a, k)))
        assert bench.backlog.execute(0) == neighbours + 1
        assert bench.unusual == []
    assert taken[-1] == (args, {"key": Secret("k")})
    assert taken[:-1] == [((index,), {}) for index in range(neighbours)]


def test_what_only_looks_like_one_stays_what_it_is():
    for value in ({"$secret": 5}, {"$secret": "a", "b": 1}, ["$secret", "a"], {"a": {"$secret": None}}):
        assert with_secrets(value) is value
        assert masked(value) == value


def test_what_holds_one_is_copied_and_the_rest_is_not():
    stored = orjson.loads(b'[{"$secret":"a"},[1,2],{"k":{"$secret":"b"}}]')
    revealed = with_secrets(stored)
    assert revealed == [Secret("a"), [1, 2], {"k": Secret("b")}]
    assert revealed[1] is stored[1]
    assert stored == [{"$secret": "a"}, [1, 2], {"k": {"$secret": "b"}}]
    assert masked(revealed) == ["***", [1, 2], {"k": "***"}]


def test_it_is_stored_as_it_is_documented():
    assert make_chunk(("take", (Secret(TEXT),), {})).payload(0) == b'[{"$secret":"correct horse"},{}]'
