"""docs/repair.md lists what fsck can find, word for word, and what doctor checks; findings are counted together."""

from __future__ import annotations

import re
from pathlib import Path

from fastjobs.operating.doctor import Check
from fastjobs.operating.fsck.findings import MAX_NAMED, Finding, Findings, Found

PAGE = Path(__file__).parents[2] / "docs" / "repair.md"


def test_the_page_lists_every_finding_in_the_words_of_the_command() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|$", PAGE.read_text(), re.M)
    sentences = {
        finding.name.lower(): f"**lost:** {finding.sentence}" if finding.lost else finding.sentence
        for finding in Finding
    }
    assert rows == list(sentences.items())


def test_the_page_lists_every_check_of_doctor() -> None:
    rows = re.findall(r"^\| `([a-z ]+)` \|(?:[^|]+\|){3}$", PAGE.read_text(), re.M)
    assert rows == list(Check)


def test_no_two_findings_say_the_same() -> None:
    assert len({finding.sentence for finding in Finding}) == len(Finding)


def test_findings_are_counted_together_and_named_up_to_a_limit() -> None:
    findings = Findings()
    assert not findings
    for number in range(MAX_NAMED + 5):
        findings.note(Finding.JOB_NOWHERE, f"x~{number}", 2)
    findings.note(Finding.READY_UNREADABLE, "bad\udcff")
    nowhere, unreadable = findings.all
    assert (nowhere.jobs, len(nowhere.ids)) == (2 * (MAX_NAMED + 5), MAX_NAMED)
    assert unreadable == Found(Finding.READY_UNREADABLE, 0, ["bad\ufffd"])
    assert (nowhere.lost, nowhere.what) == (False, Finding.JOB_NOWHERE.sentence)
