"""Jobs that take secrets, fail, and kill their process, in an app whose keys come from the environment."""

from __future__ import annotations

import os
import signal

from fastjobs import Context, FastJobs, Secret
from tests.apps.notes import note

app = FastJobs()


@app.job
def plain(name: str) -> None:
    note(name, "ran")


@app.job(retries=2, retry_delay=0)
def meets(context: Context, name: str, fates: list[str]) -> None:
    """Meets with one fate per run: raises, crashes, or ends well."""
    fate = fates[context.attempt - 1] if context.attempt <= len(fates) else "end"
    note(name, context.attempt, fate)
    if fate == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    if fate == "raise":
        raise ValueError("as asked")


@app.job(retries=1, retry_delay=0)
def connect(context: Context, host: str, password: Secret, *, options: dict[str, Secret] | None = None) -> None:
    """Tells how long the secrets are, and fails the first time."""
    more = {key: len(secret.reveal()) for key, secret in (options or {}).items()}
    note(host, password, len(password.reveal()), more)
    context.logger.info("connecting to %s with %s", host, password)
    if context.attempt == 1:
        raise ValueError(f"no {host} with {password!r}")
