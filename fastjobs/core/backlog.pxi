# The backlog: the leased jobs of a process that have not been started, in one line that all its seats take jobs from.

@cython.final
cdef class Backlog:
    """The leased jobs of a process that have not been started, in the order in which they will run.

    Args:
        board: shows progress to the supervisor.
        on_ending: called as on_ending(jobs, index, ending) when a job did not simply finish, or was not started because
            it had expired or has no handler; returns its outcome, and must not raise.
        notify_fd: event file that wakes the thread that fetches.
        hook_timeout_ns: how long what is called before or after a job may take, in nanoseconds; by default, for ever.
    """

    cdef readonly Board board
    cdef readonly Seats seats
    #: Number of leased jobs that have not been started.
    cdef readonly Py_ssize_t unstarted
    #: Set to True, it lets each call of `execute` return after the job it is running.
    cdef public bint stopped
    #: While `waiting`, the execute loop writes to the event file once no more than `low_water` jobs are left.
    cdef public bint waiting
    cdef public Py_ssize_t low_water
    #: Jobs run and the time they took, for the average.
    cdef readonly int64_t executed
    cdef readonly int64_t busy_ns
    cdef int64_t hook_timeout_ns
    cdef int _notify_fd
    cdef object _spans
    cdef object _on_ending
    #: Of the board, which does not move.
    cdef BoardHeader* _header
    cdef Slot* _slot

    def __cinit__(self, Board board not None, on_ending, int notify_fd, int64_t hook_timeout_ns=1 << 62):
        self.board = board
        self.seats = Seats(board)
        self._notify_fd = notify_fd
        self.hook_timeout_ns = hook_timeout_ns
        self._spans = deque()
        self._on_ending = on_ending
        self._header = board._header
        self._slot = board._slot

    def push(self, LeasedJobs jobs not None):
        """Adds jobs at the end of the line.

        Raises:
            IndexError: the board has no such slot or columns.
        """
        cdef Seats seats = self.seats
        self.board._checked_column(jobs.slot, jobs.column)
        self.board._checked_column(jobs.slot, jobs.column + jobs.count - 1)
        seats.shortest_timeout_ns = shorter(seats.shortest_timeout_ns, jobs.shortest_timeout_ns())
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

    def skip(self, owner, int index):
        """Withdraws one job if it is here and has not been started.

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
                rest = jobs.cut(position)
                self.unstarted -= 1
                if rest is not None:
                    self._spans.insert(place + 1, rest)
                return True
        return False

    cpdef notify(self):
        """Wakes the thread that fetches, if it waits."""
        cdef uint64_t one = 1
        if self.waiting:
            self.waiting = False
            # An event file refuses a write only when its counter is full, and then the reader is awake anyway.
            write(self._notify_fd, &one, sizeof(one))

    def execute(self, int seat):
        """Runs jobs on a seat until none is left, the lease's validity is over, or the backlog is stopped.

        Args:
            seat: number of the seat; nobody else may be running jobs on it.

        Returns:
            The number of jobs run.
        """
        cdef JobContext context = JobContext()
        context.enter()
        try:
            return run_jobs(self, self.seats.checked(seat), context)
        finally:
            context.leave()
