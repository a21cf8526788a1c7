"""Looking at jobs and acting on them; no worker runs, so nothing is executed.

python examples/operations.py
"""

from fastjobs import FastJobs, JobNotFound, Status

app = FastJobs()  # uses FASTJOBS_URL, or starts an embedded server


@app.job(queue="parcels")
def send(number: int, country: str) -> None:
    print(f"parcel {number} to {country}")


def main() -> None:
    ids = send.enqueue_many((number, "SE") for number in range(500))
    late = send.options(delay=3600).enqueue(500, "NO")
    print({status.value: number for status, number in app.jobs.counts(["parcels"])["parcels"].items() if number})

    job = app.jobs.find(ids[250])
    print(f"{job.type} {job.args} is {job.status}, priority {job.priority}, {job.retries_left} retries left")
    print(f"after set_priority: {job.set_priority(10).status}")
    first = app.jobs.list(Status.QUEUED, queue="parcels", limit=1).jobs[0]
    print(f"now first in line: {first.args}")

    print(f"after cancel: {job.cancel().status}")
    print(f"after reschedule: {job.reschedule(delay=60).status}")
    print(f"after reschedule without delay: {late.reschedule().status}")
    job.destroy()
    try:
        job.refresh()
    except JobNotFound as error:
        print(error)

    page = app.jobs.list(Status.QUEUED, queue="parcels", limit=200)
    print(f"a page of {len(page.jobs)}, there is {'more' if page.cursor else 'no more'}")
    print(f"cancelled {app.jobs.where(status=Status.QUEUED, queue='parcels').cancel_all()}")
    print(f"destroyed {app.jobs.where(queue='parcels').destroy_all()}")


if __name__ == "__main__":
    main()
