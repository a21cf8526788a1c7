# The progress board: shared memory in which a worker process notes, job by job, what it is doing. When the process
# dies, the supervisor settles the jobs that are left. The execute loop writes the very bytes from which acks are made,
# so noting costs no extra work.


@cython.final
cdef class Board:
    """One process's progress board, mapped from an anonymous shared file.

    Args:
        fd: descriptor of the shared file, made with `create`.
        seats: number of jobs that can run at a time.
        slots: number of leases that can be held at a time.
    """

    cdef readonly int fd
    cdef readonly int seats
    cdef readonly int slots
    cdef object _map
    cdef Py_buffer _view
    cdef BoardHeader* _header
    cdef SeatState* _seat
    cdef Slot* _slot

    def __cinit__(self, int fd, int seats, int slots):
        if seats < 1 or slots < 1:
            raise ValueError("a board has at least one seat and one slot")
        cdef Py_ssize_t size = Board.size(seats, slots)
        self.fd = fd
        self.seats = seats
        self.slots = slots
        self._map = mmap.mmap(fd, size)
        PyObject_GetBuffer(self._map, &self._view, PyBUF_SIMPLE | PyBUF_WRITABLE)
        self._header = <BoardHeader*>self._view.buf
        self._seat = <SeatState*>(<char*>self._view.buf + sizeof(BoardHeader))
        self._slot = <Slot*>(<char*>self._view.buf + sizeof(BoardHeader) + seats * sizeof(SeatState))

    def __dealloc__(self):
        if self._view.buf != NULL:
            PyBuffer_Release(&self._view)

    @staticmethod
    def size(int seats, int slots):
        """Returns how many bytes a board takes."""
        return sizeof(BoardHeader) + seats * sizeof(SeatState) + slots * sizeof(Slot)

    @staticmethod
    def create(int seats, int slots):
        """Makes a new, empty board; its file disappears when the last process that holds it ends."""
        fd = os.memfd_create("fastjobs-board", os.MFD_CLOEXEC)
        try:
            os.ftruncate(fd, Board.size(seats, slots))
            return Board(fd, seats, slots)._marked()
        except BaseException:
            os.close(fd)
            raise

    cdef Board _marked(self):
        self._header.mark = BOARD_MARK
        return self

    def intact(self, int partitions):
        """Whether the board is as its process left it: a process that died of a wild pointer may have written anywhere.

        Args:
            partitions: how many the process worked on.
        """
        cdef int index
        for index in range(self.slots):
            if self._slot[index].fence and not is_intact(&self._slot[index], partitions):
                return False
        return self._header.mark == BOARD_MARK

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
        """Number of jobs run, however they ended."""
        return min(max(self._header.executed, 0), MAX_EXECUTED)

    @property
    def idle(self):
        """Whether the process had nothing to do when its main loop last turned."""
        return bool(self._header.idle)

    def beat(self, int64_t clock_offset_us, bint idle):
        """Notes that the main loop turns.

        Args:
            clock_offset_us: wall clock minus boot clock, in microseconds.
            idle: whether the process has nothing to do.
        """
        self._header.beat_ns = boot_ns()
        self._header.clock_offset_us = clock_offset_us
        self._header.idle = idle

    @property
    def fetched_ns(self):
        """When the process last got a reply to a fetch, or had a good reason not to ask; 0 = never."""
        return self._header.fetched_ns

    def fetched(self, int usable):
        """Notes that the server answers the process's fetches, or that the process is right not to fetch.

        Args:
            usable: how many seats may be taken at a time, at present.
        """
        self._header.fetched_ns = boot_ns()
        self._header.usable = usable

    @property
    def full(self):
        """Whether a job runs on every seat that may be taken."""
        cdef int number, busy = 0
        for number in range(self.seats):
            busy += self._seat[number].started_ns != 0
        return busy > 0 and busy >= self._header.usable

    def running(self):
        """Returns (ref, n, index, started_ns) of each running job; n as for `lease`."""
        cdef int number
        cdef SeatState* seat
        jobs = []
        for number in range(self.seats):
            seat = &self._seat[number]
            if seat.started_ns:
                job = self._job_at(seat.slot, seat.column)
                if job is not None:
                    jobs.append((*job, seat.started_ns))
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
        """Returns (slot, column, started_ns) of each job that still runs although its time was over `grace_ns` ago."""
        cdef int number
        cdef int64_t started, deadline
        cdef int64_t late = boot_ns() - grace_ns
        cdef SeatState* seat
        jobs = []
        for number in range(self.seats):
            seat = &self._seat[number]
            started, deadline = seat.started_ns, seat.deadline_ns
            if started and deadline and deadline <= late:
                jobs.append((seat.slot, seat.column, started))
        return jobs

    def overdue_hooks(self):
        """Returns (slot, column, started_ns) of each job whose hook is still being called although its time is over.

        started_ns: 0 when the job has ended, because it is a hook that is called afterwards.
        """
        cdef int number
        cdef int64_t now = boot_ns()
        cdef SeatState* seat
        jobs = []
        for number in range(self.seats):
            seat = &self._seat[number]
            if 0 < seat.hook_deadline_ns <= now:
                jobs.append((seat.slot, seat.column, seat.started_ns))
        return jobs

    def next_overdue_ns(self, int64_t grace_ns):
        """Returns when `overdue` or `overdue_hooks` will find something next, in ns of the boot clock; 0 = never."""
        cdef int number
        cdef int64_t first = 0
        cdef SeatState* seat
        for number in range(self.seats):
            seat = &self._seat[number]
            if seat.started_ns and seat.deadline_ns:
                first = _earlier(first, seat.deadline_ns + grace_ns)
            first = _earlier(first, seat.hook_deadline_ns)
        return first

    def started_ns(self, int slot, int column):
        """Returns when the job in a column started, in nanoseconds of the boot clock."""
        return self._checked_column(slot, column).started_ns[column]

    cdef object _job_at(self, int slot_index, int column):
        cdef Slot* slot
        cdef SpanEntry* span
        cdef int position
        if not 0 <= slot_index < self.slots:
            return None
        slot = &self._slot[slot_index]
        for position in range(span_count(slot)):
            span = &slot.span[position]
            if span.column <= column < span.column + span.count:
                return span_ref(span), span.n, span.first + column - span.column
        return None

    def lease(self, int64_t fence, int partition, list spans not None):
        """Notes a new lease.

        Args:
            fence: the lease's fence.
            partition: index of its partition in the process's list of partitions.
            spans: (chunk id or detached ref, n, first, count, priority, keep_ms) each; n = 0 marks a detached job.

        Returns:
            The slot taken, or -1 when no slot is free or the lease is too large for one.

        Raises:
            ValueError: the fence is not positive, or a span has no jobs.
        """
        cdef int index, column = 0, position = 0
        cdef Slot* slot
        cdef SpanEntry* span
        cdef bytes packed
        if fence < 1 or any([count < 1 for _, _, _, count, _, _ in spans]):
            raise ValueError("a lease has a positive fence and at least one job per span")
        if len(spans) > MAX_LEASE_SPANS or sum([count for _, _, _, count, _, _ in spans]) > MAX_LEASE_JOBS:
            return -1
        for index in range(self.slots):
            if self._slot[index].fence == 0:
                break
        else:
            return -1
        slot = &self._slot[index]
        for ref, n, first, count, priority, keep_ms in spans:
            packed = ref.encode()
            if len(packed) > MAX_REF_SIZE:
                return -1
            span = &slot.span[position]
            span.first = first
            span.count = count
            span.n = n
            span.column = column
            span.priority = priority
            span.keep_ms = keep_ms
            span.ref_size = len(packed)
            memcpy(span.ref, PyBytes_AS_STRING(packed), len(packed))
            column += count
            position += 1
        memset(slot.state, UNSTARTED, column)
        slot.partition = partition
        slot.spans = position
        slot.jobs = column
        # The fence comes last: nobody reads a slot without one.
        publish()
        slot.fence = fence
        return index

    def free(self, int slot):
        """Removes a lease whose jobs are all settled."""
        self._checked(slot).fence = 0

    def held(self):
        """Returns (slot, fence, partition index) of each lease."""
        return [
            (index, self._slot[index].fence, self._slot[index].partition)
            for index in range(self.slots)
            if self._slot[index].fence
        ]

    def spans(self, int slot_index):
        """Returns (chunk id or detached ref, n, first, column, priority, keep_ms, run states) of each span.

        The states have a byte per job.
        """
        cdef Slot* slot = self._checked(slot_index)
        cdef SpanEntry* span
        cdef int position
        spans = []
        for position in range(span_count(slot)):
            span = &slot.span[position]
            states = <bytes>(<char*>slot.state)[span.column:span.column + span.count]
            spans.append((span_ref(span), span.n, span.first, span.column, span.priority, span.keep_ms, states))
        return spans

    def times(self, int slot_index, int column):
        """Returns when the job in a column started (ms since 1970) and how many seconds it ran, or has run so far."""
        cdef Slot* slot = self._checked_column(slot_index, column)
        cdef int64_t started_us = slot.started_ns[column] // 1000 + self._header.clock_offset_us
        if slot.state[column] == STARTED:
            return started_us // 1000, (boot_ns() - slot.started_ns[column]) * 1e-9
        return started_us // 1000, slot.run_s[column]

    def report(self, int slot, int column):
        """Marks a finished detached job as reported; returns False when it has not finished or was reported before."""
        cdef Slot* held = self._checked_column(slot, column)
        if held.state[column] != FINISHED:
            return False
        held.state[column] = REPORTED
        return True

    def finished_runs(self, int slot_index, bytes worker not None, bint reported):
        """Collects the jobs of a lease that finished in their chunks, ready to be acked, and marks them as reported.

        Args:
            slot_index: the lease's slot.
            worker: name of the worker, stored with the times.
            reported: whether to collect again what was collected before and may not have arrived.

        Returns:
            (chunk id, n, first, count, head, columns) for each run of jobs side by side; see `history`.
        """
        return collect_runs(self._checked(slot_index), self._header.clock_offset_us, worker, reported)


cdef inline int64_t _earlier(int64_t one, int64_t other) noexcept:
    """The earlier of two times; 0 = never."""
    return other if not one else one if not other else min(one, other)
