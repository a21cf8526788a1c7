"""What `import fastjobs` loads: every program that enqueues a job waits for it."""

from __future__ import annotations

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from fastjobs.server.cluster import slot_of


def test_importing_fastjobs_loads_neither_redis_nor_asyncio_nor_rich() -> None:
    program = "import sys, fastjobs; print({'redis', 'asyncio', 'rich', 'click'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "set()\n"


@given(st.one_of(st.text(st.sampled_from("{}ab"), max_size=8), st.text(max_size=20)))
def test_the_slot_of_a_key_is_the_one_that_redis_py_computes(key: str) -> None:
    text = key.encode("utf-8", "ignore")
    assert slot_of(text) == key_slot(text)
