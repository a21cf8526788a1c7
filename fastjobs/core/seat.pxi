# A seat is what an executor thread has in hand. Through it another thread asks the running job to end: Python raises
# the exception in the handler at its next instruction. Everything here happens under the GIL, and none of it lets
# go of the GIL half-way, so a request finds the very job it is meant for inside its handler, or waits for it at the
# handler's door, or comes too late and does nothing.

cdef extern from "Python.h":
    ctypedef struct PyThreadState:
        #: The exception to be raised in the thread, NULL when there is none or once it was raised.
        PyObject* async_exc
    PyThreadState* PyThreadState_Get()
    unsigned long PyThread_get_thread_ident()
    int PyThreadState_SetAsyncExc(unsigned long, PyObject*)

cdef extern from *:
    #: Keeps what seldom happens out of the way of what always does.
    bint unlikely(bint)

cdef enum Request:
    NOTHING = 0
    #: The job's time is over.
    TIME_OUT = 1
    #: The job is to be cancelled; counts for more than the time.
    CANCEL = 2

cdef struct Seat:
    unsigned long thread_id
    #: Borrowed: the LeasedJobs whose jobs are being run; to be used only while the thread is inside a handler.
    PyObject* jobs
    #: What became of the job just run if it did not simply finish; owned, NULL otherwise.
    PyObject* outcome
    Request asked
    #: Whether the handler has come to know what is asked.
    bint told
    #: Whether the thread is in the handler, where an exception may be raised in it.
    bint inside


cdef inline void put_outcome(Seat* seat, outcome):
    Py_INCREF(outcome)
    seat.outcome = <PyObject*>outcome


cdef inline object take_outcome(Seat* seat):
    if seat.outcome == NULL:
        return None
    outcome = <object>seat.outcome
    seat.outcome = NULL
    Py_DECREF(outcome)
    return outcome


cdef void leave_handler(Seat* seat) noexcept:
    """After a handler of which something was asked: notes whether it knew, and takes back what was not raised."""
    cdef PyThreadState* state = PyThreadState_Get()
    if state.async_exc == NULL:
        seat.told = True
    else:
        PyThreadState_SetAsyncExc(seat.thread_id, NULL)


cdef int refuse_to_start(Seat* seat) except -1:
    raise interruption(seat.asked)()


cdef inline object interruption(Request asked):
    return JobCancelled if asked == CANCEL else JobTimeout
