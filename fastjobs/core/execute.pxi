# The execute loop: takes leased jobs one by one, decodes their arguments and calls their handlers. Threads share
# one backlog; taking a job is bumping an index under the GIL, there is no hand-over per job.

cdef enum:
    #: Payloads decoded at a time: one JSON parse for a run of small jobs costs a third less than one each.
    WINDOW = 32

cdef extern from "Python.h":
    PyObject* PyObject_VectorcallDict(object, PyObject**, size_t, PyObject*)


@cython.final
cdef class LeasedJobs:
    """Jobs of one span that this process leased.

    Args:
        chunk: the decoded chunk, or None for a detached job.
        handlers: for each entry of the chunk's type table the function to call, or None when it is unknown;
            for a detached job a list of one.
        slot: the lease's slot on the board.
        column: the span's first column in the slot.
        first: index of the first job in its chunk.
        count: number of jobs.
        arguments: for a detached job its decoded payload, `[*args, kwargs]`.
        owner: whatever the caller wants to find again when a job of this span raises.
    """

    cdef readonly Chunk chunk
    cdef readonly list handlers
    cdef readonly int slot
    cdef readonly int column
    cdef readonly int first
    cdef readonly int count
    cdef readonly object owner
    #: Position of the next job to start; bumped under the GIL.
    cdef int _next
    cdef list _window
    cdef int _window_start

    def __init__(
        self, Chunk chunk, list handlers not None, int slot, int column, int first, int count,
        list arguments, object owner,
    ):
        self.chunk = chunk
        self.handlers = handlers
        self.slot = slot
        self.column = column
        self.first = first
        self.count = count
        self.owner = owner
        self._window = None if arguments is None else [arguments]

    cdef list arguments(self, int position):
        """The decoded `[*args, kwargs]` of the job at a position; decodes some of its neighbours as well."""
        cdef list window = self._window
        cdef int start = self._window_start
        if window is None or not (start <= position < start + len(window)):
            # A collection during the parse can let another thread in: the new window is complete before
            # it is seen, and a thread that still uses the old one keeps it alive.
            window = json_loads(self.chunk.payloads(self.first + position, min(WINDOW, self.count - position)))
            start = position
            self._window, self._window_start = window, start
        return <list>window[position - start]

    cdef object handler(self, int position):
        cdef Py_ssize_t entry = 0
        if self.chunk is not None and self.chunk._type_column != NULL:
            entry = self.chunk._type_column[self.first + position]
        return self.handlers[entry]


@cython.final
cdef class Backlog:
    """The leased jobs of a process that have not been started, in the order they are to be run.

    Args:
        board: where progress is noted.
        on_unusual: called as on_unusual(jobs, index, exception) for a job that raised, cannot be decoded, or
            (exception None) has no handler; must not raise.
        notify_fd: event file that wakes the thread that fetches.
    """

    cdef readonly Board board
    #: Number of leased jobs that have not been started.
    cdef readonly Py_ssize_t unstarted
    #: True lets each thread end after the job it is running.
    cdef public bint stopped
    #: While `waiting`, the event file `notify_fd` is written to once no more than `low_water` jobs are left.
    cdef public bint waiting
    cdef public Py_ssize_t low_water
    cdef readonly int notify_fd
    #: Jobs run and the time they took, for the average.
    cdef readonly int64_t executed
    cdef readonly int64_t busy_ns
    cdef object _spans
    cdef object _on_unusual

    def __init__(self, Board board not None, on_unusual, int notify_fd):
        self.board = board
        self.notify_fd = notify_fd
        self._spans = deque()
        self._on_unusual = on_unusual

    def push(self, LeasedJobs jobs not None):
        """Adds jobs at the end of the line."""
        self.unstarted += jobs.count
        self._spans.append(jobs)

    def withdraw(self):
        """Takes back every job that has not been started.

        Returns:
            (jobs, index of the first one in its chunk, count) for each span.
        """
        cdef LeasedJobs jobs
        taken = []
        while self._spans:
            jobs = self._spans.popleft()
            if jobs._next < jobs.count:
                taken.append((jobs, jobs.first + jobs._next, jobs.count - jobs._next))
                self.unstarted -= jobs.count - jobs._next
                jobs._next = jobs.count
        return taken

    cpdef notify(self):
        """Wakes the thread that fetches, if it waits."""
        cdef uint64_t one = 1
        if self.waiting:
            self.waiting = False
            # An event file only refuses a write when its counter is full: then the reader is awake anyway.
            write(self.notify_fd, &one, sizeof(one))

    def execute(self, int thread):
        """Runs jobs until none is left, the lease's validity is over, or the backlog is stopped.

        Args:
            thread: number of the calling thread on the board.

        Returns:
            The number of jobs run.
        """
        cdef LeasedJobs jobs
        cdef int position
        cdef int64_t now = boot_ns()
        cdef int64_t begun = self.executed
        while self._spans:
            jobs = self._spans[0]
            while jobs._next < jobs.count:
                if self.stopped or now >= self.board._header.valid_until_ns:
                    return self.executed - begun
                position = jobs._next
                jobs._next = position + 1
                self.unstarted -= 1
                if self.waiting and self.unstarted <= self.low_water:
                    self.notify()
                now = self._run(jobs, position, thread, now)
            # Another thread may have taken the last job, and this entry away, meanwhile.
            if self._spans and self._spans[0] is jobs:
                self._spans.popleft()
        return self.executed - begun

    cdef int64_t _run(self, LeasedJobs jobs, int position, int thread, int64_t now) except -1:
        """Runs one job; returns when it ended."""
        cdef Slot* slot = &self.board._slot[jobs.slot]
        cdef ThreadState* state = &self.board._thread[thread]
        cdef int column = jobs.column + position
        cdef int64_t ended
        cdef bint finished
        slot.started_ns[column] = now
        slot.state[column] = STARTED
        state.slot = jobs.slot
        state.column = column
        state.started_ns = now
        finished = self._call(jobs, position)
        ended = boot_ns()
        slot.run_s[column] = <float>((ended - now) * 1e-9)
        slot.state[column] = FINISHED if finished else RAISED
        state.started_ns = 0
        self.executed += 1
        self.busy_ns += ended - now
        self.board._header.executed += 1
        if not finished:
            self.board._header.raised += 1
        return ended

    cdef bint _call(self, LeasedJobs jobs, int position) except -1:
        """Calls the handler; returns whether the job simply finished."""
        cdef list arguments
        cdef PyObject** items
        cdef Py_ssize_t number
        cdef PyObject* keywords
        cdef PyObject* result
        try:
            handler = jobs.handler(position)
            if handler is None:
                self._on_unusual(jobs, jobs.first + position, None)
                return False
            arguments = jobs.arguments(position)
            items = PySequence_Fast_ITEMS(arguments)
            number = PyList_GET_SIZE(arguments) - 1
            keywords = items[number]
            if PyDict_Size(<object>keywords) == 0:
                keywords = NULL
            # The handler cannot reach the list that holds its arguments, so the items stay where they are.
            result = PyObject_VectorcallDict(handler, items, number, keywords)
            if result == NULL:
                _propagate()
            Py_DECREF(<object>result)
        except BaseException as exception:
            self._on_unusual(jobs, jobs.first + position, exception)
            return False
        return True


cdef int _propagate() except -1:
    """Lets an exception that a C call has set come out as a Python one."""
    return -1
