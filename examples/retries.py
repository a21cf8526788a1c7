"""Jobs that raise: retries, handlers that decide how their job goes on, and failed jobs that run again.

python examples/retries.py
"""

import os
import signal
import tempfile
from pathlib import Path

from fastjobs import Discard, FastJobs, Job, Retry, Status

app = FastJobs()  # uses FASTJOBS_URL, or starts an embedded server


@app.job(queue="orders", retries=2, retry_delay=[0.1, 0.3])
def flaky(marker: str) -> None:
    """Raises twice, then succeeds."""
    with Path(marker).open("a") as file:
        file.write("x")
    if len(Path(marker).read_text()) <= 2:
        raise ConnectionError("the shop does not answer")


@app.job(queue="orders")
def polite(marker: str) -> None:
    if not Path(marker).exists():
        Path(marker).touch()
        raise Retry("not ready yet", in_=0.2)


@app.job(queue="orders", retries=100)
def hopeless(order: int) -> None:
    raise Discard(f"there is no order {order}")


@app.job(queue="orders", retries=0)
def broken(order: int) -> None:
    raise ValueError(f"order {order} cannot be read")


@app.job(queue="orders")
def deadly(order: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    directory = tempfile.mkdtemp()
    run_and_show(
        flaky.enqueue(f"{directory}/flaky"),
        polite.enqueue(f"{directory}/polite"),
        hopeless.enqueue(7),
        broken.enqueue(8),
    )
    number = app.jobs.where(status=Status.FAILED, type="broken", error="ValueError").retry_all()
    print(f"{number} runs again")
    run_and_show(deadly.enqueue(9))
    app.jobs.where(queue="orders").destroy_all()


def run_and_show(*jobs: Job) -> None:
    worker = app.pool(processes=1, burst=True, log_level="error")
    worker.start()
    worker.wait()
    for job in jobs:
        job.refresh()
        print(f"{job.type} is {job.status}")
        for error in job.errors:
            print(f"  {error.type}: {error.message}")


if __name__ == "__main__":
    main()
