"""The settings of apps and workers: where arguments, environment and pyproject.toml meet.

For each field the first of these counts: the explicit argument, the environment variable
`FASTJOBS_<FIELD>`, the key in `[tool.fastjobs]` of the nearest pyproject.toml, the default.
"""

from __future__ import annotations

import base64
import importlib.util
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

from fastjobs.errors import ConfigError
from fastjobs.model.names import check_key_part, check_name
from fastjobs.model.setting_names import nearest, unknown_variables, variable_of
from fastjobs.model.settings import (
    read_flag,
    read_integer,
    read_keys,
    read_names,
    read_number,
    read_partition_numbers,
    read_text,
    shown,
)
from fastjobs.model.times import LONGEST_S

DURABILITIES = ("fire", "fsync", "replicated")
LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("text", "json")
#: Workers look at each partition: more than a few per server of a cluster gain nothing.
MAX_PARTITIONS = 1024
_DAY_S = 86_400.0
_MIN_KEY_BYTES = 32


class QueueChoice(NamedTuple):
    """A queue to work on, and its weight if queues are weighted."""

    name: str
    weight: int | None


def parse_queues(text: str) -> tuple[QueueChoice, ...]:
    """Reads `a,b` (strict order) or `a:3,b:1` (weights 1 to 1000); all or none are weighted.

    Raises:
        ConfigError: it is neither.
    """
    choices = []
    for item in text.split(","):
        name, colon, weight = item.strip().rpartition(":")
        if colon and weight.isdecimal():
            if not 1 <= int(weight) <= 1000:
                raise ConfigError(f"queue {item.strip()!r}: a weight is 1 to 1000")
            choices.append(QueueChoice(check_key_part("queue", name), int(weight)))
        else:
            choices.append(QueueChoice(check_key_part("queue", item.strip()), None))
    if len({choice.weight is None for choice in choices}) > 1:
        raise ConfigError(f"queues {text!r}: give all of them a weight, or none")
    if len({choice.name for choice in choices}) < len(choices):
        raise ConfigError(f"queues {text!r}: a queue is named twice")
    return tuple(choices)


@dataclass(frozen=True, kw_only=True)
class Config:
    """The settings of an app. Producers, workers and tools of one namespace should share them.

    Raises:
        ConfigError: a value is out of range.
    """

    #: Where the server is; None = an embedded server for this project.
    url: str | None = field(default=None, repr=False)
    #: Prefix of all keys; apps in different namespaces do not see each other.
    namespace: str = "default"
    #: How long a process's jobs stay its own without a heartbeat, in seconds.
    lease_s: float = 30.0
    #: Limit of one job's encoded arguments.
    max_payload_bytes: int = 1 << 20
    #: Jobs, and bytes of payload, that make a chunk full.
    chunk_jobs: int = 1000
    chunk_bytes: int = 256 << 10
    #: Smaller chunks are stored uncompressed.
    compress_min_bytes: int = 1024
    #: How long a producer tries to store a chunk while the server does not serve, in seconds.
    retry_budget_s: float = 30.0
    #: When an enqueue returns: `fire` once the server has replied, `fsync` once it is on its disk,
    #: `replicated` once it is on `replicas` replicas.
    durability: str = "fire"
    replicas: int = 1
    #: History of finished jobs per queue: how many, and for how many seconds.
    finished_keep: int = 10_000
    finished_keep_s: float = _DAY_S
    #: The same for failed jobs, and for cancelled ones.
    failed_keep: int = 100_000
    failed_keep_s: float = 90 * _DAY_S
    #: Processes a job may take down before it is failed.
    max_crashes: int = 3
    #: Times a job may come back from workers that died as a whole before it is failed.
    max_redeliveries: int = 50
    #: Further runs of a job that raised, unless its type or call says otherwise.
    retries: int = 3
    #: A job that still runs so many seconds after its timeout has its process replaced.
    timeout_grace_s: float = 10.0
    #: A process in which a hook takes longer than so many seconds before or after a job is replaced.
    hook_timeout_s: float = 60.0
    #: A process that has fetched nothing for so many seconds, though it could have, is replaced.
    deaf_after_s: float = 60.0
    #: How long to wait for a connection or a reply, in seconds.
    socket_timeout_s: float = 5.0
    #: Partitions of each queue, over which its jobs are spread: on a cluster, each can be on another node.
    partitions: int = 1
    #: The same for single queues.
    queue_partitions: dict[str, int] | None = None
    #: Keys by id, base64 of at least 32 bytes each. What is stored is signed with the first of the one or encrypted,
    #: and so signed as well, with the first of the other; what was sealed with any of them is read.
    signing_keys: dict[str, str] | None = field(default=None, repr=False)
    encryption_keys: dict[str, str] | None = field(default=None, repr=False)
    #: Whether what is neither signed nor encrypted is refused: such jobs fail and are never run.
    require_signed: bool = False

    def __post_init__(self) -> None:
        check_key_part("namespace", self.namespace)
        if self.durability not in DURABILITIES:
            raise ConfigError(f"durability={self.durability!r}: use one of {', '.join(DURABILITIES)}")
        _check_ranges(self, _CONFIG_RANGES)
        for queue, number in (self.queue_partitions or {}).items():
            check_key_part("queue", queue)
            if not 1 <= number <= MAX_PARTITIONS:
                raise ConfigError(f"queue_partitions: {queue}={number!r} is out of range: 1 to {MAX_PARTITIONS}")
        _check_keys("signing_keys", self.signing_keys)
        _check_keys("encryption_keys", self.encryption_keys)
        if self.encryption_keys and importlib.util.find_spec("cryptography") is None:
            raise ConfigError("encryption_keys needs the extra: pip install 'fastjobs[crypto]'")
        if self.require_signed and not (self.signing_keys or self.encryption_keys):
            raise ConfigError("require_signed needs signing_keys or encryption_keys to check signatures with")

    def partitions_of(self, queue: str) -> int:
        """Returns how many partitions a queue has."""
        return (self.queue_partitions or {}).get(queue, self.partitions)

    @property
    def finished_keep_ms(self) -> int:
        """How long finished jobs are kept, in milliseconds; 0 = not at all."""
        return int(self.finished_keep_s * 1000) if self.finished_keep else 0

    @property
    def lease_ms(self) -> int:
        """The lease in milliseconds."""
        return round(self.lease_s * 1000)

    @property
    def beat_ms(self) -> float:
        """How often leases are renewed: five heartbeats may get lost."""
        return self.lease_ms / 6

    @property
    def reclaim_ms(self) -> float:
        """How often each worker looks for dead sessions, on average."""
        return self.lease_ms / 4


@dataclass(frozen=True, kw_only=True)
class WorkerConfig:
    """The settings of one worker.

    Raises:
        ConfigError: a value is out of range.
    """

    #: What it is called in lists, logs and errors; None = `host:pid`.
    name: str | None = None
    #: Modules with handlers to import beside the app's; of a package, all modules below it.
    include: tuple[str, ...] = ()
    #: Processes that run jobs.
    processes: int = field(default_factory=lambda: os.cpu_count() or 1)
    #: Threads per process that run jobs.
    threads: int = 1
    #: Queues to work on, in order or by weight; empty = all queues of the app's job types.
    queues: tuple[QueueChoice, ...] = ()
    #: Most jobs a process holds unstarted; 1 = strictly by priority.
    batch_size: int = 2000
    #: End when all queues are drained.
    burst: bool = False
    #: How long running jobs have to end when the worker stops, in seconds.
    shutdown_timeout_s: float = 25.0
    #: How long a process may take to import the app and to run its `on_worker_start` hooks, in seconds.
    start_timeout_s: float = 600.0
    #: Replace a process after so many jobs, or above so many MiB; 0 = never.
    max_jobs_per_child: int = 0
    max_memory_per_child_mb: int = 0
    #: Restart the processes when Python files change.
    reload: bool = False
    log_level: str = "info"
    log_format: str = "text"

    def __post_init__(self) -> None:
        if self.name is not None:
            check_name("worker", self.name)
        if self.log_level not in LOG_LEVELS:
            raise ConfigError(f"log_level={self.log_level!r}: use one of {', '.join(LOG_LEVELS)}")
        if self.log_format not in LOG_FORMATS:
            raise ConfigError(f"log_format={self.log_format!r}: use one of {', '.join(LOG_FORMATS)}")
        _check_ranges(self, _WORKER_RANGES)


_BIG = 2**53
_CONFIG_RANGES: dict[str, tuple[float, float]] = {
    "lease_s": (0.1, 86_400),
    "max_payload_bytes": (16, 32 << 20),
    "chunk_jobs": (1, 1000),
    "chunk_bytes": (1, 16 << 20),
    "compress_min_bytes": (0, _BIG),
    "retry_budget_s": (0, 86_400),
    "replicas": (1, 100),
    "finished_keep": (0, _BIG),
    "finished_keep_s": (0, LONGEST_S),
    "failed_keep": (0, _BIG),
    "failed_keep_s": (0, LONGEST_S),
    "max_crashes": (1, 1000),
    "max_redeliveries": (1, 1_000_000),
    "retries": (0, 1_000_000),
    "timeout_grace_s": (0.01, 86_400),
    "hook_timeout_s": (0.01, 86_400),
    "deaf_after_s": (2, 86_400),
    "socket_timeout_s": (0.01, 3600),
    "partitions": (1, MAX_PARTITIONS),
}
_WORKER_RANGES: dict[str, tuple[float, float]] = {
    "processes": (1, 1024),
    "threads": (1, 1024),
    "batch_size": (1, 2048),
    "shutdown_timeout_s": (0, 86_400),
    "start_timeout_s": (0.1, 86_400),
    "max_jobs_per_child": (0, _BIG),
    "max_memory_per_child_mb": (0, _BIG),
}

#: Settings whose environment variable and pyproject key is the name of their option.
_OUTER_NAMES = {
    "name": "worker_name",
    "threads": "concurrency",
    "shutdown_timeout_s": "shutdown_timeout",
    "start_timeout_s": "start_timeout",
    "max_memory_per_child_mb": "max_memory_per_child",
}
_INNER_NAMES = {outer: inner for inner, outer in _OUTER_NAMES.items()}


def _check_ranges(config: object, ranges: Mapping[str, tuple[float, float]]) -> None:
    for name, (low, high) in ranges.items():
        value = getattr(config, name)
        if not low <= value <= high:
            raise ConfigError(f"{name}={shown(value)} is out of range: {low:g} to {high:g}")


def _check_keys(setting: str, keys: Mapping[str, str] | None) -> None:
    """Checks keys without showing one."""
    for name, text in (keys or {}).items():
        check_name(f"{setting}: the id of a key,", name)
        try:
            size = len(base64.b64decode(text, validate=True))
        except (ValueError, TypeError):
            size = 0
        if size < _MIN_KEY_BYTES:
            raise ConfigError(f"{setting}: key {name!r} is not the base64 of at least {_MIN_KEY_BYTES} random bytes")


def _queues(value: Any) -> tuple[QueueChoice, ...]:
    if isinstance(value, str):
        return parse_queues(value)
    names = [item if isinstance(item, str) else ":".join(map(str, item)) for item in value]
    return parse_queues(",".join(names)) if names else ()


#: Annotation of a field -> how to read it, and what to call that in an error.
_READERS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "int": (read_integer, "an integer"),
    "float": (read_number, "a number"),
    "bool": (read_flag, "true or false"),
    "str": (read_text, "text"),
    "str | None": (read_text, "text"),
    "dict[str, int] | None": (read_partition_numbers, "numbers such as a:4,b:2"),
    "dict[str, str] | None": (read_keys, "keys such as new:BASE64,old:BASE64"),
    "tuple[str, ...]": (read_names, "names such as a,b"),
    "tuple[QueueChoice, ...]": (_queues, "queues such as a,b or a:3,b:1"),
}


def pyproject_settings() -> tuple[Path | None, dict[str, Any]]:
    """Returns the nearest pyproject.toml, from here upwards, and its [tool.fastjobs].

    Raises:
        ConfigError: the file is not TOML, or has something else in that place.
    """
    here = Path.cwd()
    for directory in (here, *here.parents):
        path = directory / "pyproject.toml"
        if path.is_file():
            import tomllib  # noqa: PLC0415 - only projects with such a file need it

            try:
                tool = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {})
            except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
                raise ConfigError(f"{path} cannot be read: {error}") from error
            settings = tool.get("fastjobs", {}) if isinstance(tool, dict) else tool
            if not isinstance(settings, dict):
                raise ConfigError(f"{path}: [tool.fastjobs] is no table")
            return path, {key.replace("-", "_"): value for key, value in settings.items()}
    return None, {}


def _outer_name(name: str) -> str:
    return _OUTER_NAMES.get(name, name)


def _known_names() -> set[str]:
    names = {item.name for kind in (Config, WorkerConfig) for item in fields(kind)}
    return {_outer_name(name) for name in names} | {"app"}


def _resolve(kind: type[Any], explicit: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values of a dataclass that are set anywhere, read as their fields demand."""
    path, project = pyproject_settings()
    _refuse_unknown(kind, explicit, path, project)
    values = {}
    for item in fields(kind):
        outer = _outer_name(item.name)
        variable = variable_of(outer)
        if explicit.get(item.name) is not None:
            source, value = item.name, explicit[item.name]
        elif os.environ.get(variable):
            source, value = variable, os.environ[variable]
        elif outer in project:
            source, value = f"{path}: {outer}", project[outer]
        else:
            continue
        read, expected = _READERS[str(item.type)]
        try:
            values[item.name] = read(value)
        except (ValueError, TypeError, AttributeError):
            # What is kept out of `repr` is secret.
            text = shown(value) if item.repr else "***"
            raise ConfigError(f"{source}={text}: expected {expected}") from None
    return values


def _refuse_unknown(
    kind: type[Any], explicit: Mapping[str, Any], path: Path | None, project: Mapping[str, Any]
) -> None:
    inner_names, outer_names = {item.name for item in fields(kind)}, _known_names()
    for name in sorted(set(explicit) - inner_names):
        raise ConfigError(f"there is no setting {name!r}{nearest(name, inner_names, _INNER_NAMES)}")
    for name in sorted(set(project) - outer_names):
        raise ConfigError(f"{path}: [tool.fastjobs] has no setting {name!r}{nearest(name, outer_names, _OUTER_NAMES)}")
    for name in unknown_variables(os.environ, outer_names):
        hint = nearest(name, outer_names, _OUTER_NAMES, variable_of)
        raise ConfigError(f"the environment has {variable_of(name)}, but there is no such setting{hint}")


def load_config(**explicit: Any) -> Config:
    """Returns an app's settings; see the module for where they come from.

    Args:
        explicit: values for fields of `Config`; None = not given.

    Raises:
        ConfigError: an unknown setting, or a value that cannot be used; names its source.
    """
    values = _resolve(Config, explicit)
    if "url" not in values:
        values["url"] = os.environ.get("REDIS_URL") or os.environ.get("VALKEY_URL") or None
    return Config(**values)


def load_worker_config(**explicit: Any) -> WorkerConfig:
    """Returns a worker's settings; see the module for where they come from.

    Args:
        explicit: values for fields of `WorkerConfig`; None = not given.

    Raises:
        ConfigError: an unknown setting, or a value that cannot be used; names its source.
    """
    return WorkerConfig(**_resolve(WorkerConfig, explicit))
