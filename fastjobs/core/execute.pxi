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

    def __cinit__(
        self, Chunk chunk, list handlers not None, int slot, int column, int first, int count,
        list arguments, object owner,
    ):
        # Nothing is checked again when the jobs are run.
        if chunk is None and (arguments is None or first < 0 or count != 1 or len(handlers) != 1):
            raise ValueError("a detached job has a handler and arguments")
        if chunk is not None and len(handlers) != len(chunk.types):
            raise ValueError(f"{len(handlers)} handlers for {len(chunk.types)} types")
        if chunk is not None:
            chunk._check(first, count)
        self.chunk = chunk
        self.handlers = handlers
        self.slot = slot
        self.column = column
        self.first = first
        self.count = count
        self.owner = owner
        # A copy: what a handler does to its arguments must not end up in the job's record.
        self._window = None if arguments is None else [json_loads(json_dumps(arguments))]

    cdef list arguments(self, int position):
        """The decoded `[*args, kwargs]` of the job at a position; decodes some of its neighbours as well.

        Each position is asked for once: its arguments leave the window, and so end with their job.
        """
        cdef list window = self._window
        cdef list previous = window
        cdef int start = self._window_start
        if window is None or not (start <= position < start + PyList_GET_SIZE(window)):
            # A collection during the parse can let another thread in: the new window is complete before
            # it is seen, and `previous` keeps the old one until both fields are set.
            window = self._decode(position)
            start = position
            self._window = window
            self._window_start = start
        arguments = window[position - start]
        window[position - start] = None
        if type(arguments) is not list or not arguments or type(arguments[len(arguments) - 1]) is not dict:
            raise CorruptChunk("the arguments of a job are not a list that ends with a dict")
        return <list>arguments

    cdef list _decode(self, int position):
        """The next window; of the one job alone when its neighbours cannot be read."""
        cdef Py_ssize_t number = min(WINDOW, self.count - position)
        if self.chunk is None:
            raise CorruptChunk("the arguments of a detached job were taken before")
        try:
            window = json_loads(self.chunk.payloads(self.first + position, number))
            if len(window) == number:
                return window
        except ValueError:
            pass
        try:
            window = json_loads(self.chunk.payloads(self.first + position, 1))
        except ValueError as error:
            raise CorruptChunk(f"the arguments of a job are not JSON: {error}") from None
        if len(window) != 1:
            raise CorruptChunk("the arguments of a job are not one list")
        return window

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

    def __cinit__(self, Board board not None, on_unusual, int notify_fd):
        self.board = board
        self.notify_fd = notify_fd
        self._spans = deque()
        self._on_unusual = on_unusual

    def push(self, LeasedJobs jobs not None):
        """Adds jobs at the end of the line.

        Raises:
            IndexError: the board has no such slot or columns.
        """
        self.board._checked_column(jobs.slot, jobs.column)
        self.board._checked_column(jobs.slot, jobs.column + jobs.count - 1)
        self.unstarted += jobs.count
        self._spans.append(jobs)

    def withdraw(self):
        """Takes back every job that has not been started.

        Returns:
            (jobs, index of the first one in its chunk, count) for each span.
        """
        cdef LeasedJobs jobs
        cdef int start, count
        taken = []
        while self._spans:
            jobs = self._spans.popleft()
            start = jobs._next
            count = jobs.count - start
            if count > 0:
                # First out of reach of a thread that is inside this span: building the tuple can let it in.
                jobs._next = jobs.count
                self.unstarted -= count
                taken.append((jobs, jobs.first + start, count))
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
            The number of jobs this thread ran.
        """
        cdef LeasedJobs jobs
        cdef int position
        cdef int64_t now = boot_ns()
        cdef Py_ssize_t ran = 0
        if not 0 <= thread < self.board.threads:
            raise IndexError(f"thread {thread} of a board of {self.board.threads}")
        while self._spans:
            jobs = self._spans[0]
            while jobs._next < jobs.count:
                if self.stopped or now >= self.board._header.valid_until_ns:
                    return ran
                position = jobs._next
                jobs._next = position + 1
                self.unstarted -= 1
                if self.waiting and self.unstarted <= self.low_water:
                    self.notify()
                now = self._run(jobs, position, thread, now)
                ran += 1
            # Another thread may have taken the last job, and this entry away, meanwhile.
            if self._spans and self._spans[0] is jobs:
                self._spans.popleft()
        return ran

    cdef int64_t _run(self, LeasedJobs jobs, int position, int thread, int64_t now) except -1:
        """Runs one job; returns when it ended."""
        cdef Slot* slot = &self.board._slot[jobs.slot]
        cdef ThreadState* state = &self.board._thread[thread]
        cdef int column = jobs.column + position
        cdef int64_t fence = slot.fence
        cdef int32_t queue = slot.queue
        cdef int64_t ended = now
        cdef bint finished = False
        slot.started_ns[column] = now
        publish()
        slot.state[column] = STARTED
        state.slot = jobs.slot
        state.column = column
        publish()
        state.started_ns = now
        try:
            finished = self._call(jobs, position)
        finally:
            ended = boot_ns()
            # A slot that was freed meanwhile may hold another lease: this job is nothing in it.
            if slot.fence == fence and slot.queue == queue:
                slot.run_s[column] = <float>((ended - now) * 1e-9)
                publish()
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
