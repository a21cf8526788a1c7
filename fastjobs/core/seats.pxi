# The seats of this process: which job sits where, and asking it to end. A request is only noted here, and taken up in
# the thread of the handler where that does no harm. Everything here happens under the GIL, and none of it releases the
# GIL half-way. So a request finds the very job it is meant for, or waits for it at the handler's door, or comes too
# late and does nothing.

#: Requests to a running job.
cdef enum Request:
    NOTHING = 0
    #: The job's time is over.
    TIME_OUT = 1
    #: The job is to be cancelled; outranks the timeout.
    CANCEL = 2

cdef struct Seat:
    #: The seat's part of the board, which other processes see.
    SeatState* shown
    #: The thread in which the seat's handler runs.
    unsigned long thread_id
    #: Borrowed: the LeasedJobs whose job sits here; valid only while `started_ns` is shown.
    PyObject* jobs
    #: How the last run ended, and the outcome made of it, until `after` gets them; owned, NULL = there is none.
    PyObject* ending
    PyObject* outcome
    Request asked
    #: When it was asked, on the boot clock.
    int64_t asked_ns
    #: Whether the handler, or a thread of it, has come to know what was asked.
    bint told
    #: Whether the thread of the handler has.
    bint heard
    #: Whether the thread is in the handler, where an exception may be raised in it.
    bint inside


@cython.final
cdef class Seats:
    """The seats of one process. Any thread may ask; requests are meant for the job that started at a given time.

    Args:
        board: shows the seats to the supervisor.
    """

    cdef readonly Board board
    #: The shortest timeout of a job given to this process so far, in nanoseconds; 0 when none had one.
    cdef readonly int64_t shortest_timeout_ns
    cdef Seat* _seat
    cdef int _generation

    def __cinit__(self, Board board not None):
        cdef int number
        self.board = board
        self._generation = generation
        self._seat = <Seat*>calloc(board.seats, sizeof(Seat))
        if self._seat == NULL:
            raise MemoryError()
        for number in range(board.seats):
            self._seat[number].shown = &board._seat[number]

    def __dealloc__(self):
        cdef int number
        if self._seat != NULL:
            for number in range(self.board.seats):
                keep(&self._seat[number].ending, NULL)
                keep(&self._seat[number].outcome, NULL)
        free(self._seat)

    cdef Seat* checked(self, int number) except NULL:
        if not 0 <= number < self.board.seats:
            raise IndexError(f"seat {number} of a board of {self.board.seats}")
        return &self._seat[number]

    def overdue(self):
        """Returns (seat, started_ns) of each job whose time is over and that has not been asked to end."""
        cdef int number
        cdef int64_t now
        cdef Seat* seat
        jobs = []
        if not self.shortest_timeout_ns:
            return jobs
        now = boot_ns()
        for number in range(self.board.seats):
            seat = &self._seat[number]
            if seat.shown.started_ns and 0 < seat.shown.deadline_ns <= now and seat.asked == NOTHING:
                jobs.append((number, seat.shown.started_ns))
        return jobs

    def next_deadline_ns(self):
        """Returns when a job that has not been asked to end is overdue next, in ns of the boot clock; 0 = never."""
        cdef int number
        cdef int64_t first = 0
        cdef Seat* seat
        if not self.shortest_timeout_ns:
            return 0
        for number in range(self.board.seats):
            seat = &self._seat[number]
            if seat.shown.started_ns and seat.shown.deadline_ns and seat.asked == NOTHING:
                first = seat.shown.deadline_ns if not first else min(first, seat.shown.deadline_ns)
        return first

    def running(self, int slot, int column):
        """Returns (seat, started_ns) of the job in a column of the board; None when it is not running."""
        cdef int number
        cdef SeatState* shown
        for number in range(self.board.seats):
            shown = self._seat[number].shown
            if shown.started_ns and shown.slot == slot and shown.column == column:
                return number, shown.started_ns
        return None

    def current(self):
        """Returns (seat, started_ns, deadline_ns, jobs, index) of the job whose handler the calling thread is in.

        None when the calling thread is in no handler.
        """
        cdef int number
        cdef unsigned long thread_id = PyThread_get_thread_ident()
        cdef Seat* seat
        for number in range(self.board.seats):
            seat = &self._seat[number]
            if seat.inside and seat.thread_id == thread_id:
                jobs = <LeasedJobs>seat.jobs
                index = jobs.first + seat.shown.column - jobs.column
                return number, seat.shown.started_ns, seat.shown.deadline_ns, jobs, index
        return None

    def job(self, int seat, int64_t expected_started_ns):
        """Returns (jobs, index) of the job that started on a seat at that time; None when it has ended."""
        cdef Seat* taken = self.checked(seat)
        if expected_started_ns == 0 or taken.shown.started_ns != expected_started_ns:
            return None
        jobs = <LeasedJobs>taken.jobs
        return jobs, jobs.first + taken.shown.column - jobs.column

    def doom(self, int seat, int64_t expected_started_ns):
        """Notes that a job whose time is over is to end with its process, and is not asked.

        Returns:
            (slot, column) of the job; None when it has ended, or was asked before.
        """
        cdef Seat* taken = self.checked(seat)
        if not self.ask(seat, JobTimeout, expected_started_ns):
            return None
        taken.heard = True
        return taken.shown.slot, taken.shown.column

    def ask(self, int seat, exception, int64_t expected_started_ns):
        """Asks a job to end; the thread of its handler gets that by `take_request`.

        Args:
            seat: where the job runs.
            exception: JobTimeout or JobCancelled.
            expected_started_ns: when the job meant was started.

        Returns:
            False when the seat has another job or none by now, or the job has been asked before.
        """
        cdef Seat* taken = self.checked(seat)
        cdef Request request = CANCEL if exception is JobCancelled else TIME_OUT
        if expected_started_ns == 0 or taken.shown.started_ns != expected_started_ns:
            return False
        if taken.asked >= request:
            return False
        taken.asked = request
        taken.asked_ns = boot_ns()
        taken.told = taken.heard = False
        return True

    def unheard(self):
        """Returns (thread id, when it was asked) of each handler whose thread does not know yet what was asked.

        The times are those of the boot clock, in nanoseconds.
        """
        cdef int number
        cdef Seat* seat
        handlers = []
        for number in range(self.board.seats):
            seat = &self._seat[number]
            if seat.asked != NOTHING and seat.inside and not seat.heard:
                handlers.append((seat.thread_id, seat.asked_ns))
        return handlers

    def unheard_since_ns(self):
        """Returns when the job whose handler the calling thread is in was asked; 0 when it was not, or knows."""
        cdef Seat* seat = self._own()
        return 0 if seat == NULL or seat.asked == NOTHING or seat.heard else seat.asked_ns

    def take_request(self):
        """Returns what the job whose handler the calling thread is in was asked to end with; None when it knows."""
        cdef Seat* seat = self._own()
        if seat == NULL or seat.asked == NOTHING or seat.heard:
            return None
        seat.told = seat.heard = True
        return interruption(seat.asked)

    def asked(self, int seat, int64_t expected_started_ns):
        """Returns what the job should end with, JobTimeout or JobCancelled, for the caller to raise; else None.

        In the handler's own thread, the exception is then not raised there a second time.
        """
        cdef Seat* taken = self.checked(seat)
        if expected_started_ns == 0 or taken.shown.started_ns != expected_started_ns:
            return None
        if taken.asked == NOTHING and 0 < taken.shown.deadline_ns <= boot_ns():
            self.ask(seat, JobTimeout, expected_started_ns)
        if taken.asked == NOTHING:
            return None
        taken.told = True
        taken.heard |= PyThread_get_thread_ident() == taken.thread_id
        return interruption(taken.asked)

    cdef Seat* _own(self) noexcept:
        """The seat whose handler the calling thread is in; NULL = none, as in a process that a handler forked."""
        cdef int number
        cdef unsigned long thread_id = PyThread_get_thread_ident()
        for number in range(self.board.seats):
            if self._seat[number].inside and self._seat[number].thread_id == thread_id:
                return &self._seat[number] if self._generation == generation else NULL
        return NULL


cdef inline int keep(PyObject** place, PyObject* value) except -1:
    """Puts a new reference in place of the one that is there."""
    cdef PyObject* previous = place[0]
    if value != NULL:
        Py_INCREF(<object>value)
    place[0] = value
    if previous != NULL:
        Py_DECREF(<object>previous)
    return 0


cdef inline object take(PyObject** place, otherwise):
    """Takes a reference out of its place."""
    if place[0] == NULL:
        return otherwise
    value = <object>place[0]
    keep(place, NULL)
    return value


cdef int refuse_to_start(Seat* seat) except -1:
    raise interruption(seat.asked)()


cdef inline object interruption(Request asked):
    return JobCancelled if asked == CANCEL else JobTimeout
