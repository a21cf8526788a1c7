# The execute loop: takes leased jobs one by one, decodes their arguments and calls their handlers. All seats share one
# backlog. Taking a job means incrementing an index under the GIL; no job is handed over between threads.

cdef enum:
    #: Positional and keyword arguments up to so many are passed without building anything for each call.
    MAX_POSITIONAL = 16
    MAX_KEYWORDS = 16
    #: After so many changes of keywords from one job of a span to the next, their keywords are no longer compared.
    MAX_KEYWORD_CHANGES = 8

cdef extern from *:
    """
    /* Whether a handler that returned this has not done its work: a coroutine, a generator, anything to be awaited. */
    static inline int runs_later(PyObject* result) {
        PyAsyncMethods* methods = Py_TYPE(result)->tp_as_async;
        return PyGen_Check(result) || PyAsyncGen_CheckExact(result) || (methods && methods->am_await);
    }
    """
    bint runs_later(PyObject*) noexcept

cdef extern from "Python.h":
    PyObject* PyObject_Vectorcall(object, PyObject**, size_t, PyObject*)
    PyObject* PyObject_VectorcallDict(object, PyObject**, size_t, PyObject*)


cdef Py_ssize_t run_jobs(Backlog backlog, Seat* seat, JobContext context) except -1:
    """Runs jobs of a backlog in the calling thread; returns how many. See `Backlog.execute`."""
    cdef LeasedJobs jobs
    cdef int position
    cdef int64_t now = boot_ns()
    cdef Py_ssize_t ran = 0
    seat.thread_id = PyThread_get_thread_ident()
    while backlog._spans:
        jobs = backlog._spans[0]
        seat.jobs = <PyObject*>jobs
        while jobs._next < jobs.count:
            if backlog.stopped or now >= backlog._header.valid_until_ns:
                return ran
            position = jobs._next
            jobs._next = position + 1
            backlog.unstarted -= 1
            if backlog.waiting and backlog.unstarted <= backlog.low_water:
                backlog.notify()
            if unlikely(jobs._watched):
                now = _run_watched(backlog, jobs, position, seat, now)
            else:
                now = _run(backlog, jobs, position, seat, now)
            ran += 1
            context.renew()
        # Another thread may have taken the last job, and this entry away, meanwhile.
        if backlog._spans and backlog._spans[0] is jobs:
            backlog._spans.popleft()
    return ran


cdef int64_t _run(Backlog backlog, LeasedJobs jobs, int position, Seat* seat, int64_t now) except -1:
    """Runs one job; returns when it ended."""
    cdef Slot* slot = &backlog._slot[jobs.slot]
    cdef int column = jobs.column + position
    cdef int64_t fence = slot.fence
    cdef int32_t partition = slot.partition
    cdef int64_t ended = now
    cdef bint finished = False
    _show_start(slot, jobs.slot, column, seat, now)
    try:
        finished = _call(backlog, jobs, position, seat)
    finally:
        ended = boot_ns()
        # A slot that was freed meanwhile may hold another lease, in which this job is nothing.
        if slot.fence == fence and slot.partition == partition:
            slot.run_s[column] = <float>((ended - now) * 1e-9)
            publish()
            slot.state[column] = FINISHED if finished else HANDED_OVER
        # From here on nothing can be asked of the job.
        seat.shown.started_ns = 0
        seat.asked = NOTHING
        backlog.executed += 1
        backlog.busy_ns += ended - now
        backlog._header.executed += 1
    return ended


cdef inline void _show_start(Slot* slot, int number, int column, Seat* seat, int64_t now) noexcept:
    """Shows on the board that the job in a column of a slot starts on a seat."""
    slot.started_ns[column] = now
    publish()
    slot.state[column] = STARTED
    seat.shown.slot = number
    seat.shown.column = column
    publish()
    seat.shown.started_ns = now


cdef int64_t _run_watched(Backlog backlog, LeasedJobs jobs, int position, Seat* seat, int64_t now) except -1:
    """Runs one job within its limits and between its hooks; returns when all that ended."""
    cdef int64_t ended
    cdef Limits* limits
    if jobs._limits != NULL:
        limits = &jobs._limits[jobs.entry(position)]
        if limits.expires_ns and limits.expires_ns <= now:
            backlog._slot[jobs.slot].state[jobs.column + position] = HANDED_OVER
            backlog._on_ending(jobs, jobs.first + position, ENDING_EXPIRED)
            return boot_ns()
        seat.shown.deadline_ns = now + limits.timeout_ns if limits.timeout_ns else 0
    if jobs._hooked:
        ended = _run_between_hooks(backlog, jobs, position, seat, now)
    else:
        ended = _run(backlog, jobs, position, seat, now)
    seat.shown.deadline_ns = 0
    return ended


cdef int64_t _run_between_hooks(Backlog backlog, LeasedJobs jobs, int position, Seat* seat, int64_t now) except -1:
    """Runs one job and calls the hooks of its type; returns when the last of that ended."""
    cdef Py_ssize_t entry = jobs.entry(position)
    cdef int64_t ended
    before = None if jobs._before is None else jobs._before[entry]
    after = None if jobs._after is None else jobs._after[entry]
    if before is not None:
        # The job is as good as started: if a hook kills the process or takes long, that counts as the job's doing.
        seat.shown.hook_deadline_ns = now + backlog.hook_timeout_ns
        _show_start(&backlog._slot[jobs.slot], jobs.slot, jobs.column + position, seat, now)
        before(jobs, jobs.first + position)
        seat.shown.hook_deadline_ns = 0
    ended = _run(backlog, jobs, position, seat, now)
    ending, outcome = take(&seat.ending, ENDING_FINISHED), take(&seat.outcome, None)
    if after is None:
        return ended
    seat.shown.hook_deadline_ns = ended + backlog.hook_timeout_ns
    after(jobs, jobs.first + position, ending, outcome, now, ended)
    seat.shown.hook_deadline_ns = 0
    now = boot_ns()
    # The time the hook takes delays jobs, so it counts for the average.
    backlog.busy_ns += now - ended
    return now


cdef bint _call(Backlog backlog, LeasedJobs jobs, int position, Seat* seat) except -1:
    """Calls the handler; returns whether the job finished, else has its ending handed over."""
    cdef list arguments
    cdef PyObject** items
    cdef Py_ssize_t number
    cdef PyObject* keywords
    cdef PyObject* result
    cdef PyObject* names = NULL
    cdef PyObject* stack[MAX_POSITIONAL + MAX_KEYWORDS]
    cdef Py_ssize_t number_of_keywords
    cdef int born = generation
    try:
        handler = jobs.handler(position)
        if handler is None:
            return _hand_over(backlog, jobs, position, seat, ENDING_UNKNOWN_TYPE)
        arguments = jobs.arguments(position)
        items = PySequence_Fast_ITEMS(arguments)
        number = PyList_GET_SIZE(arguments) - 1
        keywords = items[number]
        number_of_keywords = PyDict_Size(<object>keywords)
        if number_of_keywords == 0:
            keywords = NULL
        elif (
            number_of_keywords <= MAX_KEYWORDS and number <= MAX_POSITIONAL
            and jobs._keyword_changes < MAX_KEYWORD_CHANGES
        ):
            # Bounds: the stack has room for both maxima.
            interned = jobs.keyword_names(<dict>keywords, stack + number)
            memcpy(stack, items, number * sizeof(PyObject*))
            items, names = stack, <PyObject*>interned
        if unlikely(seat.asked != NOTHING):
            refuse_to_start(seat)
        # Between here and the line after the call no Python code runs but the handler's, so nothing else can be
        # hit. The handler cannot reach the list that holds its arguments, so the items stay where they are.
        seat.inside = True
        if names != NULL:
            result = PyObject_Vectorcall(handler, items, number, names)
        else:
            result = PyObject_VectorcallDict(handler, items, number, keywords)
        seat.inside = False
        if unlikely(born != generation):
            _end_forked(result)
        if unlikely(seat.asked != NOTHING):
            unwatch_lines()
        if result == NULL:
            _propagate()
        if result != <PyObject*>None and unlikely(runs_later(result)):
            _refuse(result)
        if unlikely(jobs._after is not None):
            _keep_value(seat, <object>result)
        Py_DECREF(<object>result)
    except BaseException as exception:
        return _hand_over(backlog, jobs, position, seat, ending_of(exception))
    if unlikely(seat.asked == CANCEL and seat.told):
        return _hand_over(backlog, jobs, position, seat, ENDING_FINISHED)
    return True


cdef int _keep_value(Seat* seat, value) except -1:
    """Keeps what a handler returned for `after`."""
    if value is not None:
        ending = make_ending(KIND_RETURNED, None, value)
        keep(&seat.ending, <PyObject*>ending)
    return 0


cdef bint _hand_over(Backlog backlog, LeasedJobs jobs, int position, Seat* seat, Ending ending) except -1:
    """Has an outcome made; a job that was to be cancelled is, whatever its handler made of it. Returns False."""
    if seat.asked == CANCEL and ending.kind is not KIND_CANCELLED:
        ending = cancelled_instead(ending.exception)
    elif seat.asked == TIME_OUT and seat.told and ending.kind is KIND_RAISED:
        ending = timed_out_if_interrupted(ending)
    outcome = backlog._on_ending(jobs, jobs.first + position, ending)
    if jobs._after is not None:
        keep(&seat.ending, <PyObject*>ending)
        keep(&seat.outcome, <PyObject*>outcome)
    return False


cdef int _refuse(PyObject* result) except -1:
    """Raises for a result that nothing has run; takes over the reference to it."""
    unrun = <object>result
    Py_DECREF(unrun)
    # Like any TypeError of the call itself, it ends the job's retries: the handler would return the same again.
    raise TypeError(
        f"the handler returned a {type(unrun).__name__}, which nothing has run: register a plain function, for example"
        " one that calls asyncio.run"
    )


cdef int _propagate() except -1:
    """Lets an exception that a C call has set come out as a Python one."""
    return -1
