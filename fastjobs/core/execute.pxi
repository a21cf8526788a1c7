# The execute loop: takes leased jobs one by one, decodes their arguments and calls their handlers. Threads share
# one backlog; taking a job is bumping an index under the GIL, there is no hand-over per job.

cdef enum:
    #: Payloads decoded at a time: one JSON parse for a run of small jobs costs a third less than one each.
    WINDOW = 32
    #: Positional and keyword arguments up to so many are passed without building anything for each call.
    MAX_POSITIONAL = 16
    MAX_KEYWORDS = 16
    #: Jobs of a span that have other keywords than the one before, until their keywords are not compared any more.
    MAX_KEYWORD_CHANGES = 8

#: Passed to `on_unusual` in place of an exception: the job was not started in time.
EXPIRED = object()

cdef extern from "Python.h":
    PyObject* PyObject_Vectorcall(object, PyObject**, size_t, PyObject*)
    PyObject* PyObject_VectorcallDict(object, PyObject**, size_t, PyObject*)
    PyObject* tuple_item "PyTuple_GET_ITEM"(object, Py_ssize_t)

cdef struct Limits:
    #: How long a job may run; 0 = without limit.
    int64_t timeout_ns
    #: When it is too late to start it, by the boot clock; 0 = never.
    int64_t expires_ns


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
        limits: (timeout in ns or 0, boot clock in ns at which it expires or 0) for each handler; None = no limits.
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
    #: The keywords of the last job as they were decoded, and the same interned; how often they have changed.
    cdef tuple _keys
    cdef tuple _names
    cdef int _keyword_changes
    #: By entry of the type table; NULL when nothing is limited.
    cdef Limits* _limits
    cdef list _given_limits
    #: Whether running them takes more than calling the handler: they have limits, or there are hooks.
    cdef bint _watched

    def __cinit__(
        self, Chunk chunk, list handlers not None, int slot, int column, int first, int count,
        list arguments, object owner, list limits=None,
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
        self._window = None if arguments is None else [with_secrets(json_loads(json_dumps(arguments)))]
        self._given_limits = limits
        if limits is not None:
            self._limit(limits)

    def __dealloc__(self):
        free(self._limits)

    cdef int _limit(self, list limits) except -1:
        cdef Py_ssize_t entry
        if len(limits) != len(self.handlers):
            raise InternalError(f"{len(limits)} limits for {len(self.handlers)} handlers")
        self._limits = <Limits*>malloc(len(limits) * sizeof(Limits))
        if self._limits == NULL:
            raise MemoryError()
        for entry in range(len(limits)):
            self._limits[entry].timeout_ns, self._limits[entry].expires_ns = limits[entry]
        return 0

    cdef inline Py_ssize_t entry(self, int position) noexcept:
        """Which entry of the type table a job is of; positions are below `count`, so inside the column."""
        if self.chunk is not None and self.chunk._type_column != NULL:
            return self.chunk._type_column[self.first + position]
        return 0

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
                return with_secrets(window) if self.chunk._has_secrets else window
        except ValueError:
            pass
        try:
            window = json_loads(self.chunk.payloads(self.first + position, 1))
        except ValueError as error:
            raise CorruptChunk(f"the arguments of a job are not JSON: {error}") from None
        if len(window) != 1:
            raise CorruptChunk("the arguments of a job are not one list")
        return with_secrets(window) if self.chunk._has_secrets else window

    cdef tuple keyword_names(self, dict keywords, PyObject** values):
        """The names of a job's keywords, interned as the names of parameters are, so that Python finds the parameters by
        identity; fills in the values, borrowed. The decoder gives equal keys of many jobs as one and the same object: then
        the names of the job before serve again.
        """
        cdef Py_ssize_t position = 0, number = 0
        cdef PyObject* key
        cdef tuple keys = self._keys
        cdef bint same = keys is not None and PyTuple_GET_SIZE(keys) == PyDict_Size(keywords)
        while PyDict_Next(keywords, &position, &key, &values[number]):
            same = same and key == tuple_item(keys, number)
            number += 1
        if same:
            return self._names
        self._keyword_changes += 1
        keys = tuple(keywords)
        names = tuple([intern(name) for name in keys])
        self._keys = keys
        self._names = names
        return names

    cdef object handler(self, int position):
        return self.handlers[self.entry(position)]

    cdef LeasedJobs _cut(self, int position):
        """Leaves the job at a position out: the jobs before it stay here, the ones behind it are returned, or None."""
        cdef int behind = self.count - position - 1
        cdef LeasedJobs rest
        self.count = position
        if behind == 0:
            return None
        rest = LeasedJobs(
            self.chunk, self.handlers, self.slot, self.column + position + 1, self.first + position + 1, behind,
            None, self.owner, self._given_limits,
        )
        rest._watched = self._watched
        return rest


@cython.final
cdef class Backlog:
    """The leased jobs of a process that have not been started, in the order they are to be run.

    Args:
        board: where progress is noted.
        on_unusual: called as on_unusual(jobs, index, exception) for a job that raised, cannot be decoded, was
            interrupted, expired (exception EXPIRED) or has no handler (exception None); returns its outcome, which
            must not be None, and must not raise.
        notify_fd: event file that wakes the thread that fetches.
        before: called as before(jobs, index) before each job; must not raise. None = not called.
        after: called as after(jobs, index, outcome, started_ns, ended_ns) after each job that was started, outcome
            None when it simply finished; must not raise. None = not called.
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
    #: The shortest timeout of a job pushed so far, in nanoseconds; 0 when none had one.
    cdef readonly int64_t shortest_timeout_ns
    cdef object _spans
    cdef object _on_unusual
    cdef object _before
    cdef object _after
    #: One per thread of the board.
    cdef Seat* _seats
    #: Of the board, which does not move.
    cdef BoardHeader* _header
    cdef Slot* _slot

    def __cinit__(self, Board board not None, on_unusual, int notify_fd, before=None, after=None):
        self.board = board
        self.notify_fd = notify_fd
        self._spans = deque()
        self._on_unusual = on_unusual
        self._before = before
        self._after = after
        self._header = board._header
        self._slot = board._slot
        self._seats = <Seat*>calloc(board.threads, sizeof(Seat))
        if self._seats == NULL:
            raise MemoryError()

    def __dealloc__(self):
        free(self._seats)

    def push(self, LeasedJobs jobs not None):
        """Adds jobs at the end of the line.

        Raises:
            IndexError: the board has no such slot or columns.
        """
        cdef Py_ssize_t entry
        cdef int64_t timeout_ns
        self.board._checked_column(jobs.slot, jobs.column)
        self.board._checked_column(jobs.slot, jobs.column + jobs.count - 1)
        if jobs._limits != NULL:
            for entry in range(len(jobs.handlers)):
                timeout_ns = jobs._limits[entry].timeout_ns
                if timeout_ns and not 0 < self.shortest_timeout_ns <= timeout_ns:
                    self.shortest_timeout_ns = timeout_ns
        jobs._watched = jobs._limits != NULL or self._before is not None or self._after is not None
        self.unstarted += jobs.count
        self._spans.append(jobs)

    def withdraw(self, Py_ssize_t keep=0):
        """Takes back the jobs that have not been started.

        Args:
            keep: how many of them to leave here, the first ones in line.

        Returns:
            (jobs, index of the first one in its chunk, count) for each span.
        """
        cdef LeasedJobs jobs
        cdef int count
        taken = []
        kept = deque()
        while self._spans:
            jobs = self._spans.popleft()
            count = jobs.count - jobs._next
            if keep > 0 and count > 0:
                kept.append(jobs)
                count = max(0, count - keep)
                keep -= jobs.count - jobs._next - count
            if count > 0:
                # First out of reach of a thread that is inside this span: building the tuple can let it in.
                jobs.count -= count
                self.unstarted -= count
                taken.append((jobs, jobs.first + jobs.count, count))
        self._spans.extend(kept)
        return taken

    cpdef notify(self):
        """Wakes the thread that fetches, if it waits."""
        cdef uint64_t one = 1
        if self.waiting:
            self.waiting = False
            # An event file only refuses a write when its counter is full: then the reader is awake anyway.
            write(self.notify_fd, &one, sizeof(one))

    # Asking jobs to end. Called by any thread.

    def skip(self, owner, int index):
        """Withdraws one job, if it is here and has not been started, so that it never is.

        Args:
            owner: of its LeasedJobs.
            index: of the job in its chunk.

        Returns:
            Whether it was withdrawn.
        """
        cdef LeasedJobs jobs, rest
        cdef Py_ssize_t place
        cdef int position
        for place, jobs in enumerate(list(self._spans)):
            position = index - jobs.first
            if jobs.owner is owner and jobs._next <= position < jobs.count:
                rest = jobs._cut(position)
                self.unstarted -= 1
                if rest is not None:
                    self._spans.insert(place + 1, rest)
                return True
        return False

    def overdue(self):
        """Returns (thread, started_ns) of each job whose time is over and that has not been asked to end."""
        cdef int thread
        cdef int64_t now
        cdef ThreadState* state
        jobs = []
        if not self.shortest_timeout_ns:
            return jobs
        now = boot_ns()
        for thread in range(self.board.threads):
            state = &self.board._thread[thread]
            if state.started_ns and 0 < state.deadline_ns <= now and self._seats[thread].asked == NOTHING:
                jobs.append((thread, state.started_ns))
        return jobs

    def next_deadline_ns(self):
        """Returns when a job that has not been asked to end is overdue next, in ns of the boot clock; 0 = none is."""
        cdef int thread
        cdef int64_t first = 0
        cdef ThreadState* state
        if not self.shortest_timeout_ns:
            return 0
        for thread in range(self.board.threads):
            state = &self.board._thread[thread]
            if state.started_ns and state.deadline_ns and self._seats[thread].asked == NOTHING:
                first = state.deadline_ns if not first else min(first, state.deadline_ns)
        return first

    def running(self, int slot, int column):
        """Returns (thread, started_ns) of the job in a column of the board; None when no thread is running it."""
        cdef int thread
        cdef ThreadState* state
        for thread in range(self.board.threads):
            state = &self.board._thread[thread]
            if state.started_ns and state.slot == slot and state.column == column:
                return thread, state.started_ns
        return None

    def interrupt(self, int thread, exception, int64_t expected_started_ns):
        """Raises an exception in a handler; never in another job, nor between jobs.

        Args:
            thread: number of the thread that runs it.
            exception: JobTimeout or JobCancelled.
            expected_started_ns: when the job meant was started.

        Returns:
            False when the thread runs another job or none by now, or the job has been asked before.
        """
        cdef Seat* seat
        cdef Request request = CANCEL if exception is JobCancelled else TIME_OUT
        if not 0 <= thread < self.board.threads:
            raise IndexError(f"thread {thread} of a board of {self.board.threads}")
        seat = &self._seats[thread]
        if expected_started_ns == 0 or self.board._thread[thread].started_ns != expected_started_ns:
            return False
        if seat.asked >= request:
            return False
        seat.asked = request
        seat.told = False
        if seat.inside:
            PyThreadState_SetAsyncExc(seat.thread_id, <PyObject*>exception)
        return True

    def current(self):
        """Returns (thread, started_ns, deadline_ns, jobs, index) of the job whose handler the calling thread is in, or None."""
        cdef int thread
        cdef unsigned long thread_id = PyThread_get_thread_ident()
        cdef ThreadState* state
        for thread in range(self.board.threads):
            if self._seats[thread].inside and self._seats[thread].thread_id == thread_id:
                state = &self.board._thread[thread]
                jobs = <LeasedJobs>self._seats[thread].jobs
                return thread, state.started_ns, state.deadline_ns, jobs, jobs.first + state.column - jobs.column
        return None

    def asked(self, int thread, int64_t expected_started_ns):
        """Returns what the job is to end with, JobTimeout or JobCancelled, for the caller to raise; else None.

        In the handler's own thread that is instead of raising it there: it is not raised twice.
        """
        cdef Seat* seat
        cdef ThreadState* state
        cdef bint own
        if not 0 <= thread < self.board.threads:
            raise IndexError(f"thread {thread} of a board of {self.board.threads}")
        seat = &self._seats[thread]
        state = &self.board._thread[thread]
        own = PyThread_get_thread_ident() == seat.thread_id
        if expected_started_ns == 0 or state.started_ns != expected_started_ns:
            return None
        if seat.asked == NOTHING and 0 < state.deadline_ns <= boot_ns():
            if own:
                seat.asked = TIME_OUT
            else:
                self.interrupt(thread, JobTimeout, expected_started_ns)
        if seat.asked == NOTHING:
            return None
        if own:
            PyThreadState_SetAsyncExc(seat.thread_id, NULL)
        seat.told = True
        return interruption(seat.asked)

    # Running jobs. Called by executor threads.

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
        cdef ThreadState* state
        cdef Seat* seat
        cdef BoardHeader* header = self._header
        if not 0 <= thread < self.board.threads:
            raise IndexError(f"thread {thread} of a board of {self.board.threads}")
        state = &self.board._thread[thread]
        seat = &self._seats[thread]
        seat.thread_id = PyThread_get_thread_ident()
        while self._spans:
            jobs = self._spans[0]
            seat.jobs = <PyObject*>jobs
            while jobs._next < jobs.count:
                if self.stopped or now >= header.valid_until_ns:
                    return ran
                position = jobs._next
                jobs._next = position + 1
                self.unstarted -= 1
                if self.waiting and self.unstarted <= self.low_water:
                    self.notify()
                if unlikely(jobs._watched):
                    now = self._run_watched(jobs, position, state, seat, now)
                else:
                    now = self._run(jobs, position, state, seat, now)
                ran += 1
            # Another thread may have taken the last job, and this entry away, meanwhile.
            if self._spans and self._spans[0] is jobs:
                self._spans.popleft()
        return ran

    cdef int64_t _run(self, LeasedJobs jobs, int position, ThreadState* state, Seat* seat, int64_t now) except -1:
        """Runs one job; returns when it ended."""
        cdef Slot* slot = &self._slot[jobs.slot]
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
            finished = self._call(jobs, position, seat)
        finally:
            ended = boot_ns()
            # A slot that was freed meanwhile may hold another lease: this job is nothing in it.
            if slot.fence == fence and slot.queue == queue:
                slot.run_s[column] = <float>((ended - now) * 1e-9)
                publish()
                slot.state[column] = FINISHED if finished else RAISED
            # From here on nothing can be asked of the job.
            state.started_ns = 0
            seat.asked = NOTHING
            self.executed += 1
            self.busy_ns += ended - now
            self._header.executed += 1
            if unlikely(not finished):
                self._header.raised += 1
        return ended

    cdef int64_t _run_watched(self, LeasedJobs jobs, int position, ThreadState* state, Seat* seat, int64_t now) except -1:
        """Runs one job within its limits and between the hooks; returns when all that ended."""
        cdef Slot* slot = &self._slot[jobs.slot]
        cdef int column = jobs.column + position
        cdef int64_t ended
        cdef Limits* limits
        if jobs._limits != NULL:
            limits = &jobs._limits[jobs.entry(position)]
            if limits.expires_ns and limits.expires_ns <= now:
                slot.state[column] = RAISED
                self._on_unusual(jobs, jobs.first + position, EXPIRED)
                return boot_ns()
            state.deadline_ns = now + limits.timeout_ns if limits.timeout_ns else 0
        if self._before is not None:
            # The job is as good as started: a hook that kills the process is the job's, and its time is.
            slot.started_ns[column] = now
            slot.state[column] = STARTED
            state.slot = jobs.slot
            state.column = column
            state.started_ns = now
            self._before(jobs, jobs.first + position)
        ended = self._run(jobs, position, state, seat, now)
        state.deadline_ns = 0
        if self._after is not None:
            ended = self._tell_after(jobs, position, seat, now, ended)
        return ended

    cdef int64_t _tell_after(self, LeasedJobs jobs, int position, Seat* seat, int64_t started, int64_t ended) except -1:
        """Tells `after` about a run; returns when that is done. What it takes counts for the average, as it delays jobs."""
        cdef int64_t now
        self._after(jobs, jobs.first + position, take_outcome(seat), started, ended)
        now = boot_ns()
        self.busy_ns += now - ended
        return now

    cdef bint _call(self, LeasedJobs jobs, int position, Seat* seat) except -1:
        """Calls the handler; returns whether the job simply finished, else leaves its outcome in the seat."""
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
                return self._unusual(jobs, position, seat, None)
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
            # Between here and the line after the call no Python code runs but the handler's: nothing else can be
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
                leave_handler(seat)
            if result == NULL:
                _propagate()
            Py_DECREF(<object>result)
        except BaseException as exception:
            return self._unusual(jobs, position, seat, exception)
        if unlikely(seat.asked == CANCEL and seat.told):
            return self._unusual(jobs, position, seat, JobCancelled())
        return True

    cdef bint _unusual(self, LeasedJobs jobs, int position, Seat* seat, exception) except -1:
        """Has an outcome made; a job that was to be cancelled is, whatever its handler made of it."""
        if seat.asked == CANCEL and not isinstance(exception, JobCancelled):
            cancelled = JobCancelled()
            cancelled.__cause__ = exception
            exception = cancelled
        outcome = self._on_unusual(jobs, jobs.first + position, exception)
        if self._after is not None:
            put_outcome(seat, outcome)
        return False


#: How many forks lie between the process that imported this module and the one that runs.
cdef int generation = 0


def _note_fork():
    """Called in a new process, in the thread that forked."""
    global generation
    generation += 1


os.register_at_fork(after_in_child=_note_fork)


cdef int _end_forked(PyObject* result) except -1:
    """Ends a process that a handler forked and that came out of it: board, jobs and reports are its parent's."""
    code = 0
    try:
        if result == NULL:
            _propagate()
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:
        code = 1
        sys.excepthook(*sys.exc_info())
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


cdef int _propagate() except -1:
    """Lets an exception that a C call has set come out as a Python one."""
    return -1
