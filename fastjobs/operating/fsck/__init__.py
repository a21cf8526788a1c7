"""Compares all that is stored of a partition with itself, and repairs what does not fit.

A survey is taken while no job moves: in one step of a small partition, in pages of a large one, and again when a job
moved meanwhile. Repairs are written in steps that do nothing when a job has moved since the survey; then a new survey
is taken. So fsck is safe while workers and producers are at work; a large queue that never rests has to be paused.

    survey -> rescue -> plan (inventory, claim, settle_..., differ) -> amend
"""

from fastjobs.operating.fsck.checker import Fsck
from fastjobs.operating.fsck.queue_list import check_queue_list
from fastjobs.operating.fsck.report import Report

__all__ = ["Fsck", "Report", "check_queue_list"]
