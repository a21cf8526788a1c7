"""The documentation says what is there: programs, links, flags, settings, keys and scripts."""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import fields
from pathlib import Path

import click
import pytest

from fastjobs import FastJobs, Job, __version__
from fastjobs.cli.main import command as tool
from fastjobs.cli.worker import command as worker
from fastjobs.config import Config
from fastjobs.operating.jobs import JobPage, Jobs
from fastjobs.operating.queues import Queue
from fastjobs.operating.recurring import RecurringJobs
from fastjobs.operating.workers import Worker, Workers
from fastjobs.producing.buffering import Buffer
from fastjobs.store.keys import NAMESPACE_KEYS, QUEUE_KEYS
from fastjobs.store.scripts import all_scripts, names

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("tests/*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def rows_under(text: str, heading: str) -> list[list[str]]:
    """The cells of the table under a heading, without its own."""
    _, _, rest = text.partition(f"\n## {heading}\n")
    assert rest, f"no heading {heading!r}"
    lines = [line for line in rest.partition("\n## ")[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))] for line in lines[2:]]


def anchors_of(page: Path) -> set[str]:
    """What the headings of a page can be linked to by."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_that_exist(page: Path) -> None:
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if link.startswith(("http://", "https://")):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), f"{page.name} links to {link}"
        if anchor:
            assert anchor in anchors_of(target), f"{page.name} links to {link}"


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/*.md")), ids=lambda page: page.stem)
def test_a_page_is_titled_after_its_file(page: Path) -> None:
    title = page.read_text(encoding="utf-8").partition("\n")[0]
    assert title == f"# {page.stem.capitalize()}"


def promise_in(name: str) -> str:
    (quote,) = re.findall(r"(?m)^> A job whose enqueue returned(?:.*\n>)*.*$", read(name))
    return str(quote)


@pytest.mark.parametrize("name", ["README.md", "docs/architecture.md"])
def test_the_promise_is_quoted_word_for_word(name: str) -> None:
    assert promise_in(name) == promise_in("docs/reliability.md")


def test_the_first_program_of_the_readme_is_the_quickstart() -> None:
    first = re.search(r"```python\n(.*?)```", read("README.md"), re.DOTALL)
    assert first is not None
    assert first[1] == read("examples/quickstart.py")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_code_in_the_pages_is_python(page: Path) -> None:
    for code in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        compile(code, str(page), "exec")


#: How the pages call things -> the class whose attributes they may use.
CALLED: dict[str, type] = {
    "app": FastJobs,
    "app.jobs": Jobs,
    "app.workers": Workers,
    "app.recurring": RecurringJobs,
    "job": Job,
    "page": JobPage,
    "photos": Queue,
    "worker": Worker,
    "buffer": Buffer,
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_the_pages_call_is_there(page: Path) -> None:
    app = FastJobs("redis://localhost:1")
    for code in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        for node in ast.walk(ast.parse(code)):
            if not isinstance(node, ast.Attribute) or ast.unparse(node.value) not in CALLED:
                continue
            owner = CALLED[ast.unparse(node.value)]
            known = {*dir(owner), *dir(app)} if owner is FastJobs else {*dir(owner), *inspect.get_annotations(owner)}
            if owner is Job:
                known.add("queue")
            assert node.attr in known, f"{page.name}: {ast.unparse(node)}"


def test_every_key_is_described_as_the_table_has_it() -> None:
    described = {name: rest[:2] for name, *rest in map(plain, rows_under(read("docs/redis.md"), "Keys of a queue"))}
    assert described == {name: [key.type, key.meaning] for name, key in QUEUE_KEYS.items()}
    assert list(described) == list(QUEUE_KEYS)


def test_every_key_of_a_namespace_is_described_as_the_table_has_it() -> None:
    described = {name: rest for name, *rest in map(plain, rows_under(read("docs/redis.md"), "Keys of a namespace"))}
    assert described == {
        f"{{fastjobs:<namespace>}}:{name}": [key.type, key.meaning] for name, key in NAMESPACE_KEYS.items()
    }


def plain(row: list[str]) -> list[str]:
    """The cells of a row without the marks of a page."""
    return [cell.replace("`", "").replace("→", "->") for cell in row]


def test_every_script_is_described() -> None:
    described = [row[0].strip("`") for row in rows_under(read("docs/redis.md"), "Scripts")]
    assert sorted(described) == list(names())


def test_the_commands_that_scripts_call_are_listed() -> None:
    words = {word for script in all_scripts() for word in re.findall(r"'([A-Z]{2,})'", script.source)}
    listed = re.search(r"^Scripts call: ([A-Z\s]+)\.", read("docs/redis.md"), re.MULTILINE)
    assert listed is not None
    assert listed[1].split() == sorted(words - {"BYLEX", "COUNT", "FJ", "LIMIT", "NX", "REV", "WITHSCORES", "XX"})


def test_every_flag_of_the_worker_is_described_as_its_help_does() -> None:
    documented = {row[0].replace("`", ""): row[1] for row in rows_under(read("docs/running.md"), "Flags")}
    told = {}
    for parameter in worker.params:
        if isinstance(parameter, click.Option):
            flags = ", ".join([*parameter.opts, *parameter.secondary_opts])
            told[flags] = parameter.help
    told["-h, --help"] = "Show this message and exit."
    assert documented == told


def test_every_setting_of_an_app_is_described_with_its_default() -> None:
    documented = {row[0].strip("`"): row[1].strip("`") for row in rows_under(read("docs/running.md"), "Settings")}
    assert documented == {item.name: repr(item.default) for item in fields(Config)}


def test_every_command_is_described() -> None:
    text = read("docs/queues.md") + read("docs/jobs.md") + read("docs/running.md")
    for name, group in tool.commands.items():
        for command in group.commands if isinstance(group, click.Group) else ():
            assert f"fastjobs {name} {command}" in text or re.search(rf"fastjobs {name} .*\b{command}\b", text), (
                f"fastjobs {name} {command}"
            )


def test_the_changelog_names_this_version() -> None:
    assert f"## [{__version__}]" in read("CHANGELOG.md")
