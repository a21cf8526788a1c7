"""What an app logs in its handlers, with and without a logging configuration of its own, beside the worker's lines."""

from __future__ import annotations

import json
from typing import Any

from fastjobs import FastJobs
from tests.harness.worker import Lab, Worker

APP = """
import logging, logging.config, os, sys, warnings
from fastjobs import Context, Discard, FastJobs

app = FastJobs()
log = logging.getLogger("shop.orders")
{configuration}
log.info("imported")


@app.job(retries=1, retry_delay=0)
def pay(order):
    log.debug("details")
    log.info("paid %s", order, extra={{"order": order, "who": "\\ud800"}})
    logging.getLogger("library").addHandler(logging.NullHandler())
    logging.getLogger("library").warning("connection dropped")
    warnings.warn("old call")


@app.job(retries=1, retry_delay=0)
def decline(order):
    raise ValueError(f"no money for {{order}}")


@app.job
def refuse(order):
    raise Discard("not ours")


@app.job
def remark(context: Context):
    context.logger.info("noted", extra={{"page": 3}})
"""


def run(lab: Lab, *arguments: str, configuration: str = "") -> Worker:
    """Runs one job of each type with a logging configuration."""
    (lab.directory / "shop.py").write_text(APP.format(configuration=configuration))
    producer = FastJobs(lab.server.url, namespace=lab.namespace)
    for name in ("pay", "decline", "refuse", "remark"):
        producer.job(name=name)(lambda *_: None).enqueue(*([] if name == "remark" else [7]))
    worker = lab.worker("--burst", *arguments, app="shop.py:app")
    assert worker.wait() == 0, worker.log
    return worker


def lines(worker: Worker) -> list[dict[str, Any]]:
    return [json.loads(line) for line in worker.log.splitlines()]


def test_an_apps_own_lines_are_written_as_those_of_the_worker(lab: Lab) -> None:
    log = run(lab).log
    assert " info     shop.orders: imported\n" in log
    assert " info     shop.orders: paid 7 order=7 who=\\ud800\n" in log
    assert " warning  library: connection dropped\n" in log
    assert "details" not in log
    assert log.count("paid 7") == 1


def test_the_level_of_the_worker_holds_for_an_apps_own_lines(lab: Lab) -> None:
    assert " debug    shop.orders: details\n" in run(lab, "--log-level", "debug").log
    assert "paid" not in run(lab, "--log-level", "warning").log


def test_every_line_of_a_json_log_is_an_object_whoever_wrote_it(lab: Lab) -> None:
    found = lines(run(lab, "--log-format", "json"))
    by_message = {line["message"]: line for line in found}
    paid = by_message["paid 7"]
    assert (paid["logger"], paid["level"], paid["order"], paid["who"]) == ("shop.orders", "info", 7, "\ud800")
    assert by_message["imported"]["logger"] == "shop.orders"
    assert by_message["noted"]["page"] == 3
    assert by_message["noted"]["type"] == "remark"
    assert any("old call" in message for message in by_message)
    started = by_message["worker started"]
    assert started["app"] == "shop.py:app"
    assert started["queues"] == ["default"]
    assert set(started["types"]) == {"pay", "decline", "refuse", "remark"}
    assert (started["processes"], started["threads"]) == (1, 1)


def test_the_line_of_a_job_that_raised_has_message_and_traceback(lab: Lab) -> None:
    found = lines(run(lab, "--log-format", "json"))
    for message in ("job will be retried", "job failed"):
        (line,) = [line for line in found if line["message"] == message and line["type"] == "decline"]
        assert (line["error"], line["reason"]) == ("ValueError", "no money for 7")
        assert line["exception"].startswith("Traceback (most recent call last):\n  File ")
        assert 'shop.py", line' in line["exception"].splitlines()[1]
    (refused,) = [line for line in found if line["message"] == "job failed" and line["type"] == "refuse"]
    assert refused["reason"] == "not ours"
    assert "exception" not in refused


def test_finished_jobs_are_logged_at_the_level_debug_only(lab: Lab) -> None:
    assert "job finished" not in run(lab).log
    found = lines(run(lab, "--log-level", "debug", "--log-format", "json"))
    finished = [line for line in found if line["message"] == "job finished"]
    assert sorted(line["type"] for line in finished) == ["pay", "remark"]
    assert all(line["attempt"] == 1 and line["run_s"] > 0 and line["job"] for line in finished)


def test_an_apps_basic_configuration_is_left_alone(lab: Lab) -> None:
    log = run(lab, configuration="logging.basicConfig(format='MINE %(levelname)s %(message)s')").log
    assert "paid" not in log
    assert "MINE WARNING connection dropped\n" in log
    assert log.count("connection dropped") == 1
    assert "job will be retried" in log
    log = run(lab, configuration="logging.basicConfig(format='MINE %(message)s', level='INFO')").log
    assert log.count("paid 7") == log.count("MINE paid 7\n") == 1


def test_a_configuration_with_its_defaults_does_not_silence_the_worker(lab: Lab) -> None:
    mine = """logging.config.dictConfig({
        "version": 1,
        "formatters": {"mine": {"format": "MINE %(message)s"}},
        "handlers": {"own": {"class": "logging.StreamHandler", "formatter": "mine"}},
        "loggers": {"shop": {"handlers": ["own"], "level": "INFO"}},
    })"""
    log = run(lab, configuration=mine).log
    assert "job will be retried" in log
    assert " info     noted job=" in log
    # The logger below the configured one was there before and is named by nobody, but it is a child of one that is.
    assert log.count("paid 7") == log.count("MINE paid 7\n") == 1
    assert " warning  library: connection dropped\n" in log


def test_an_app_can_take_the_lines_of_fastjobs_over(lab: Lab) -> None:
    mine = """logging.config.dictConfig({
        "version": 1,
        "formatters": {"mine": {"format": "MINE %(message)s %(fastjobs_fields)s"}},
        "handlers": {"own": {"class": "logging.StreamHandler", "formatter": "mine"}},
        "loggers": {"fastjobs": {"handlers": ["own"], "level": "WARNING"}},
    })"""
    log = run(lab, configuration=mine).log
    assert "MINE job will be retried {'job': " in log
    assert "warning  job will be retried" not in log
    assert "noted" not in log


def test_a_configuration_in_a_start_hook_is_left_alone(lab: Lab) -> None:
    mine = """
@app.on_worker_start
def configure(worker):
    logging.basicConfig(format='MINE %(message)s', level='INFO')
"""
    log = run(lab, configuration=mine).log
    assert log.count("paid 7") == log.count("MINE paid 7\n") == 1
