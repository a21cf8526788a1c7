"""An app whose handlers are in several modules, and what a worker is given by name: queues, a server, a name."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fastjobs import FastJobs, Status
from tests.harness.server import ServerProcess
from tests.harness.waiting import wait_until

BIN = Path(sys.executable).parent
CORE = "from fastjobs import FastJobs\napp = FastJobs({url})\n"
HANDLER = "from shop.core import app\n@app.job(queue={name!r})\ndef {name}(): print('{name} ran', flush=True)\n"


class Shop:
    """A project whose package `shop` has the app in one module and handlers in two others."""

    def __init__(self, directory: Path, server: ServerProcess, namespace: str) -> None:
        self.directory = directory
        self.app = FastJobs(server.url, namespace=namespace)
        self.environment = {**os.environ, "FASTJOBS_URL": server.url, "FASTJOBS_NAMESPACE": namespace}
        self.write("shop/__init__.py", "")
        self.write("shop/core.py", CORE.format(url=""))
        self.write("shop/mail.py", HANDLER.format(name="mail"))
        self.write("shop/back/__init__.py", "")
        self.write("shop/back/report.py", HANDLER.format(name="report"))
        self.write("shop/__main__.py", "raise SystemExit('this runs the shop')")

    def write(self, path: str, text: str) -> None:
        (self.directory / path).parent.mkdir(exist_ok=True)
        (self.directory / path).write_text(text)

    def enqueue(self, *names: str) -> None:
        for name in names:
            self.app.job(name=name, queue=name)(lambda: None).enqueue()

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(BIN / program), *arguments],
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def burst(self, *arguments: str) -> str:
        """Runs a worker until all is done; returns what it has printed."""
        done = self.run("fastjobs-worker", *arguments, "-p", "1", "--burst")
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [str(BIN / "fastjobs-worker"), *arguments, "-p", "1"],
            cwd=self.directory,
            env=self.environment,
            stderr=subprocess.DEVNULL,
        )


@pytest.fixture
def shop(tmp_path: Path, server: ServerProcess, namespace: str) -> Iterator[Shop]:
    shop = Shop(tmp_path, server, namespace)
    yield shop
    shop.app.close()


@pytest.mark.parametrize(
    "arguments",
    [
        ("shop.core:app", "shop.mail", "shop.back.report"),
        ("shop.core:app", "--include", "shop.mail", "--include", "shop.back"),
        ("shop.core:app", "--include", "shop"),
        ("shop.mail", "shop.back.report"),
    ],
    ids=" ".join,
)
def test_handlers_are_found_in_all_modules_that_are_named(shop: Shop, arguments: tuple[str, ...]) -> None:
    shop.enqueue("mail", "report")
    output = shop.burst(*arguments)
    assert "mail ran" in output
    assert "report ran" in output


def test_the_modules_to_include_may_be_set_for_the_project(shop: Shop) -> None:
    shop.enqueue("mail", "report")
    shop.write("pyproject.toml", '[tool.fastjobs]\napp = "shop.core:app"\ninclude = ["shop.mail", "shop.back"]\n')
    assert "report ran" in shop.burst()


def test_an_app_without_job_types_says_how_to_name_their_modules(shop: Shop) -> None:
    for arguments in ((), ("-Q", "mail")):
        done = shop.run("fastjobs-worker", "shop.core:app", *arguments)
        assert done.returncode == 2
        assert "shop.core:app has no job types" in done.stderr
        assert "--include shop" in done.stderr


def test_a_module_of_another_app_is_refused(shop: Shop) -> None:
    shop.write("other.py", CORE.format(url=""))
    done = shop.run("fastjobs-worker", "shop.mail", "other")
    assert done.returncode == 2
    assert "other holds another app than shop.mail:app" in done.stderr


def test_a_pool_knows_the_handlers_of_all_modules_that_its_program_has_imported(shop: Shop) -> None:
    shop.enqueue("mail", "report")
    shop.write(
        "main.py",
        "import shop.mail, shop.back.report\nfrom shop.core import app\nif __name__ == '__main__':\n"
        "    with app.pool(processes=1, burst=True) as pool: print('exit code', pool.wait(50))\n",
    )
    done = shop.run("python", "main.py")
    assert "exit code 0" in done.stdout, done.stderr
    assert "mail ran" in done.stdout
    assert "report ran" in done.stdout


def test_queues_that_are_given_several_times_are_all_worked_on(shop: Shop) -> None:
    shop.enqueue("mail", "report")
    output = shop.burst("shop.core:app", "--include", "shop", "-Q", "mail", "-Q", "report")
    assert "mail ran" in output
    assert "report ran" in output


def test_a_queue_that_nobody_uses_is_named_in_a_warning(shop: Shop) -> None:
    shop.enqueue("mail")
    output = shop.burst("shop.mail", "-Q", "mail,nosuch")
    assert "no job type and no job uses this queue queue=nosuch" in output
    assert "queue=mail" not in output


@pytest.mark.parametrize(
    "command",
    [
        ("queue", "pause", "mial"),
        ("queue", "resume", "mial"),
        ("queue", "clear", "mial"),
        ("queue", "drain", "mial"),
        ("jobs", "ls", "queued", "--queue", "mial"),
        ("jobs", "count", "--queue", "mial"),
        ("jobs", "cancel", "--queue", "mial"),
        ("failed", "ls", "--queue", "mial"),
        ("fsck", "--queue", "mial"),
    ],
    ids=" ".join,
)
def test_a_command_warns_of_a_queue_that_was_never_used(shop: Shop, command: tuple[str, ...]) -> None:
    shop.enqueue("mail")
    done = shop.run("fastjobs", *command)
    assert done.returncode == 0
    assert "warning: no job was ever in queue 'mial'; did you mean 'mail'?" in done.stderr


def test_a_command_does_not_warn_of_a_queue_that_is_used(shop: Shop) -> None:
    shop.enqueue("mail")
    assert shop.run("fastjobs", "queue", "pause", "mail").stderr == ""


def test_the_worker_uses_the_server_that_it_is_given(shop: Shop) -> None:
    shop.enqueue("mail")
    url = shop.environment.pop("FASTJOBS_URL")
    shop.write("shop/core.py", CORE.format(url="'redis://127.0.0.1:1'"))
    assert "mail ran" in shop.burst("shop.mail", "--url", url)
    assert shop.app.jobs.count(Status.FINISHED) == 1


def test_workers_with_names_are_told_apart(shop: Shop) -> None:
    workers = [shop.start("shop.mail", "--name", name) for name in ("web-1", "web-2")]
    try:
        listed: Callable[[], dict[str, bool]] = lambda: {one.name: one.quiet for one in shop.app.workers.list()}  # noqa: E731
        wait_until(lambda: len(listed()) == 2, 30, "both workers are listed")
        assert shop.run("fastjobs", "workers", "quiet", "web-1").returncode == 0
        wait_until(lambda: listed() == {"web-1": True, "web-2": False}, 30, "the one is quiet, and the other is not")
    finally:
        stop(workers)


def test_an_order_to_one_of_two_workers_with_the_same_name_needs_its_id(shop: Shop) -> None:
    workers = [shop.start("shop.mail", "--name", "web") for _ in range(2)]
    try:
        wait_until(lambda: len(shop.app.workers.list()) == 2, 30, "both workers are listed")
        refused = shop.run("fastjobs", "workers", "quiet", "web")
        ids = [worker.id for worker in shop.app.workers.list()]
        assert refused.returncode == 1
        assert f"2 workers are named 'web': use an id, {ids[0]}, {ids[1]}, or all" in refused.stderr
        assert shop.run("fastjobs", "workers", "quiet", ids[0]).returncode == 0
    finally:
        stop(workers)


def stop(workers: list[subprocess.Popen[bytes]]) -> None:
    for worker in workers:
        worker.terminate()
    for worker in workers:
        worker.wait(30)


def test_fastjobs_worker_is_a_command_of_fastjobs_as_well(shop: Shop) -> None:
    shop.enqueue("mail")
    done = shop.run("fastjobs", "worker", "shop.mail", "-p", "1", "--burst")
    assert done.returncode == 0
    assert "mail ran" in done.stdout
