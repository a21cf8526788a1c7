"""The Lua scripts: one file per atomic step, which the loader completes before a server gets it.

A script holds six kinds of directives, each a line of its own:

    -- @keys <name> ...             declares the keys it gets (`*` = all of a queue, in their order): describes them as
                                    keys.py does, and binds `keys.<name>` to each
    -- @check [except <name> ...]   reads each of its keys, but those that the script itself checks with `read`, so that
                                    the script fails before its first write if a key has a foreign type; of `stats` it
                                    reads the layout, and fails if this release does not know it
    -- @declared                    binds `declared` to the list of its keys: name, type, and whether values are large
    -- @include lib/<name>          the functions of that file, once
    -- @const <NAME>                binds a constant that scripts share with Python
    -- @pattern <NAME> <text>       binds a pattern, in which `<sequence>` stands for the digits of a sequence, and
                                    `<score>` for those of a score

Servers address scripts by their content (EVALSHA), so two releases of fastjobs can share one server.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from functools import cache
from importlib.resources import files

from fastjobs.model.refs import MAX_CHUNK_JOBS, MAX_REF_BYTES, SEQUENCE_DIGITS
from fastjobs.model.stored import CHUNK_MAGIC, CONTENT_OFFSET, JOB_TIMES, LAYOUT, SEGMENT_HEAD
from fastjobs.server.script import Script
from fastjobs.store.keys import QUEUE_KEYS

_DIRECTIVE = re.compile(r"^-- @(\w+)(?: (.+))?\n", re.MULTILINE)
_KEYS = re.compile(r"^-- @keys (.+)$", re.MULTILINE)
#: The constants that scripts share with Python.
_CONSTANTS: dict[str, int | str] = {
    "CHUNK_MAGIC": CHUNK_MAGIC.decode(),
    "CONTENT_OFFSET": CONTENT_OFFSET,
    "LAYOUT": str(LAYOUT),
    "MAX_CHUNK_JOBS": MAX_CHUNK_JOBS,
    "MAX_REF_BYTES": MAX_REF_BYTES,
    "JOB_TIMES_BYTES": JOB_TIMES.size,
    "SEGMENT_HEAD_BYTES": SEGMENT_HEAD.size,
    "SEQUENCE_DIGITS": SEQUENCE_DIGITS,
    "SEQUENCE_FORMAT": f"%0{SEQUENCE_DIGITS}x",
}


#: A score in line: minus a priority, which has up to ten digits.
_SCORE = "-?%d" + "%d?" * 10


@cache
def _read(name: str) -> str:
    return (files(__name__) / f"{name}.lua").read_text(encoding="utf-8")


@cache
def load(name: str) -> Script:
    """Returns the script of this name, completed.

    Raises:
        FileNotFoundError: no such script or include.
        KeyError: no such directive, key or constant.
    """
    source = _read(name)
    expansion = _Expansion(_declared_in(source))
    source = expansion.expand(source)
    # The server addresses scripts by their SHA-1; nothing is secured by it.
    sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
    return Script(name, source, sha, expansion.keys)


@cache
def names() -> tuple[str, ...]:
    """Returns the names of all scripts: one for each file of this folder."""
    found = (file.name for file in files(__name__).iterdir())
    return tuple(sorted(name.removesuffix(".lua") for name in found if name.endswith(".lua")))


def all_scripts() -> tuple[Script, ...]:
    """Returns every script."""
    return tuple(map(load, names()))


def _declared_in(source: str) -> tuple[str, ...]:
    declared = " ".join(_KEYS.findall(source)).split()
    return tuple(QUEUE_KEYS) if declared == ["*"] else tuple(declared)


def _check(name: str) -> str:
    if name == "stats":
        return "check_layout(read('HGET', keys.stats, 'layout'))"
    return f"read('{QUEUE_KEYS[name].size_command}', keys.{name})"


class _Expansion:
    """Puts text in place of the directives of one script."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        self.keys = keys
        #: Parts that stand in the script already: keys, constants and functions are bound once.
        self._bound: set[str] = set()

    def expand(self, source: str) -> str:
        return _DIRECTIVE.sub(lambda found: self._expand_one(found[1], (found[2] or "").split()), source)

    def _expand_one(self, directive: str, words: list[str]) -> str:
        makers: dict[str, Callable[..., list[str]]] = {
            "keys": self._bind_keys,
            "check": self._check_types,
            "declared": self._list_keys,
            "include": self._include,
            "const": self._bind_constant,
            "pattern": self._bind_pattern,
        }
        return "".join(f"{line}\n" for line in makers[directive](*words))

    def _include(self, name: str) -> list[str]:
        if name in self._bound:
            return []
        self._bound.add(name)
        return [self.expand(_read(name)).rstrip("\n")]

    def _bind_keys(self, *_: str) -> list[str]:
        if "keys" in self._bound:
            return []
        self._bound.add("keys")
        entries = [(name, QUEUE_KEYS[name]) for name in self.keys]
        described = [
            f"-- KEYS[{number}] {name}  {{..}}:{name}  {key.type}  {key.meaning}"
            for number, (name, key) in enumerate(entries, 1)
        ]
        bound = ", ".join(f"{name} = KEYS[{number}]" for number, name in enumerate(self.keys, 1))
        return [*described, f"local keys = {{{bound}}}"]

    def _check_types(self, *words: str) -> list[str]:
        return [_check(name) for name in self.keys if name not in words]

    def _list_keys(self) -> list[str]:
        entries = [(name, QUEUE_KEYS[name]) for name in self.keys]
        listed = [
            f"  {{name = '{name}', type = '{key.type}', large = {str(key.large).lower()}}}," for name, key in entries
        ]
        return ["local declared = {", *listed, "}"]

    def _bind_constant(self, name: str) -> list[str]:
        if name in self._bound:
            return []
        self._bound.add(name)
        value = _CONSTANTS[name]
        return [f"local {name} = {value if isinstance(value, int) else repr(value)}"]

    def _bind_pattern(self, name: str, *words: str) -> list[str]:
        pattern = " ".join(words).replace("<sequence>", "%x" * SEQUENCE_DIGITS).replace("<score>", _SCORE)
        return [f"local {name} = '{pattern}'"]
