"""The scripts as files: what their headers say, what the loader makes of them, and that they agree with the tables."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

import fastjobs
from fastjobs.model.refs import SEQUENCE_DIGITS
from fastjobs.store import scripts
from fastjobs.store.keys import NAMESPACE_KEYS, QUEUE_KEYS, StoredKey

PACKAGE = Path(fastjobs.__file__).parent
FOLDER = PACKAGE / "store/scripts"
FILES = sorted(FOLDER.rglob("*.lua"))
NAMES = scripts.names()
#: A check that the loader puts in, alone on its line.
CHECK = re.compile(r"^read\('([A-Z]+)', keys\.(\w+)\)$", re.MULTILINE)


def text_of(name: str) -> str:
    return (FOLDER / f"{name}.lua").read_text(encoding="utf-8")


def test_every_file_of_the_folder_is_a_script() -> None:
    assert list(NAMES) == sorted(path.stem for path in FOLDER.glob("*.lua"))


@pytest.mark.parametrize("name", NAMES)
def test_a_header_says_what_the_script_does_takes_returns_costs_and_keeps(name: str) -> None:
    header = text_of(name).partition("\n\n")[0]
    lines = header.splitlines()
    assert lines[0].startswith("-- ")
    assert sum(line.startswith("-- @keys ") for line in lines) >= 1
    for part in ("-- Returns ", "-- O(", "Keeps: "):
        assert part in header, f"{name} has no {part!r}"
    body = text_of(name)[len(header) :]
    documented = [int(number) for number in re.findall(r"-- ARGV\[(\d+)", header)]
    assert documented == list(range(1, len(documented) + 1))
    assert {int(number) for number in re.findall(r"ARGV\[(\d+)\]", body)} <= set(documented)


@pytest.mark.parametrize("name", NAMES)
def test_keys_are_described_and_bound_as_they_are_declared(name: str) -> None:
    script = scripts.load(name)
    assert len(set(script.keys)) == len(script.keys)
    for number, key in enumerate(script.keys, 1):
        entry = QUEUE_KEYS[key]
        assert f"-- KEYS[{number}] {key}  {{..}}:{key}  {entry.type}  {entry.meaning}\n" in script.source
        assert re.search(rf"^local keys = {{.*\b{key} = KEYS\[{number}\][,}}]", script.source, re.MULTILINE)
    assert script.source.count("\nlocal keys = ") == 1
    assert len(re.findall(r"^-- KEYS", script.source, re.MULTILINE)) == len(script.keys)


@pytest.mark.parametrize("name", NAMES)
def test_a_script_declares_the_keys_that_it_uses(name: str) -> None:
    script = scripts.load(name)
    used = set(re.findall(r"\bkeys\.(\w+)", CHECK.sub("", script.source)))
    assert used <= set(script.keys)
    chosen = set(script.keys) - used
    # What is chosen by a name: of failed and cancelled jobs by their status, else by an argument.
    assert not chosen or ("keys[" in script.source and (chosen <= {"failed", "cancelled"} or "keys[" in text_of(name)))


@pytest.mark.parametrize("name", NAMES)
def test_a_script_checks_the_type_of_a_key_once(name: str) -> None:
    script = scripts.load(name)
    checks = CHECK.findall(script.source)
    assert all(count == 1 for count in Counter(checks).values())
    assert all(command == QUEUE_KEYS[key].size_command for command, key in checks)
    for exceptions in re.findall(r"^-- @check except (.+)$", text_of(name), re.MULTILINE):
        read_by_itself = set(re.findall(r"\bread\('[A-Z]+', keys\.(\w+)", CHECK.sub("", script.source)))
        assert set(exceptions.split()) <= read_by_itself & set(script.keys)


def test_the_check_names_keys_that_the_script_does_not_read_itself() -> None:
    assert "-- @check except sessions\n" in text_of("audit")
    checked = {key for _, key in CHECK.findall(scripts.load("audit").source)}
    assert checked == {*scripts.load("audit").keys} - {"sessions", "stats"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_keys_and_digits_are_written_by_the_loader_only(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\bKEYS\b", text), "keys are declared by `-- @keys`"
    assert "%x%x" not in text, "the digits of a sequence are `<sequence>` in a `-- @pattern`"
    assert f"%0{SEQUENCE_DIGITS}x" not in text, "the format of a sequence is `-- @const SEQUENCE_FORMAT`"


def test_every_file_of_lib_is_included_by_a_script_and_begins_with_a_sentence() -> None:
    texts = [*map(text_of, NAMES), *(path.read_text() for path in FOLDER.glob("lib/*.lua"))]
    included = {name for text in texts for name in re.findall(r"^-- @include (\S+)$", text, re.MULTILINE)}
    assert included == {f"lib/{path.stem}" for path in FOLDER.glob("lib/*.lua")}
    for path in FOLDER.glob("lib/*.lua"):
        assert re.match(r"-- [A-Z][^\n]*\n", path.read_text(encoding="utf-8")), path.name


def test_all_keys_of_a_queue_can_be_declared_at_once() -> None:
    assert scripts.load("survey").keys == tuple(QUEUE_KEYS)


def test_what_the_loader_does_not_know_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("-- @keys queue\n", "-- @const SEQUENCES\n", "-- @using keys\n"):
        monkeypatch.setattr(scripts, "_read", lambda name, text=text: text)
        with pytest.raises(KeyError):
            scripts.load.__wrapped__("new")


def test_a_constant_that_two_files_share_is_bound_once(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "new": "-- @keys chunks\n-- @keys jobs\n-- @include lib/one\n-- @const SEQUENCE_DIGITS\nreturn 1\n",
        "lib/one": "-- @const SEQUENCE_DIGITS\n",
    }
    monkeypatch.setattr(scripts, "_read", files.__getitem__)
    script = scripts.load.__wrapped__("new")
    assert script.keys == ("chunks", "jobs")
    assert script.source.count("local SEQUENCE_DIGITS = 13\n") == 1
    assert script.source.count("local keys = {chunks = KEYS[1], jobs = KEYS[2]}\n") == 1


@pytest.mark.parametrize("entry", [*QUEUE_KEYS.values(), *NAMESPACE_KEYS.values()])
def test_the_owner_of_a_key_exists(entry: StoredKey) -> None:
    assert (PACKAGE / entry.owner).exists()


#: What reads a whole key, however large it is, and where that is in order, because the key is small or read in pages.
WHOLE = re.compile(r"redis\.call\('(?:HGETALL|HKEYS|HVALS|SMEMBERS)'[^\n]*|'ZRANGE', [\w.]+, 0, -1[^\n]*")
SMALL_KEYS = {
    # The counters: a few dozen, and two per job type.
    ("lib/stillness.lua", "redis.call('HGETALL', keys.stats), {}"),
    # Only when the key has few entries.
    ("lib/cancelling.lua", "'ZRANGE', keys.cancelling, 0, -1)"),
    ("survey.lua", "redis.call('HKEYS', keys[key.name]) or {}) do"),
}


def test_no_script_reads_a_whole_key_that_may_be_large() -> None:
    """`make cost` counts commands; one command that reads a whole key would count as one."""
    found = {
        (str(path.relative_to(FOLDER)), whole)
        for path in FILES
        for whole in WHOLE.findall(path.read_text(encoding="utf-8"))
    }
    assert found == SMALL_KEYS
