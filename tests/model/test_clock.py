"""Time is an input of the test build only."""

from __future__ import annotations

from importlib.resources import files

from fastjobs.store import scripts
from tests.model.clock import CLOCK_KEY, timed_scripts


def test_the_shipped_scripts_take_time_from_the_server_only() -> None:
    clock = (files("fastjobs.store.scripts") / "lib/clock.lua").read_text()
    for script in scripts.all_scripts():
        assert CLOCK_KEY not in script.source
        assert "'GET'" not in script.source
        if "server_clock()" in script.source:
            assert clock.strip() in script.source
            assert script.source.count("function server_clock") == 1
            assert script.source.count("redis.call('TIME')") == 1


def test_the_test_build_differs_in_the_clock_alone_and_ends_with_the_test() -> None:
    shipped = {script.name: script for script in scripts.all_scripts()}
    with timed_scripts():
        for script in scripts.all_scripts():
            assert (script.sha != shipped[script.name].sha) == ("server_clock()" in shipped[script.name].source)
    assert {script.name: script for script in scripts.all_scripts()} == shipped
