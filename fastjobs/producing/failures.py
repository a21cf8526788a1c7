"""What a buffer reports of the chunks that it could not store: an error for each batch, and one for several errors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import chain

from fastjobs import errors
from fastjobs.job import JobIds
from fastjobs.producing.open_chunks import OpenChunk


def failure_of(batch: Iterable[OpenChunk], stored: Sequence[str], error: Exception) -> errors.FastJobsError:
    """Returns the error that says what became of each job of a batch.

    Args:
        batch: the chunks that were to be sent.
        stored: ids of the jobs of the batch that are stored.
        error: what ended the sending.
    """
    if isinstance(error, errors.ConfigError):
        return error
    known = set(stored)
    rest = [job_id for job_id in _ids(batch) if job_id not in known]
    if not isinstance(error, errors.NotEnqueued | errors.EnqueueUnknown):
        failure = errors.EnqueueUnknown(f"a buffer could not send: {error!r}", rest, stored)
        failure.__cause__ = error
        return failure
    if isinstance(error, errors.EnqueueUnknown):
        known.update(error.ids)
    error.refused = [job_id for job_id in rest if job_id not in known]
    return error


def merged(failures: Sequence[errors.FastJobsError]) -> errors.FastJobsError:
    """Returns one error for several, at least one: in doubt as soon as one of them is."""
    unknown = [failure for failure in failures if isinstance(failure, errors.EnqueueUnknown)]
    refused = [failure for failure in failures if isinstance(failure, errors.NotEnqueued)]
    known: list[errors.NotEnqueued | errors.EnqueueUnknown] = [*unknown, *refused]
    if len(failures) == 1 or not known:
        return failures[0]
    message = "; ".join(dict.fromkeys(map(str, failures)))
    stored = list(chain.from_iterable(failure.enqueued for failure in known))
    if unknown:
        in_doubt = list(chain.from_iterable(failure.ids for failure in unknown))
        error: errors.NotEnqueued | errors.EnqueueUnknown = errors.EnqueueUnknown(
            message, in_doubt, stored, partial(_resend, unknown)
        )
    else:
        error = errors.NotEnqueued(message, stored)
    error.refused = list(chain.from_iterable(failure.refused for failure in known))
    error.__cause__ = failures[0]
    return error


def _resend(failures: Sequence[errors.EnqueueUnknown]) -> Sequence[str]:
    """Sends again the jobs in doubt of all failures; one error says what is still in doubt."""
    stored: list[str] = []
    left: list[errors.FastJobsError] = []
    for failure in failures:
        try:
            stored += failure.resend()
        except errors.EnqueueUnknown as error:
            left.append(error)
    if left:
        raise merged(left)
    return stored


def _ids(chunks: Iterable[OpenChunk]) -> JobIds:
    ids = JobIds()
    for chunk in chunks:
        ids.add_chunk(chunk.destination.chunk_id, chunk.count)
    return ids
