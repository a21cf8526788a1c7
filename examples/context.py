"""The context of a job: its deadline and its logger; and hooks. Run it: `python examples/context.py`."""

from __future__ import annotations

import time

from fastjobs import Context, FastJobs, Job, JobTimeout

app = FastJobs()


@app.job(timeout=0.5, retries=1, retry_delay=0)
def count_primes(context: Context, limit: int) -> None:
    """Counts up to a limit, or as far as its time allows."""
    found: list[int] = []
    try:
        for number in range(2, limit):
            if all(number % prime for prime in found if prime * prime <= number):
                found.append(number)
            context.check()
    except JobTimeout:
        context.logger.warning("attempt %d came to %d primes", context.attempt, len(found))
        raise
    context.logger.info("%d primes below %d", len(found), limit)


@app.after_job
def report(job: Job) -> None:
    error = f" after {job.error.type}" if job.error else ""
    print(f"{job.type}{tuple(job.args or ())} is {job.status}{error}", flush=True)


def main() -> None:
    small = count_primes.enqueue(1_000)
    large = count_primes.enqueue(100_000_000)
    stale = count_primes.options(expires=0.001).enqueue(10)
    time.sleep(0.01)  # No worker is running yet, so the last one expires.
    with app.pool(processes=1, burst=True) as pool:
        pool.wait()
    for job in (small, large, stale):
        print(job.refresh().status, [error.type for error in job.errors])


if __name__ == "__main__":
    main()
