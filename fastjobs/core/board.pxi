# The progress board: a block of shared memory per worker process, in which the process notes, job by job, what
# it is doing, so that the supervisor can settle what is left when the process dies. The columns the executor
# writes here are the same bytes from which acks are made: noting costs no extra work.
#
#   header | thread states | slots
#
# A slot holds one lease: its fence (0 = free slot), a directory of its spans, and one status, start and run time
# per job, at the span's column + position in the span.

#: Most jobs to ask for in one fetch.
MAX_FETCH_JOBS = 2048

cdef enum:
    #: Jobs one lease can hold; a fetch asks for at most MAX_FETCH_JOBS and may return a quarter more.
    MAX_LEASE_JOBS = 2560
    MAX_LEASE_SPANS = 256
    #: A chunk id (128) or detached ref ("~" and index more).
    MAX_REF_SIZE = 136

cdef enum JobState:
    UNSTARTED = 0
    STARTED = 1
    FINISHED = 2
    RAISED = 3
    #: Finished, and an ack was sent that may or may not have arrived.
    REPORTED = 4

#: The states of a job on the board that others have to know.
JOB_STARTED = STARTED
JOB_FINISHED = FINISHED
JOB_REPORTED = REPORTED

cdef struct BoardHeader:
    #: No job is started after this instant (nanoseconds of the boot clock): the lease may be lost.
    int64_t valid_until_ns
    #: When the process's main loop last turned.
    int64_t beat_ns
    #: When it last got a reply to a fetch, or had a good reason not to ask.
    int64_t fetched_ns
    #: Wall clock minus boot clock, in microseconds.
    int64_t clock_offset_us
    int64_t executed
    int64_t raised
    int32_t backlog
    int32_t idle
    #: How many threads may run jobs at a time, at present.
    int32_t usable

cdef struct ThreadState:
    #: 0 while the thread runs no job.
    int64_t started_ns
    #: When the job's time is over; 0 = never. Written before, and so true whenever, started_ns is not 0.
    int64_t deadline_ns
    int32_t slot
    int32_t column

cdef struct SpanEntry:
    uint16_t first
    uint16_t count
    #: Jobs in the whole chunk; 0 for a detached job.
    uint16_t n
    uint16_t column
    int32_t priority
    uint8_t ref_size
    char ref[MAX_REF_SIZE]

cdef struct Slot:
    int64_t fence
    int32_t queue
    int32_t spans
    int32_t jobs
    SpanEntry span[MAX_LEASE_SPANS]
    uint8_t state[MAX_LEASE_JOBS]
    int64_t started_ns[MAX_LEASE_JOBS]
    float run_s[MAX_LEASE_JOBS]


cdef extern from *:
    """
    #define fj_publish() __atomic_thread_fence(__ATOMIC_RELEASE)
    """
    #: What was written to the board before is seen by another process before what is written next.
    void publish "fj_publish" () noexcept nogil


cdef inline int64_t boot_ns() noexcept nogil:
    """The boot clock: unlike the monotonic clock it goes on while the machine sleeps, as leases do."""
    cdef timespec now
    clock_gettime(CLOCK_BOOTTIME, &now)
    return <int64_t>now.tv_sec * 1000000000 + now.tv_nsec


def boot_time_ns():
    """Returns the boot clock in nanoseconds: what validity on the board is measured with."""
    return boot_ns()


@cython.final
cdef class Board:
    """One process's progress board, mapped from an anonymous shared file.

    Args:
        fd: descriptor of the shared file, made with `create`.
        threads: number of executor threads.
        slots: number of leases that can be held at a time.
    """

    cdef readonly int fd
    cdef readonly int threads
    cdef readonly int slots
    cdef object _map
    cdef Py_buffer _view
    cdef BoardHeader* _header
    cdef ThreadState* _thread
    cdef Slot* _slot

    def __cinit__(self, int fd, int threads, int slots):
        if threads < 1 or slots < 1:
            raise ValueError("a board has at least one thread and one slot")
        cdef Py_ssize_t size = Board.size(threads, slots)
        self.fd = fd
        self.threads = threads
        self.slots = slots
        self._map = mmap.mmap(fd, size)
        PyObject_GetBuffer(self._map, &self._view, PyBUF_SIMPLE | PyBUF_WRITABLE)
        self._header = <BoardHeader*>self._view.buf
        self._thread = <ThreadState*>(<char*>self._view.buf + sizeof(BoardHeader))
        self._slot = <Slot*>(<char*>self._view.buf + sizeof(BoardHeader) + threads * sizeof(ThreadState))

    def __dealloc__(self):
        if self._view.buf != NULL:
            PyBuffer_Release(&self._view)

    @staticmethod
    def size(int threads, int slots):
        """Returns the bytes a board takes."""
        return sizeof(BoardHeader) + threads * sizeof(ThreadState) + slots * sizeof(Slot)

    @staticmethod
    def create(int threads, int slots):
        """Makes a new, empty board; its file goes when the last process that holds it ends."""
        fd = os.memfd_create("fastjobs-board", os.MFD_CLOEXEC)
        os.ftruncate(fd, Board.size(threads, slots))
        return Board(fd, threads, slots)

    @property
    def valid_until_ns(self):
        """Until when jobs may be started, in nanoseconds of the boot clock."""
        return self._header.valid_until_ns

    @valid_until_ns.setter
    def valid_until_ns(self, int64_t value):
        self._header.valid_until_ns = value

    @property
    def beat_ns(self):
        """When the process's main loop last turned, in nanoseconds of the boot clock."""
        return self._header.beat_ns

    @property
    def executed(self):
        """Number of jobs run, whatever became of them."""
        return self._header.executed

    @property
    def raised(self):
        """Number of jobs run that raised."""
        return self._header.raised

    @property
    def backlog(self):
        """Number of leased jobs that have not been started."""
        return self._header.backlog

    @property
    def idle(self):
        """Whether the process had nothing to do when its main loop last turned."""
        return bool(self._header.idle)

    def beat(self, int64_t clock_offset_us, int backlog, bint idle):
        """Notes that the main loop turns."""
        self._header.beat_ns = boot_ns()
        self._header.clock_offset_us = clock_offset_us
        self._header.backlog = backlog
        self._header.idle = idle

    @property
    def fetched_ns(self):
        """When the process last got a reply to a fetch, or had a good reason not to ask; 0 = never."""
        return self._header.fetched_ns

    def fetched(self, int usable):
        """Notes that the process gets what it asks for, or is right not to ask.

        Args:
            usable: how many threads may run jobs at a time, at present.
        """
        self._header.fetched_ns = boot_ns()
        self._header.usable = usable

    @property
    def full(self):
        """Whether all threads that may run a job are running one."""
        cdef int thread, busy = 0
        for thread in range(self.threads):
            busy += self._thread[thread].started_ns != 0
        return busy > 0 and busy >= self._header.usable

    def running(self):
        """Returns (ref, n, index, started_ns) of each job that is being run; n as for `lease`."""
        cdef int thread
        cdef ThreadState* state
        jobs = []
        for thread in range(self.threads):
            state = &self._thread[thread]
            if state.started_ns:
                job = self._job_at(state.slot, state.column)
                if job is not None:
                    jobs.append((*job, state.started_ns))
        return jobs

    cdef Slot* _checked(self, int index) except NULL:
        if not 0 <= index < self.slots:
            raise IndexError(f"slot {index} of a board of {self.slots}")
        return &self._slot[index]

    cdef Slot* _checked_column(self, int index, int column) except NULL:
        if not 0 <= column < MAX_LEASE_JOBS:
            raise IndexError(f"column {column} of a slot of {MAX_LEASE_JOBS}")
        return self._checked(index)
    def overdue(self, int64_t grace_ns):
        """Returns (slot, column, started_ns) of each job that is being run although its time was over `grace_ns` ago."""
        cdef int thread
        cdef int64_t started, deadline
        cdef int64_t late = boot_ns() - grace_ns
        cdef ThreadState* state
        jobs = []
        for thread in range(self.threads):
            state = &self._thread[thread]
            started, deadline = state.started_ns, state.deadline_ns
            if started and deadline and deadline <= late:
                jobs.append((state.slot, state.column, started))
        return jobs

    def next_deadline_ns(self):
        """Returns when the time of a running job is over next, in nanoseconds of the boot clock; 0 = never."""
        cdef int thread
        cdef int64_t first = 0
        cdef ThreadState* state
        for thread in range(self.threads):
            state = &self._thread[thread]
            if state.started_ns and state.deadline_ns and (not first or state.deadline_ns < first):
                first = state.deadline_ns
        return first

    def started_ns(self, int slot, int column):
        """Returns when the job in a column was started, in nanoseconds of the boot clock."""
        return self._checked_column(slot, column).started_ns[column]

    cdef object _job_at(self, int slot_index, int column):
        cdef Slot* slot
        cdef SpanEntry* span
        cdef int position
        if not 0 <= slot_index < self.slots:
            return None
        slot = &self._slot[slot_index]
        for position in range(_span_count(slot)):
            span = &slot.span[position]
            if span.column <= column < span.column + span.count:
                return _span_ref(span), span.n, span.first + column - span.column
        return None

    def lease(self, int64_t fence, int queue, list spans not None):
        """Notes a new lease.

        Args:
            fence: the lease's fence.
            queue: index of its queue in the worker's list of queues.
            spans: (chunk id or detached ref, n, first, count, priority) each; n = 0 marks a detached job.

        Returns:
            The slot taken, or -1 when none is free or the lease is too large for one.

        Raises:
            ValueError: the fence is not positive, or a span has no jobs.
        """
        cdef int index, column = 0, position = 0
        cdef Slot* slot
        cdef SpanEntry* span
        cdef bytes packed
        if fence < 1 or any([count < 1 for _, _, _, count, _ in spans]):
            raise ValueError("a lease has a positive fence and at least one job per span")
        if len(spans) > MAX_LEASE_SPANS or sum([count for _, _, _, count, _ in spans]) > MAX_LEASE_JOBS:
            return -1
        for index in range(self.slots):
            if self._slot[index].fence == 0:
                break
        else:
            return -1
        slot = &self._slot[index]
        for ref, n, first, count, priority in spans:
            packed = ref.encode()
            if len(packed) > MAX_REF_SIZE:
                return -1
            span = &slot.span[position]
            span.first = first
            span.count = count
            span.n = n
            span.column = column
            span.priority = priority
            span.ref_size = len(packed)
            memcpy(span.ref, PyBytes_AS_STRING(packed), len(packed))
            column += count
            position += 1
        memset(slot.state, UNSTARTED, column)
        slot.queue = queue
        slot.spans = position
        slot.jobs = column
        # Last: a slot without a fence is not read.
        publish()
        slot.fence = fence
        return index

    def free(self, int slot):
        """Forgets a lease of which nothing is left."""
        self._checked(slot).fence = 0

    def held(self):
        """Returns (slot, fence, queue index) of each lease."""
        return [
            (index, self._slot[index].fence, self._slot[index].queue)
            for index in range(self.slots)
            if self._slot[index].fence
        ]

    def spans(self, int slot_index):
        """Returns (chunk id or detached ref, n, first, column, priority, states) of each span, one state byte per job."""
        cdef Slot* slot = self._checked(slot_index)
        cdef SpanEntry* span
        cdef int position
        found = []
        for position in range(_span_count(slot)):
            span = &slot.span[position]
            states = <bytes>(<char*>slot.state)[span.column:span.column + span.count]
            found.append((_span_ref(span), span.n, span.first, span.column, span.priority, states))
        return found

    def times(self, int slot_index, int column):
        """Returns when the job in a column was started (ms since 1970) and how long it ran, so far, in seconds."""
        cdef Slot* slot = self._checked_column(slot_index, column)
        cdef int64_t started_us = slot.started_ns[column] // 1000 + self._header.clock_offset_us
        if slot.state[column] == STARTED:
            return started_us // 1000, (boot_ns() - slot.started_ns[column]) * 1e-9
        return started_us // 1000, slot.run_s[column]

    def report(self, int slot, int column):
        """Marks a detached job that finished as reported; returns whether it had finished and was not yet."""
        cdef Slot* held = self._checked_column(slot, column)
        if held.state[column] != FINISHED:
            return False
        held.state[column] = REPORTED
        return True

    def finished_runs(self, int slot_index, bytes worker not None, bint reported):
        """Collects what finished in the chunks of a lease, ready to be acked, and marks it as reported.

        Args:
            slot_index: the lease's slot.
            worker: name of the worker, stored with the times.
            reported: whether to collect again what was collected before and may not have arrived.

        Returns:
            (chunk id, n, first, count, head, columns) for each run of jobs side by side; see `history`.
        """
        cdef Slot* slot = self._checked(slot_index)
        cdef SpanEntry* span
        cdef int position, column, end, start
        cdef uint8_t state
        runs = []
        for position in range(_span_count(slot)):
            span = &slot.span[position]
            if span.n == 0:
                continue
            column, end = span.column, span.column + span.count
            while column < end:
                state = slot.state[column]
                if state != FINISHED and not (reported and state == REPORTED):
                    column += 1
                    continue
                start = column
                while column < end and (slot.state[column] == FINISHED or (reported and slot.state[column] == REPORTED)):
                    slot.state[column] = REPORTED
                    column += 1
                runs.append((
                    _span_ref(span), span.n, span.first + start - span.column, column - start,
                    self._head(slot, start, worker), _time_columns(slot, start, column - start),
                ))
        return runs

    cdef bytes _head(self, Slot* slot, int column, bytes worker):
        """When the first job of the run started (us since 1970, 8 bytes), the worker's name and its length."""
        cdef int64_t started_us = slot.started_ns[column] // 1000 + self._header.clock_offset_us
        cdef bytes name = worker[:255]
        return (<char*>&started_us)[:8] + bytes((len(name),)) + name


cdef inline int _span_count(Slot* slot) noexcept:
    """The number of spans that can be read: a process that died may have scribbled over its board before."""
    cdef int number = min(max(slot.spans, 0), <int>MAX_LEASE_SPANS)
    cdef int position
    for position in range(number):
        if slot.span[position].column + slot.span[position].count > MAX_LEASE_JOBS:
            return position
    return number


cdef inline str _span_ref(SpanEntry* span):
    return (<bytes>span.ref[:min(span.ref_size, <int>MAX_REF_SIZE)]).decode("utf-8", "replace")


cdef bytes _time_columns(Slot* slot, int first, int count):
    """Per job: seconds from the first job's start, and seconds of run time, each a float32."""
    cdef bytes columns = PyBytes_FromStringAndSize(NULL, 8 * count)
    cdef float* out = <float*>PyBytes_AS_STRING(columns)
    cdef int64_t base = slot.started_ns[first]
    cdef int position
    for position in range(count):
        out[2 * position] = <float>((slot.started_ns[first + position] - base) * 1e-9)
        out[2 * position + 1] = slot.run_s[first + position]
    return columns
