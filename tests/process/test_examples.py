"""The examples as a newcomer runs them, on few files and with an embedded server of their own."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastjobs.server import embedded
from tests.harness.commands import SCRIPTS, run

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

TEXTS = {
    "plain.txt": b"one two two three three three\n",
    "empty.txt": b"",
    "sub/no newline.py": b"import os\nimport sys",
    "sub/ångström.txt": "åäö åäö 東京\n".encode(),
    'sub/quotes "and\\n".txt': b"tricky name\n",
}
NOT_UTF8 = {"latin.txt": b"\xe5\xe4\xf6", "sub/image.bin": bytes(range(256))}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory with files that can be described, files that cannot, and one that is not looked at."""
    directory = tmp_path / "files"
    for name, data in {**TEXTS, **NOT_UTF8, "__pycache__/skipped.txt": b"skipped"}.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return directory


@pytest.fixture
def project() -> Iterator[Path]:
    """A project directory with a path short enough for a socket."""
    directory = Path(tempfile.mkdtemp(prefix="fj-", dir="/tmp"))
    yield directory
    embedded.stop(directory)
    shutil.rmtree(directory)


@pytest.fixture
def report(files: Path, project: Path) -> Path:
    """The report of a run over the files."""
    result = run(sys.executable, EXAMPLES / "index_files.py", str(files), cwd=project, FASTJOBS_DIR=str(project))
    assert result.returncode == 0, result.stderr
    return project / "index.jsonl"


def lines_of(report: Path) -> list[str]:
    return report.read_text().splitlines(keepends=True)


def check(report: Path, files: Path) -> tuple[int, str]:
    result = run(sys.executable, EXAMPLES / "check_index.py", report, str(files), cwd=report.parent)
    assert result.stderr == ""
    return result.returncode, result.stdout


def test_every_utf8_file_is_described_once(report: Path, files: Path) -> None:
    found = [json.loads(line) for line in lines_of(report)]
    assert sorted(entry["path"] for entry in found) == sorted(str(files / name) for name in TEXTS)
    for entry in found:
        data = Path(entry["path"]).read_bytes()
        assert entry["bytes"] == len(data)
        assert entry["sha256"] == hashlib.sha256(data).hexdigest()
    by_name = {Path(entry["path"]).name: entry for entry in found}
    assert by_name["plain.txt"]["words"] == [["three", 3], ["two", 2], ["one", 1]]
    assert by_name["no newline.py"]["lines"] == 2
    assert by_name["empty.txt"]["lines"] == 0


def test_files_that_are_not_utf8_fail_for_good_and_keep_their_error(files: Path, project: Path) -> None:
    result = run(sys.executable, EXAMPLES / "index_files.py", str(files), cwd=project, FASTJOBS_DIR=str(project))
    assert result.returncode == 0, result.stderr
    assert f"{len(TEXTS)} files described" in result.stdout
    assert f"{len(NOT_UTF8)} failed" in result.stdout
    for name in NOT_UTF8:
        assert f"{files / name}: UnicodeDecodeError: 'utf-8' codec can't decode byte" in result.stderr
    counts = counts_of(project)["index"]["counts"]
    assert (counts["finished"], counts["failed"], counts["retrying"]) == (len(TEXTS), len(NOT_UTF8), 0)


def test_files_whose_names_are_no_text_are_told_and_left_out(files: Path, project: Path) -> None:
    Path(os.fsdecode(os.fsencode(files) + b"/name\xff.txt")).write_text("text")
    result = run(sys.executable, EXAMPLES / "index_files.py", str(files), cwd=project, FASTJOBS_DIR=str(project))
    assert result.returncode == 0, result.stderr
    assert f"{len(TEXTS)} files described" in result.stdout
    assert "name\\xff.txt" in result.stderr


def counts_of(project: Path) -> dict[str, dict[str, dict[str, int]]]:
    result = run(SCRIPTS / "fastjobs", "info", "--json", cwd=project, FASTJOBS_DIR=str(project))
    assert result.returncode == 0, result.stderr
    queues: dict[str, dict[str, dict[str, int]]] = json.loads(result.stdout)["queues"]
    return queues


def test_check_accepts_a_true_report(report: Path, files: Path) -> None:
    assert check(report, files) == (0, "0 differences\n")


def test_check_finds_a_changed_line(report: Path, files: Path) -> None:
    lines = lines_of(report)
    entry = json.loads(lines[0])
    entry["lines"] += 1
    report.write_text("".join([json.dumps(entry) + "\n", *lines[1:]]))
    code, output = check(report, files)
    assert code == 1
    assert entry["path"] in output
    assert output.endswith("1 differences\n")


def test_check_finds_a_missing_line(report: Path, files: Path) -> None:
    first, *others = lines_of(report)
    report.write_text("".join(others))
    code, output = check(report, files)
    assert (code, output) == (1, f"{json.loads(first)['path']}: not reported\n1 differences\n")


def test_check_finds_a_job_that_ran_twice(report: Path, files: Path) -> None:
    lines = lines_of(report)
    report.write_text("".join([*lines, lines[0]]))
    code, output = check(report, files)
    assert (code, output) == (1, f"{json.loads(lines[0])['path']}: reported 2 times\n1 differences\n")


def test_check_finds_jobs_that_should_have_failed_or_should_not(
    report: Path, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    from check_index import differences
    from index_files import files_under

    paths = list(files_under(str(files)))
    failed = {str(files / name): "UnicodeDecodeError" for name in NOT_UTF8}
    assert differences(report, paths, failed) == []
    missed, *_ = failed
    without = {path: error for path, error in failed.items() if path != missed}
    assert differences(report, paths, without) == [f"{missed}: job failed with None, the loop with UnicodeDecodeError"]
    wrong = {**failed, missed: "OSError"}
    assert differences(report, paths, wrong) == [f"{missed}: job failed with OSError, the loop with UnicodeDecodeError"]


def run_demo(examples: Path, home: Path, files: Path) -> subprocess.CompletedProcess[str]:
    demo = examples / "demo.py"
    return run(sys.executable, demo, "--home", home, "--directory", files, "--jobs", "3000", cwd=examples)


def test_demo_runs_twice_in_the_same_place_and_leaves_no_server(files: Path, project: Path) -> None:
    home = project / "demo"
    for _ in range(2):
        result = run_demo(EXAMPLES, home, files)
        assert result.returncode == 0, result.stdout + result.stderr
        assert f"finds the same: {len(TEXTS)} described, {len(NOT_UTF8)} failed" in result.stdout
        assert f"{len(NOT_UTF8)} failed with UnicodeDecodeError" in result.stdout
        assert embedded.status(home) is None
    assert len(lines_of(home / "report.jsonl")) == len(TEXTS)


#: What follows is done when a worker imports the module, and not when the demo does.
BY_WORKER = "from fastjobs import importing\nif importing.running:\n"


def test_demo_exits_with_1_when_its_worker_cannot_run(files: Path, project: Path) -> None:
    home = project / "demo"
    examples = altered_examples(project, f"{BY_WORKER}    raise RuntimeError('broken')\n")
    result = run_demo(examples, home, files)
    assert result.returncode == 1
    assert "the worker exited with 2" in result.stdout
    assert "broken" in (home / "worker.log").read_text()
    assert embedded.status(home) is None


def test_demo_exits_with_1_when_a_job_reports_something_else(files: Path, project: Path) -> None:
    lie = f"import index_files\n{BY_WORKER}    index_files.WORD = index_files.re.compile('two')\n"
    result = run_demo(altered_examples(project, lie), project / "demo", files)
    assert result.returncode == 1
    assert f"{files / 'plain.txt'}: reported" in result.stdout
    assert "differences" in result.stdout


def altered_examples(project: Path, code: str) -> Path:
    """A copy of the examples whose `demo_jobs.py` ends with other code."""
    examples = project / "examples"
    shutil.copytree(EXAMPLES, examples, ignore=shutil.ignore_patterns("__pycache__"))
    with (examples / "demo_jobs.py").open("a") as file:
        file.write(code)
    return examples


def test_demo_replaces_no_directory_but_its_own(files: Path, project: Path) -> None:
    home = project / "mine"
    home.mkdir()
    (home / "precious").touch()
    assert run_demo(EXAMPLES, home, files).returncode == 2
    assert (home / "precious").exists()


def test_quickstart_enqueues_and_a_worker_runs_it(project: Path) -> None:
    quickstart = EXAMPLES / "quickstart.py"
    result = run(sys.executable, quickstart, cwd=project, FASTJOBS_DIR=str(project))
    assert result.returncode == 0, result.stderr
    assert counts_of(project)["numbers"]["counts"]["queued"] == 100_000

    worker = SCRIPTS / "fastjobs-worker"
    result = run(worker, quickstart, "-p", "2", "--burst", cwd=project, FASTJOBS_DIR=str(project))
    assert result.returncode == 0, result.stderr
    assert "welcome, user 42 (sv)" in result.stdout
    queues = counts_of(project)
    assert queues["numbers"]["totals"]["finished"] == 100_000
    assert queues["mail"]["totals"]["finished"] == 1


def output_of(example: str, project: Path, **environment: str) -> str:
    """What an example prints when it is run as its first lines say."""
    result = run(sys.executable, EXAMPLES / example, cwd=project, FASTJOBS_DIR=str(project), **environment)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_enqueuing_shows_every_way_and_its_jobs_run(project: Path) -> None:
    output = output_of("enqueuing.py", project)
    for line in (
        "1000 and 2 more",
        "3 of several types",
        "the same job: True",
        "job id 'invoice-17' is already taken",
        "item 1, args[1]: NaN and infinity cannot be stored; stored before it: 0",
    ):
        assert line in output
    lines = output.splitlines()
    for line in ("Ada: 2", "Bo: 1", "Cy: 3", "Di: 1", "Ed: 1", "Flo: 1", "999 + 999 = 1998", "99 + 0 = 99"):
        assert lines.count(line) == 1, line
    assert not [line for line in lines if line.startswith("Gus")]
    assert sum(" + " in line for line in lines) == 1000 + 1 + 100


#: Lets each enqueue take as long as a busy machine may take for it.
SLOW_ENQUEUES = """
import time
from fastjobs import JobType

def slowed(enqueue):
    def wrapper(*args, **kwargs):
        time.sleep(PAUSE_S)
        return enqueue(*args, **kwargs)
    return wrapper

JobType.enqueue = slowed(JobType.enqueue)
JobType.enqueue_many = slowed(JobType.enqueue_many)
"""


@pytest.mark.parametrize("pause_s", [0, 0.6])
def test_scheduling_runs_by_priority_and_then_in_order(project: Path, tmp_path: Path, pause_s: float) -> None:
    (tmp_path / "sitecustomize.py").write_text(SLOW_ENQUEUES.replace("PAUSE_S", str(pause_s)))
    lines = output_of("scheduling.py", project, PYTHONPATH=f"{tmp_path}{os.pathsep}{EXAMPLES.parent}").splitlines()
    assert "is scheduled, due 20" in lines[0]
    calls = [line.removeprefix("call ") for line in lines[1:]]
    assert [line.split(",")[0] for line in calls[:4]] == ["Ed", "Flo", "Cy", "Di"]
    assert len(calls) == 4 + 2 + 20
    assert calls.index("Bo, at a time") < calls.index("Ada, after half a second")
    of_many = [line for line in calls if line.startswith("number")]
    assert of_many == [f"number {number} of many" for number in range(20)]


def test_retries_tells_what_became_of_each_job(project: Path) -> None:
    assert output_of("retries.py", project).splitlines() == [
        "flaky is finished",
        "  ConnectionError: the shop does not answer",
        "  ConnectionError: the shop does not answer",
        "polite is finished",
        "  Retry: not ready yet",
        "hopeless is failed",
        "  Discard: there is no order 7",
        "broken is failed",
        "  ValueError: order 8 cannot be read",
        "1 runs again",
        "deadly is failed",
        *["  WorkerCrashed: the process that ran the job was killed by SIGKILL"] * 3,
    ]


def test_operations_change_what_they_say(project: Path) -> None:
    lines = output_of("operations.py", project).splitlines()
    assert lines[:7] == [
        "{'scheduled': 1, 'queued': 500}",
        "send [250, 'SE'] is queued, priority 0, 3 retries left",
        "after set_priority: queued",
        "now first in line: [250, 'SE']",
        "after cancel: cancelled",
        "after reschedule: scheduled",
        "after reschedule without delay: queued",
    ]
    assert lines[-3:] == ["a page of 200, there is more", "cancelled 500", "destroyed 500"]


def test_queues_are_paused_drained_and_cleared(project: Path) -> None:
    lines = output_of("queues.py", project).splitlines()
    assert lines[0] == "a worker with 2 processes works on photos"
    assert lines[1] == "paused: True, 300 wait"
    assert lines[3:] == ["drained, 300 finished", "cleared 51"]
