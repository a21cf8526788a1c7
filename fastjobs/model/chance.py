"""The generator behind jitter and weights: fastjobs' own.

Programs that seed `random` to repeat their results would otherwise have all workers wait and choose in step. It has no
state, so that processes that were forked do not repeat each other either.
"""

from __future__ import annotations

from random import SystemRandom

chance = SystemRandom()
