"""`python jobs.py` enqueues jobs, `fastjobs-worker -p 8` runs them."""

from fastjobs import FastJobs

app = FastJobs()  # uses FASTJOBS_URL, or starts an embedded server


@app.job(queue="mail", retries=3)
def welcome(user_id: int, *, lang: str = "en") -> None:
    print(f"welcome, user {user_id} ({lang})")


@app.job(queue="numbers")
def square(number: int) -> int:
    return number * number


if __name__ == "__main__":
    job = welcome.enqueue(42, lang="sv")
    ids = square.enqueue_many(range(100_000), progress=True)
    print(f"enqueued {job.id} and {len(ids):,} more; now run: fastjobs-worker {__file__} -p 8")
