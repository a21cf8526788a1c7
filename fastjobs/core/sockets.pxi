# Reads and writes a socket within a time. Python repeats a call that a signal has interrupted, and a socket whose
# timeout the kernel watches then waits as long anew: with a signal every few milliseconds it would wait for ever.

cdef extern from "<sys/socket.h>" nogil:
    int MSG_DONTWAIT
    int MSG_NOSIGNAL
    Py_ssize_t recv(int, void*, size_t, int)
    Py_ssize_t send(int, const void*, size_t, int)

cdef extern from "<poll.h>" nogil:
    short POLLIN
    short POLLOUT
    struct pollfd:
        int fd
        short events
        short revents
    int poll(pollfd*, unsigned long, int)

cdef extern from "Python.h":
    int PyErr_CheckSignals() except -1


def receive_into(int fd, place, double left_s, bint kernel_waits):
    """Reads what has come over a socket, or waits for something to come.

    Args:
        fd: the socket.
        place: where to put it.
        left_s: how long to wait; 0 = not at all.
        kernel_waits: whether the kernel ends a read that takes longer: then the first one needs no poll before it.

    Returns:
        The number of bytes: 0 when the other side has closed, -1 when nothing came in time.

    Raises:
        OSError: the connection is broken.
    """
    cdef Py_buffer view
    PyObject_GetBuffer(place, &view, PyBUF_WRITABLE)
    try:
        return _receive(fd, <char*>view.buf, view.len, left_s, kernel_waits)
    finally:
        PyBuffer_Release(&view)


cdef Py_ssize_t _receive(int fd, char* first, Py_ssize_t size, double left_s, bint kernel_waits) except -2:
    cdef int64_t deadline_ns = monotonic_ns() + <int64_t>(left_s * 1e9) if left_s > 0 else 0
    cdef bint waits = kernel_waits and left_s > 0
    cdef Py_ssize_t number
    cdef int error = 0
    while True:
        with nogil:
            if deadline_ns and not waits:
                poll_until(fd, POLLIN, deadline_ns)
            number = recv(fd, first, size, 0 if waits else MSG_DONTWAIT)
            error = errno
        if number >= 0:
            return number
        if not _may_go_on(error, waits, deadline_ns):
            return -1
        waits = False


def send_all(int fd, bytes data not None, double left_s):
    """Writes bytes to a socket of which the kernel ends a write that takes longer than that.

    Raises:
        OSError: not all was written in time, or the connection is broken.
    """
    cdef int64_t deadline_ns = monotonic_ns() + <int64_t>(left_s * 1e9)
    cdef const char* first = PyBytes_AS_STRING(data)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
    cdef Py_ssize_t number
    cdef bint waits = True
    cdef int error = 0
    while size > 0:
        with nogil:
            if not waits:
                poll_until(fd, POLLOUT, deadline_ns)
            number = send(fd, first, size, MSG_NOSIGNAL | (0 if waits else MSG_DONTWAIT))
            error = errno
        if number >= 0:
            first += number
            size -= number
        elif not _may_go_on(error, waits, deadline_ns):
            raise TimeoutError("not written in time")
        waits = False


cdef bint _may_go_on(int error, bint waited, int64_t deadline_ns) except -1:
    """After a call that did nothing: whether to try again; raises what signal handlers raise, and for other errors."""
    if error != EINTR and error != EAGAIN:
        raise OSError(error, os.strerror(error))
    PyErr_CheckSignals()
    return not (waited and error == EAGAIN) and monotonic_ns() < deadline_ns


cdef void poll_until(int fd, short events, int64_t deadline_ns) noexcept nogil:
    """Waits until a socket is ready, a signal comes, or the time is over."""
    cdef pollfd watched
    cdef int64_t left_ns = deadline_ns - monotonic_ns()
    if left_ns > 0:
        watched.fd = fd
        watched.events = events
        # Rounded up: the rest of a millisecond would be spent asking again and again.
        poll(&watched, 1, <int>min(left_ns // 1_000_000 + 1, <int64_t>3_600_000))


cdef inline int64_t monotonic_ns() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <int64_t>now.tv_sec * 1_000_000_000 + now.tv_nsec
