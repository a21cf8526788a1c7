"""Settings: where they come from, in which order, and what is refused."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from fastjobs.config import (
    Config,
    QueueChoice,
    WorkerConfig,
    load_config,
    load_worker_config,
    parse_queues,
    pyproject_settings,
)
from fastjobs.errors import ConfigError


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory and an environment without any settings."""
    for name in list(os.environ):
        if name.startswith("FASTJOBS_") or name in ("REDIS_URL", "VALKEY_URL"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    yield tmp_path


def write_pyproject(directory: Path, text: str) -> None:
    (directory / "pyproject.toml").write_text(f"[tool.fastjobs]\n{text}\n")


def test_without_settings_the_defaults_hold() -> None:
    assert load_config() == Config()
    assert load_worker_config() == WorkerConfig()


def test_an_argument_beats_the_environment_which_beats_pyproject_which_beats_the_default(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pyproject(nowhere, 'namespace = "project"\nlease_s = 1\nchunk-jobs = 10')
    monkeypatch.setenv("FASTJOBS_NAMESPACE", "environment")
    monkeypatch.setenv("FASTJOBS_LEASE_S", "2")
    config = load_config(namespace="argument")
    assert (config.namespace, config.lease_ms, config.chunk_jobs, config.replicas) == ("argument", 2000, 10, 1)


def test_a_setting_given_as_none_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTJOBS_NAMESPACE", "environment")
    assert load_config(namespace=None).namespace == "environment"


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTJOBS_NAMESPACE", "")
    assert load_config().namespace == "default"


def test_urls_come_from_the_usual_variables_last(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VALKEY_URL", "valkey://valkey")
    assert load_config().url == "valkey://valkey"
    monkeypatch.setenv("REDIS_URL", "redis://redis")
    assert load_config().url == "redis://redis"
    write_pyproject(nowhere, 'url = "redis://project"')
    assert load_config().url == "redis://project"
    monkeypatch.setenv("FASTJOBS_URL", "redis://fastjobs")
    assert load_config().url == "redis://fastjobs"
    assert load_config(url="redis://argument").url == "redis://argument"


def test_the_nearest_pyproject_counts(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pyproject(nowhere, 'namespace = "outer"')
    inner = nowhere / "a" / "b"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    assert load_config().namespace == "outer"
    write_pyproject(nowhere / "a", 'namespace = "inner"')
    assert load_config().namespace == "inner"
    assert pyproject_settings()[0] == nowhere / "a" / "pyproject.toml"


def test_a_worker_and_an_app_share_one_section(nowhere: Path) -> None:
    write_pyproject(nowhere, 'app = "shop:app"\nconcurrency = 4\nqueues = ["a", "b"]\nlease_s = 1\nburst = true')
    worker = load_worker_config()
    assert (worker.threads, worker.burst) == (4, True)
    assert worker.queues == (QueueChoice("a", None), QueueChoice("b", None))
    assert load_config().lease_ms == 1000


def test_a_setting_that_does_not_exist_is_named(nowhere: Path) -> None:
    with pytest.raises(ConfigError, match="no setting 'leese_ms'"):
        load_config(leese_ms=1)
    write_pyproject(nowhere, "leese_ms = 1")
    with pytest.raises(ConfigError, match=r"pyproject.toml: \[tool.fastjobs\] has no setting 'leese_ms'"):
        load_config()


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("FASTJOBS_LEASE_MS", "; do you mean 'FASTJOBS_LEASE_S'?"),
        ("FASTJOBS_NAMESPCE", "; do you mean 'FASTJOBS_NAMESPACE'?"),
        ("FASTJOBS_THREADS", "; do you mean 'FASTJOBS_CONCURRENCY'?"),
        ("FASTJOBS_SHUTDOWN_TIMEOUT_S", "; do you mean 'FASTJOBS_SHUTDOWN_TIMEOUT'?"),
        ("FASTJOBS_PORT", ""),
    ],
)
@pytest.mark.parametrize("load", [load_config, load_worker_config])
def test_a_variable_that_is_no_setting_is_an_error_that_names_the_nearest(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch, load: Callable[[], object], variable: str, meant: str
) -> None:
    monkeypatch.setenv(variable, "1")
    with pytest.raises(ConfigError, match=f"^the environment has {variable}, but there is no such setting") as caught:
        load()
    assert str(caught.value).endswith(meant or "no such setting")


@pytest.mark.parametrize(
    "variable",
    [
        *("FASTJOBS_DIR", "FASTJOBS_EMBEDDED", "FASTJOBS_SERVER_BIN", "FASTJOBS_APP", "FASTJOBS_PROCESSES"),
        "FASTJOBS_STARTED_BY",
        *("FASTJOBS_SERVICE_HOST", "FASTJOBS_SERVICE_PORT", "FASTJOBS_SERVICE_PORT_METRICS"),
        *("FASTJOBS_PORT_6379_TCP", "FASTJOBS_PORT_6379_TCP_ADDR", "FASTJOBS_REDIS_SERVICE_HOST"),
    ],
)
def test_variables_of_other_parts_and_of_services_in_a_cluster_are_no_errors(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "1")
    monkeypatch.setenv("FASTJOBS_PORT", "tcp://10.0.0.1:6379")
    monkeypatch.setenv("FASTJOBS_EMPTY", "")
    load_config()


def test_the_nearest_setting_is_named_wherever_one_is_misspelt(nowhere: Path) -> None:
    with pytest.raises(ConfigError, match="there is no setting 'lease_ms'; do you mean 'lease_s'"):
        load_config(lease_ms=1)
    with pytest.raises(ConfigError, match="there is no setting 'concurrency'; do you mean 'threads'"):
        load_worker_config(concurrency=2)
    write_pyproject(nowhere, "threads = 2")
    with pytest.raises(ConfigError, match="has no setting 'threads'; do you mean 'concurrency'"):
        load_worker_config()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lease_s", 0.099),
        ("lease_s", 86_401),
        ("chunk_jobs", 0),
        ("chunk_jobs", 1001),
        ("retry_budget_s", -1),
        ("socket_timeout_s", 0),
        ("finished_keep", -1),
        ("replicas", 0),
        ("retries", -1),
        ("durability", "sure"),
        ("namespace", "a b"),
        ("namespace", ""),
    ],
)
def test_values_out_of_range_are_refused(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=name):
        Config(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"),
    [("processes", 0), ("threads", 0), ("batch_size", 2049), ("log_level", "loud"), ("log_format", "xml")],
)
def test_worker_values_out_of_range_are_refused(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=name):
        WorkerConfig(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("FASTJOBS_CHUNK_JOBS", "soon", "an integer"),
        ("FASTJOBS_CHUNK_JOBS", "1.5", "an integer"),
        ("FASTJOBS_RETRY_BUDGET_S", "nan", "a number"),
        ("FASTJOBS_RETRY_BUDGET_S", "inf", "a number"),
    ],
)
def test_a_value_that_cannot_be_read_is_named_with_its_source(
    variable: str, value: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match=f"{variable}='{value}': expected {expected}"):
        load_config()


def test_a_url_that_cannot_be_read_is_not_shown(nowhere: Path) -> None:
    write_pyproject(nowhere, "url = 12345")
    with pytest.raises(ConfigError, match=r"url=\*\*\*: expected text") as caught:
        load_config()
    assert "12345" not in str(caught.value)


def test_a_flag_is_read_from_its_usual_words(monkeypatch: pytest.MonkeyPatch) -> None:
    for word, flag in (("1", True), ("TRUE", True), ("yes", True), ("0", False), ("no", False)):
        monkeypatch.setenv("FASTJOBS_BURST", word)
        assert load_worker_config().burst is flag
    monkeypatch.setenv("FASTJOBS_BURST", "maybe")
    with pytest.raises(ConfigError, match="true or false"):
        load_worker_config()


def test_a_pyproject_that_is_no_toml_is_named(nowhere: Path) -> None:
    (nowhere / "pyproject.toml").write_text("[tool.fastjobs\n")
    with pytest.raises(ConfigError, match=r"pyproject.toml cannot be read"):
        load_config()


@pytest.mark.parametrize("text", ["tool = 3\n", "[tool]\nfastjobs = 3\n"])
def test_a_pyproject_whose_section_is_no_table_is_named(nowhere: Path, text: str) -> None:
    (nowhere / "pyproject.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"is no table"):
        load_config()


def test_the_url_is_not_in_the_repr() -> None:
    assert "hunter2" not in repr(Config(url="redis://:hunter2@host"))


def test_queues_are_read_in_order_or_with_weights() -> None:
    assert parse_queues("a, b") == (QueueChoice("a", None), QueueChoice("b", None))
    assert parse_queues("a:3,b:1") == (QueueChoice("a", 3), QueueChoice("b", 1))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a:3,b", "all of them a weight"),
        ("a,a", "named twice"),
        ("a:0", "1 to 1000"),
        ("a:1001", "1 to 1000"),
        ("a,,b", "not a name"),
        ("mail:eu", "not a name"),
        ("", "not a name"),
        ("a b", "not a name"),
    ],
)
def test_queues_that_make_no_sense_are_refused(text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        parse_queues(text)


def test_every_duration_may_be_a_timedelta() -> None:
    config = load_config(lease_s=timedelta(seconds=2), finished_keep_s=timedelta(days=2), retry_budget_s=1)
    assert (config.lease_ms, config.finished_keep_s, config.retry_budget_s) == (2000, 172_800.0, 1.0)


def test_derived_times_follow_the_lease() -> None:
    config = Config(lease_s=6)
    assert (config.beat_ms, config.reclaim_ms) == (1000, 1500)
    assert Config(finished_keep_s=1.5).finished_keep_ms == 1500
    assert Config(finished_keep=0, finished_keep_s=1.5).finished_keep_ms == 0
