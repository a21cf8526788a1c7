# How a run ended: the one value that the core hands to Python about it. Acks, hooks and records are made from it.

class EndingKind(IntEnum):
    """The ways in which a run can end."""

    #: The handler returned None.
    FINISHED = 0
    #: The handler returned a value.
    RETURNED = 1
    #: The handler raised, or its arguments could not be read or do not fit.
    RAISED = 2
    #: The handler was interrupted because its time was over.
    TIMED_OUT = 3
    #: The job was cancelled while it ran, whatever its handler made of that.
    CANCELLED = 4
    #: The job was not started, because it was too late to start it.
    EXPIRED = 5
    #: The job was not started, because this process knows no handler for its type.
    UNKNOWN_TYPE = 6


@cython.final
@cython.freelist(8)
cdef class Ending:
    """How a run ended. Immutable.

    The execute loop makes one only for a run that did not simply finish, or when a hook wants to know.

    Args:
        kind: in which way.
        exception: what the handler raised, for RAISED, TIMED_OUT and CANCELLED; else None.
        value: what the handler returned, for RETURNED; else None.
    """

    cdef readonly object kind
    cdef readonly object exception
    cdef readonly object value

    def __init__(self, kind not None, exception=None, value=None):
        self.kind = kind
        self.exception = exception
        self.value = value

    @property
    def finished(self):
        """Whether the run was a success, with or without a value."""
        return self.kind is KIND_FINISHED or self.kind is KIND_RETURNED

    def __repr__(self):
        return f"<Ending {self.kind.name} exception={self.exception!r} value={self.value!r}>"


cdef object KIND_FINISHED = EndingKind.FINISHED
cdef object KIND_RETURNED = EndingKind.RETURNED
cdef object KIND_RAISED = EndingKind.RAISED
cdef object KIND_TIMED_OUT = EndingKind.TIMED_OUT
cdef object KIND_CANCELLED = EndingKind.CANCELLED
#: Endings without an exception or value are alike, so there is one of each.
cdef Ending ENDING_FINISHED = Ending(EndingKind.FINISHED)
cdef Ending ENDING_EXPIRED = Ending(EndingKind.EXPIRED)
cdef Ending ENDING_UNKNOWN_TYPE = Ending(EndingKind.UNKNOWN_TYPE)


cdef inline Ending make_ending(object kind, object exception, object value):
    """Makes an ending without the detour of a call from Python."""
    cdef Ending ending = Ending.__new__(Ending)
    ending.kind = kind
    ending.exception = exception
    ending.value = value
    return ending


cdef Ending ending_of(exception):
    """The ending of a run with an exception that came out of its handler."""
    kind = KIND_RAISED
    if unlikely(PyErr_GivenExceptionMatches(exception, JobCancelled)):
        kind = KIND_CANCELLED
    elif unlikely(PyErr_GivenExceptionMatches(exception, JobTimeout)):
        kind = KIND_TIMED_OUT
    return make_ending(kind, exception, None)


cdef Ending cancelled_instead(exception):
    """The ending of a run that was to be cancelled and came out with something else."""
    cancelled = JobCancelled()
    cancelled.__cause__ = exception
    return make_ending(KIND_CANCELLED, cancelled, None)


cdef Ending timed_out_if_interrupted(Ending ending):
    """The ending of a run that was asked to end: what is no Exception, as CancelledError of asyncio, is how it did."""
    if PyErr_GivenExceptionMatches(ending.exception, Exception):
        return ending
    timed_out = JobTimeout()
    timed_out.__cause__ = ending.exception
    return make_ending(KIND_TIMED_OUT, timed_out, None)
