# RESP2, the server's wire protocol: packing calls into one growing buffer, reading replies from bytes.

#: Longest header line of a reply ("$1048576\r\n", ":-9223372036854775808\r\n") that is not a text.
cdef enum:
    NUMBER_WIDTH = 24
    #: Replies of our scripts nest three deep; a deeper one is not ours.
    MAX_REPLY_DEPTH = 8


cdef inline int _put_number(Buffer buffer, char prefix, long long value) except -1:
    """Appends `<prefix><value>\\r\\n`."""
    cdef char text[NUMBER_WIDTH]
    cdef int length = snprintf(text, NUMBER_WIDTH, b"%c%lld\r\n", <int>prefix, value)
    buffer.reserve(length)
    buffer.put(text, length)
    return 0


cdef inline int _put_bulk(Buffer buffer, const char* data, Py_ssize_t size) except -1:
    """Appends one argument as a bulk string."""
    _put_number(buffer, c"$", size)
    buffer.reserve(size + 2)
    buffer.put(data, size)
    buffer.put(b"\r\n", 2)
    return 0


cdef int _put_argument(Buffer buffer, object value) except -1:
    cdef char text[NUMBER_WIDTH]
    cdef const char* data
    cdef Py_ssize_t size
    if type(value) is bytes:
        return _put_bulk(buffer, PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))
    if type(value) is str:
        data = PyUnicode_AsUTF8AndSize(value, &size)
        return _put_bulk(buffer, data, size)
    if type(value) is int:
        size = snprintf(text, NUMBER_WIDTH, b"%lld", <long long>value)
        return _put_bulk(buffer, text, size)
    raise TypeError(f"cannot send {type(value).__name__} to the server")


def pack_head(*parts):
    """Packs the constant beginning of a command; returns it for `CommandBuffer.call`.

    Args:
        parts: bytes, str or int, each one argument of the command.

    Returns:
        The packed bytes and the number of arguments in them.
    """
    cdef Buffer buffer = Buffer()
    for part in parts:
        _put_argument(buffer, part)
    return buffer.tobytes(), len(parts)


@cython.final
cdef class CommandBuffer:
    """Commands packed one after the other, ready to be sent in one write."""

    cdef Buffer _buffer
    cdef list _ends

    def __cinit__(self):
        self._buffer = Buffer()
        self._ends = []

    def __len__(self):
        """The number of commands."""
        return len(self._ends)

    @property
    def size(self):
        """The number of bytes."""
        return self._buffer.size

    def call(self, tuple head not None, *args):
        """Appends a command: a head made by `pack_head`, then further arguments (bytes, str or int).

        Raises:
            TypeError: an argument of another type; the buffer is as before.
        """
        self.extend(head, args)

    def extend(self, tuple head not None, args):
        """Like `call`, with the further arguments in one tuple or list."""
        cdef Py_ssize_t start = self._buffer.size
        cdef bytes packed = head[0]
        try:
            _put_number(self._buffer, c"*", <long long>head[1] + len(args))
            self._buffer.reserve(PyBytes_GET_SIZE(packed))
            self._buffer.put(PyBytes_AS_STRING(packed), PyBytes_GET_SIZE(packed))
            for value in args:
                _put_argument(self._buffer, value)
        except BaseException:
            self._buffer.size = start
            raise
        self._ends.append(self._buffer.size)

    def command(self, Py_ssize_t index):
        """Returns the bytes of one command, to send it again."""
        cdef Py_ssize_t start = self._ends[index - 1] if index > 0 else 0
        return self._buffer.data[start:<Py_ssize_t>self._ends[index]]

    def tobytes(self):
        """Returns all commands."""
        return self._buffer.tobytes()

    def clear(self):
        """Forgets all commands and keeps the memory."""
        self._buffer.size = 0
        self._ends.clear()


cdef class _NotReady:
    def __repr__(self):
        return "NOT_READY"


#: What `ReplyReader.get` returns while a reply is not complete.
NOT_READY = _NotReady()


@cython.final
cdef class ReplyError:
    """An error the server replied with; a value, not an exception: its neighbours may have succeeded."""

    cdef readonly str message

    def __init__(self, str message not None):
        self.message = message

    def __repr__(self):
        return f"ReplyError({self.message!r})"


@cython.final
cdef class ReplyReader:
    """Turns bytes from the server, fed in any portions, into replies.

    Bulk strings become bytes, integers int, arrays list, nil None, errors `ReplyError`.
    """

    cdef Buffer _buffer
    cdef Py_ssize_t _position

    def __cinit__(self):
        self._buffer = Buffer()
        self._position = 0

    def feed(self, const unsigned char[::1] data not None):
        """Appends bytes as they came from the socket."""
        cdef Py_ssize_t size = data.shape[0]
        if self._position == self._buffer.size:
            self._buffer.size = self._position = 0
        if size == 0:
            return
        self._buffer.reserve(size)
        self._buffer.put(<const char*>&data[0], size)

    def get(self):
        """Returns the next complete reply, or NOT_READY.

        Raises:
            ValueError: the bytes are not RESP; the connection is of no more use.
        """
        cdef Py_ssize_t position = self._position
        reply = self._parse(&position, 0)
        if reply is not NOT_READY:
            self._position = position
        return reply

    cdef Py_ssize_t _line(self, Py_ssize_t position) except -2:
        """The offset of the next \\r\\n at or after position; -1 when it has not come yet."""
        cdef const char* start = self._buffer.data + position
        cdef const char* found
        cdef Py_ssize_t left = self._buffer.size - position
        while left > 1:
            found = <const char*>memchr(start, c"\r", left - 1)
            if found == NULL:
                return -1
            if found[1] == c"\n":
                return found - self._buffer.data
            left -= found + 1 - start
            start = found + 1
        return -1

    cdef long long _number(self, Py_ssize_t start, Py_ssize_t end) except? -1:
        """The decimal number in data[start:end]."""
        cdef bytes text = self._buffer.data[start:end]
        if not text or len(text) > 20 or not text.lstrip(b"-").isdigit():
            raise ValueError(f"protocol error: {text[:40]!r} is not a number")
        return int(text)

    cdef object _parse(self, Py_ssize_t* position, int depth):
        cdef Py_ssize_t start = position[0]
        cdef Py_ssize_t end
        cdef long long number
        cdef char kind
        cdef list items
        if start >= self._buffer.size:
            return NOT_READY
        end = self._line(start)
        if end < 0:
            return NOT_READY
        kind = self._buffer.data[start]
        position[0] = end + 2
        if kind == c"$":
            number = self._number(start + 1, end)
            if number < 0:
                return None
            # Bound: start + number + 2 is compared with the size before any byte is touched.
            if self._buffer.size - position[0] < number + 2:
                return NOT_READY
            start = position[0]
            position[0] = start + number + 2
            if self._buffer.data[start + number] != c"\r":
                raise ValueError("protocol error: a bulk string does not end where it should")
            return PyBytes_FromStringAndSize(self._buffer.data + start, number)
        if kind == c":":
            return self._number(start + 1, end)
        if kind == c"*":
            number = self._number(start + 1, end)
            if number < 0:
                return None
            if depth == MAX_REPLY_DEPTH:
                raise ValueError("protocol error: a reply is nested too deep")
            items = []
            while number > 0:
                item = self._parse(position, depth + 1)
                if item is NOT_READY:
                    return NOT_READY
                items.append(item)
                number -= 1
            return items
        if kind == c"+":
            return self._buffer.data[start + 1:end]
        if kind == c"-":
            return ReplyError((<bytes>self._buffer.data[start + 1:end]).decode("utf-8", "replace"))
        raise ValueError(f"protocol error: a reply begins with {chr(<unsigned char>kind)!r}")
