# The layout of the progress board, a block of shared memory per worker process:
#
#   header | seats | slots
#
# A seat is the place of one running job. A slot holds one lease: its fence (0 = free slot), a directory of its spans,
# and per job, at the span's column + position in the span, its run state, start and run time.
#
# Both sides of the board belong to one worker run, so the layout may change from release to release.

#: Most jobs to ask for in one fetch.
MAX_FETCH_JOBS = 2048

cdef enum:
    #: Jobs that one lease can hold; a fetch asks for at most MAX_FETCH_JOBS and may return a quarter more.
    MAX_LEASE_JOBS = 2560
    MAX_LEASE_SPANS = 256
    #: A chunk id (128) or detached ref ("~" and index more).
    MAX_REF_SIZE = 136

#: More jobs than a process ever runs; sums of a few such numbers fit into 64 bits.
cdef int64_t MAX_EXECUTED = 1 << 53

#: How far the run of a leased job has come.
cdef enum RunState:
    UNSTARTED = 0
    STARTED = 1
    FINISHED = 2
    #: Did not simply finish, or was never started; its ending was handed to `on_ending`.
    HANDED_OVER = 3
    #: Finished, and an ack was sent that may or may not have arrived.
    REPORTED = 4

#: The run states that a supervisor looks for on the board of a dead process.
RUN_STARTED = STARTED
RUN_FINISHED = FINISHED
RUN_REPORTED = REPORTED

#: The first bytes of a board.
cdef enum:
    BOARD_MARK = 0x466a4264

cdef struct BoardHeader:
    int64_t mark
    #: No job is started after this instant (nanoseconds of the boot clock): the lease may be lost.
    int64_t valid_until_ns
    #: When the process's main loop last turned.
    int64_t beat_ns
    #: When the process last got a reply to a fetch, or had a good reason not to ask.
    int64_t fetched_ns
    #: Wall clock minus boot clock, in microseconds.
    int64_t clock_offset_us
    int64_t executed
    int32_t idle
    #: How many seats may be taken at a time, at present.
    int32_t usable

cdef struct SeatState:
    #: 0 while the seat is empty.
    int64_t started_ns
    #: When the job's time is over; 0 = never. Written before started_ns, and so valid whenever started_ns is not 0.
    int64_t deadline_ns
    #: When the time of the hook that is being called before or after the job is over; 0 = none is being called.
    int64_t hook_deadline_ns
    int32_t slot
    int32_t column

cdef struct SpanEntry:
    uint16_t first
    uint16_t count
    #: Jobs in the whole chunk; 0 for a detached job.
    uint16_t n
    uint16_t column
    int64_t priority
    #: How long its jobs are kept when they have finished, in milliseconds; 0 = not at all.
    int64_t keep_ms
    uint8_t ref_size
    char ref[MAX_REF_SIZE]

cdef struct Slot:
    int64_t fence
    #: Index in the process's list of partitions.
    int32_t partition
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
    #: Other processes see everything written to the board before this call before anything written after it.
    void publish "fj_publish" () noexcept nogil


cdef inline int64_t boot_ns() noexcept nogil:
    """The boot clock: unlike the monotonic clock it goes on while the machine sleeps, as leases do."""
    cdef timespec now
    clock_gettime(CLOCK_BOOTTIME, &now)
    return <int64_t>now.tv_sec * 1000000000 + now.tv_nsec


def boot_time_ns():
    """Returns the boot clock in nanoseconds; validity on the board is measured with it."""
    return boot_ns()


cdef inline int span_count(Slot* slot) noexcept:
    """The number of spans that can be read: a process that died may have scribbled over its board before."""
    cdef int number = min(max(slot.spans, 0), <int>MAX_LEASE_SPANS)
    cdef int position
    for position in range(number):
        if slot.span[position].column + slot.span[position].count > MAX_LEASE_JOBS:
            return position
    return number


cdef inline bint is_intact(Slot* slot, int partitions) noexcept:
    """Whether a slot holds a lease as `Board.lease` notes it: its spans side by side, and as many jobs as it says."""
    cdef int position, column = 0
    cdef SpanEntry* span
    if not (slot.fence > 0 and 0 <= slot.partition < partitions and 0 < slot.spans <= MAX_LEASE_SPANS):
        return False
    for position in range(slot.spans):
        span = &slot.span[position]
        if span.column != column or span.ref_size > MAX_REF_SIZE:
            return False
        column += span.count
    return column == slot.jobs and column <= MAX_LEASE_JOBS


cdef inline str span_ref(SpanEntry* span):
    return (<bytes>span.ref[:min(span.ref_size, <int>MAX_REF_SIZE)]).decode("utf-8", "replace")
