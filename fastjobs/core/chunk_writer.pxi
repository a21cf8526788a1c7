# Collects jobs and packs them into chunks; `chunk.pxi` has the layout and reads it back.


@cython.final
cdef class ChunkWriter:
    """Collects jobs and packs them into chunks; reuses its buffers from chunk to chunk. Not thread-safe.

    Args:
        max_payload_bytes: limit of one job's encoded arguments.
        compress_min: bodies smaller than this, in bytes, are stored uncompressed.
        level: zstd level.
    """

    cdef Buffer _payloads
    cdef Buffer _lengths
    cdef Buffer _type_column
    cdef Buffer _body
    cdef dict _entries
    cdef readonly Py_ssize_t count
    cdef Py_ssize_t _max_payload
    cdef Py_ssize_t _compress_min
    cdef object _compressor

    def __cinit__(self, Py_ssize_t max_payload_bytes=1 << 20, Py_ssize_t compress_min=1024, int level=1):
        self._payloads = Buffer()
        self._lengths = Buffer()
        self._type_column = Buffer()
        self._body = Buffer()
        self._entries = {}
        if not 2 <= max_payload_bytes <= MAX_PAYLOADS_SIZE:
            raise ValueError(f"max_payload_bytes must be 2 to {MAX_PAYLOADS_SIZE}")
        self._max_payload = max_payload_bytes
        self._compress_min = compress_min
        self._compressor = zstandard.ZstdCompressor(level=level, write_content_size=True)

    @property
    def size(self):
        """Bytes of payload collected so far."""
        return self._payloads.size

    def clear(self):
        """Drops everything collected so far."""
        self._payloads.size = self._lengths.size = self._type_column.size = 0
        self._entries.clear()
        self.count = 0

    def entry(self, str name not None, bytes options=b""):
        """Returns the index of a type in this chunk's table, adding a new one; -1 when the table or the chunk is full.

        Raises:
            ValueError: the name is not ASCII or longer than 255 characters, or the options than 65535 bytes.
        """
        if self.count == MAX_CHUNK_JOBS:
            return -1
        key = (name, options)
        index = self._entries.get(key)
        if index is None:
            if not name.isascii() or len(name) > MAX_TYPE_NAME or options is None or len(options) > MAX_OPTIONS:
                raise ValueError("a type has up to 255 ASCII characters and 65535 bytes of options")
            if len(self._entries) == MAX_TYPE_ENTRIES:
                return -1
            index = self._entries[key] = len(self._entries)
        return index

    def add(self, int entry, args, keywords=None):
        """Adds one job.

        Args:
            entry: index of its type, from `entry`.
            args: positional arguments, a tuple or list.
            keywords: keyword arguments, a dict with str keys, or None.

        Raises:
            PayloadError: the arguments cannot be stored; the writer is unchanged.
            ValueError: the chunk is full, or has no such entry.
        """
        if type(args) is not tuple and type(args) is not list:
            raise TypeError("args must be a tuple or a list")
        if keywords is not None and type(keywords) is not dict:
            raise TypeError("keywords must be a dict")
        self._prepare(entry)
        self._add(entry, args, PySequence_Fast_ITEMS(args), PySequence_Fast_GET_SIZE(args), keywords)

    def fill(self, int entry, items, Py_ssize_t max_jobs, Py_ssize_t max_bytes):
        """Adds jobs of one type from an iterator until the chunk is full.

        A tuple holds positional arguments and a dict keyword arguments; anything else is the only argument.

        Args:
            entry: index of their type, from `entry`.
            items: iterator over the jobs' arguments.
            max_jobs: number of jobs that make a chunk full.
            max_bytes: bytes of payload that make a chunk full.

        Returns:
            True when the iterator has ended.

        Raises:
            PayloadError: an item cannot be stored; the items before it are in the chunk.
        """
        cdef PyObject* one
        self._prepare(entry)
        while self.count < max_jobs and self._payloads.size < max_bytes:
            try:
                item = next(items)
            except StopIteration:
                return True
            if type(item) is tuple:
                self._add(entry, item, PySequence_Fast_ITEMS(item), PyTuple_GET_SIZE(item), None)
            elif type(item) is dict:
                self._add(entry, (), NULL, 0, item)
            else:
                one = <PyObject*>item
                self._add(entry, (item,), &one, 1, None)
        return False

    cdef int _prepare(self, int entry) except -1:
        """Checks the entry once for many jobs, and makes room in the columns for all jobs that may follow."""
        if not 0 <= entry < PyDict_Size(self._entries):
            raise ValueError(f"type entry {entry} is not in the chunk's table")
        self._lengths.reserve(4 * (MAX_CHUNK_JOBS - self.count))
        self._type_column.reserve(MAX_CHUNK_JOBS - self.count)
        return 0

    cdef int _add(self, int entry, object args, PyObject** items, Py_ssize_t number, object keywords) except -1:
        cdef Buffer buffer = self._payloads
        cdef Py_ssize_t start = buffer.size
        cdef Py_ssize_t first
        if self.count == MAX_CHUNK_JOBS:
            raise ValueError(f"a chunk holds at most {MAX_CHUNK_JOBS} jobs")
        # An escaped string reserves six times its size, so every allowed payload stays below this limit.
        buffer.limit = start + 8 * self._max_payload + 64
        try:
            if start:
                buffer.reserve(1)
                buffer.put_byte(c",")
            first = buffer.size
            _write_arguments(buffer, items, number, keywords)
            if buffer.size - first > self._max_payload:
                raise _Overfull()
            if buffer.size > MAX_PAYLOADS_SIZE:
                raise ValueError(f"a chunk holds at most {MAX_PAYLOADS_SIZE} bytes of payload")
        except _Overfull:
            buffer.size = start
            raise PayloadTooLarge(f"the arguments take more than the {self._max_payload} bytes allowed") from None
        except _Refused:
            buffer.size = start
            raise explain(args, keywords) or InternalError("arguments were refused for no reason") from None
        except BaseException:
            buffer.size = start
            raise
        self._lengths.put_uint(buffer.size - first, 4)
        self._type_column.put_uint(entry, 1)
        self.count += 1
        return 0

    def finish(self, int64_t created_at_ms):
        """Packs the collected jobs into a chunk and begins a new one; arguments and errors as for `pack`."""
        packed = self.pack(created_at_ms)
        self.clear()
        return packed

    def pack(self, int64_t created_at_ms):
        """Packs the collected jobs into a chunk, and keeps them.

        Args:
            created_at_ms: milliseconds since 1970.

        Returns:
            The packed chunk.

        Raises:
            ValueError: nothing was added, or the time does not fit its field.
        """
        cdef int flags = FLAG_TYPE_COLUMN if len(self._entries) > 1 else 0
        if self.count == 0:
            raise ValueError("a chunk needs at least one job")
        if not 0 <= created_at_ms < <int64_t>1 << 48:
            raise ValueError(f"{created_at_ms} ms is not a time since 1970")
        self._write_body(flags)
        body = self._body.tobytes()
        raw_size = len(body)
        if raw_size >= self._compress_min:
            packed = self._compressor.compress(body)
            if len(packed) < raw_size:
                body, flags = packed, flags | FLAG_ZSTD
        rest = struct.pack("<HHII", self.count, created_at_ms & 0xFFFF, created_at_ms >> 16, raw_size)
        checksum = zlib.crc32(body, zlib.crc32(rest))
        return b"".join((struct.pack("<2sBBI", b"FJ", FORMAT_VERSION, flags, checksum), rest, body))

    cdef int _write_body(self, int flags) except -1:
        cdef Buffer body = self._body
        body.size = 0
        body.append_uint(len(self._entries), 1)
        for name, options in self._entries:
            packed = name.encode("ascii")
            body.append_uint(len(packed), 1)
            body.append(packed, len(packed))
            body.append_uint(len(options), 2)
            body.append(options, len(options))
        if flags & FLAG_TYPE_COLUMN:
            body.append(self._type_column.data, self._type_column.size)
        if self.count > 1:
            body.append(self._lengths.data, self._lengths.size)
        return body.append(self._payloads.data, self._payloads.size)
