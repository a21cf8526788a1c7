# RESP2, the server's wire protocol: packing calls into one growing buffer, reading replies from bytes.

cdef enum:
    #: Longest line with a number ("$1048576\r\n", ":-9223372036854775808\r\n").
    NUMBER_WIDTH = 24
    #: Longest status or error, in bytes: scripts' errors carry their text.
    MAX_LINE = 1 << 20
    #: Most bytes in a text or items in an array; a larger reply does not come from our scripts.
    MAX_REPLY_SIZE = 1 << 30
    #: Replies of our scripts nest three deep; a much deeper one does not come from them.
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
            TypeError: an argument of another type; the buffer is unchanged.
        """
        self.extend(head, args)

    def extend(self, tuple head not None, args):
        """Like `call`, with the further arguments in one tuple or list."""
        cdef Py_ssize_t start = self._buffer.size
        cdef bytes packed
        if PyTuple_GET_SIZE(head) != 2 or type(head[0]) is not bytes:
            raise TypeError("use pack_head to make a head")
        packed = head[0]
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
        """Returns the bytes of one command, to send it again.

        Raises:
            IndexError: there is no such command.
        """
        cdef Py_ssize_t start
        if not 0 <= index < PyList_GET_SIZE(self._ends):
            raise IndexError(f"command {index} of {len(self._ends)}")
        start = self._ends[index - 1] if index > 0 else 0
        return self._buffer.data[start:<Py_ssize_t>self._ends[index]]

    def tobytes(self):
        """Returns all commands."""
        return self._buffer.tobytes()

    def clear(self):
        """Drops all commands and keeps the memory."""
        self._buffer.size = 0
        self._ends.clear()


cdef class _NotReady:
    def __repr__(self):
        return "NOT_READY"


#: `ReplyReader.get` returns this while a reply is not complete.
NOT_READY = _NotReady()


@cython.final
cdef class ReplyError:
    """An error reply. A value, not an exception, because other commands of the batch may have succeeded."""

    cdef readonly str message

    def __init__(self, str message not None):
        self.message = message

    def __repr__(self):
        return f"ReplyError({self.message!r})"


@cython.final
cdef class ReplyReader:
    """Turns bytes from the server, fed in any portions, into replies.

    Bulk strings become bytes, integers int, arrays list, nil None, errors `ReplyError`. A reply that comes in many
    portions is read once: complete parts are taken at once, and incomplete arrays wait in a stack.
    """

    cdef Buffer _buffer
    cdef Py_ssize_t _position
    #: Arrays that have begun, outermost first, and the number of items each still lacks.
    cdef list _open
    cdef int64_t _lacking[MAX_REPLY_DEPTH]

    def __cinit__(self):
        self._buffer = Buffer()
        self._position = 0
        self._open = []

    def feed(self, const unsigned char[::1] data not None):
        """Appends bytes as they came from the socket."""
        cdef Buffer buffer = self._buffer
        cdef Py_ssize_t size = data.shape[0]
        cdef Py_ssize_t rest = buffer.size - self._position
        # Removes the bytes already read once they are at least as many as the bytes that must move: linear in all.
        if self._position and rest <= self._position:
            memcpy(buffer.data, buffer.data + self._position, rest)
            buffer.size = rest
            self._position = 0
        if size:
            buffer.append(<const char*>&data[0], size)

    def get(self):
        """Returns the next complete reply, or NOT_READY.

        Raises:
            ValueError: the bytes are not RESP; the connection cannot be used any more.
        """
        cdef Py_ssize_t depth
        while True:
            reply = self._next()
            if reply is NOT_READY:
                return reply
            depth = PyList_GET_SIZE(self._open)
            # A new array has put itself on the stack; anything else is an item of the innermost one.
            while depth and reply is not self._open[depth - 1]:
                (<list>self._open[depth - 1]).append(reply)
                self._lacking[depth - 1] -= 1
                if self._lacking[depth - 1]:
                    break
                reply = self._open.pop()
                depth -= 1
            if depth == 0:
                return reply

    cdef object _next(self):
        """The next text, number, error or nil; for an array with items its list, still empty and on the stack."""
        cdef char* data = self._buffer.data
        cdef Py_ssize_t start = self._position
        cdef Py_ssize_t end, body
        cdef int64_t number
        cdef char kind
        if start >= self._buffer.size:
            return NOT_READY
        kind = data[start]
        if kind == c"+" or kind == c"-":
            end = self._line(start, MAX_LINE)
            if end < 0:
                return NOT_READY
            self._position = end + 2
            if kind == c"+":
                return data[start + 1:end]
            return ReplyError((<bytes>data[start + 1:end]).decode("utf-8", "replace"))
        if kind != c"$" and kind != c":" and kind != c"*":
            raise ValueError(f"protocol error: a reply begins with {chr(<unsigned char>kind)!r}")
        end = self._line(start, NUMBER_WIDTH)
        if end < 0:
            return NOT_READY
        number = self._number(start + 1, end)
        body = end + 2
        if kind == c":":
            self._position = body
            return number
        if number < -1 or number > MAX_REPLY_SIZE:
            raise ValueError(f"protocol error: a reply claims a size of {number}")
        if number == -1:
            self._position = body
            return None
        if kind == c"*":
            return self._begin(number, body)
        # Bound: number is small enough for this sum, which is compared before any byte is read.
        if self._buffer.size - body < number + 2:
            return NOT_READY
        if data[body + number] != c"\r" or data[body + number + 1] != c"\n":
            raise ValueError("protocol error: a bulk string does not end where it should")
        self._position = body + number + 2
        return PyBytes_FromStringAndSize(data + body, number)

    cdef list _begin(self, int64_t number, Py_ssize_t body):
        """Begins an array; one with items goes on the stack."""
        cdef Py_ssize_t depth = PyList_GET_SIZE(self._open)
        cdef list items = []
        if depth == MAX_REPLY_DEPTH:
            raise ValueError("protocol error: a reply is nested too deep")
        self._position = body
        if number:
            self._open.append(items)
            self._lacking[depth] = number
        return items

    cdef Py_ssize_t _line(self, Py_ssize_t start, Py_ssize_t limit) except -2:
        """The offset of the \\r\\n that ends the line; -1 when it has not come yet."""
        cdef const char* data = self._buffer.data
        cdef Py_ssize_t left = min(self._buffer.size - start, limit)
        cdef const char* found = <const char*>memchr(data + start, c"\n", left)
        if found == NULL:
            if left == limit:
                raise ValueError("protocol error: a line does not end")
            return -1
        # At least the kind comes before it, so the byte before it is of this line.
        if (found - 1)[0] != c"\r":
            raise ValueError("protocol error: a line ends without a carriage return")
        return found - data - 1

    cdef int64_t _number(self, Py_ssize_t start, Py_ssize_t end) except? -1:
        """The decimal number in data[start:end]."""
        cdef const char* data = self._buffer.data
        cdef bint negative = data[start] == c"-"
        cdef Py_ssize_t position
        cdef uint64_t value = 0
        # Any 19 digits fit 64 bits without a sign.
        cdef bint good = 0 < end - start - negative < 20
        if good:
            for position in range(start + negative, end):
                good = good and c"0" <= data[position] <= c"9"
                value = 10 * value + <uint64_t>(data[position] - c"0")
        if not good or value > <uint64_t>0x7FFFFFFFFFFFFFFF + negative:
            raise ValueError(f"protocol error: {self._buffer.data[start:end]!r} is not a number of 64 bits")
        return <int64_t>(0 - value) if negative else <int64_t>value
