# One growing byte buffer: everything the core writes goes through it.

cdef enum:
    FIRST_CAPACITY = 1024


cdef class _Overfull(Exception):
    """More was written to a buffer than its limit allows."""


@cython.final
cdef class Buffer:
    """Bytes that grow at the end. Owns its memory; `reserve` first, then `put` what was reserved."""

    cdef char* data
    cdef Py_ssize_t size
    cdef Py_ssize_t capacity
    #: Not to grow beyond; 0 = no limit. A few shared objects can stand for terabytes of JSON.
    cdef Py_ssize_t limit

    def __dealloc__(self):
        free(self.data)

    cdef inline int reserve(self, Py_ssize_t number) except -1:
        """Makes room for `number` more bytes."""
        if self.size + number <= self.capacity:
            return 0
        return self._grow(number)

    cdef int _grow(self, Py_ssize_t number) except -1:
        if self.limit and self.size + number > self.limit:
            raise _Overfull()
        cdef Py_ssize_t capacity = max(2 * self.capacity, self.size + number, <Py_ssize_t>FIRST_CAPACITY)
        cdef char* data = <char*>realloc(self.data, capacity)
        if data == NULL:
            raise MemoryError()
        self.data = data
        self.capacity = capacity
        return 0

    cdef inline void put(self, const char* source, Py_ssize_t number) noexcept:
        """Appends bytes; room for them was reserved."""
        memcpy(self.data + self.size, source, number)
        self.size += number

    cdef inline void put_byte(self, char value) noexcept:
        """Appends one byte; room for it was reserved."""
        self.data[self.size] = value
        self.size += 1

    cdef inline int append(self, const char* source, Py_ssize_t number) except -1:
        """Reserves room for bytes and appends them."""
        self.reserve(number)
        self.put(source, number)
        return 0

    cdef inline void put_uint(self, uint64_t value, int width) noexcept:
        """Appends a little-endian unsigned integer of `width` bytes; room for them was reserved."""
        cdef int position
        for position in range(width):
            self.data[self.size + position] = <char>((value >> (8 * position)) & 0xFF)
        self.size += width

    cdef inline int append_uint(self, uint64_t value, int width) except -1:
        """Reserves room for an unsigned integer and appends it."""
        self.reserve(width)
        self.put_uint(value, width)
        return 0

    cdef bytes tobytes(self):
        return PyBytes_FromStringAndSize(self.data, self.size)
