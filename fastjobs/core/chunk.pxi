# The chunk: 1 to 1000 jobs in one immutable, checksummed, usually compressed record. Little-endian.
#
#   offset size  field
#   0      2     magic "FJ"
#   2      1     format version, 1
#   3      1     flags: 1 = body is zstd, 2 = has a type column; others must be 0
#   4      4     CRC-32 of every byte after this field, as stored
#   8      2     number of jobs
#   10     6     when it was made, ms since 1970 by the producer's clock
#   16     4     size of the body, uncompressed
#   20     ..    body
#
#   body: u8 number of type entries, each: u8 size and name, u16 size and options (JSON);
#         with a type column: u8 entry per job;
#         with more than one job: u32 payload size per job;
#         payloads, separated by a comma: any run of jobs is a JSON array once bracketed.

cdef enum:
    FORMAT_VERSION = 1
    FLAG_ZSTD = 1
    FLAG_TYPE_COLUMN = 2
    HEADER_SIZE = 20
    CRC_OFFSET = 4
    CRC_START = 8
    MAX_CHUNK_JOBS = 1000
    MAX_TYPE_ENTRIES = 255
    MAX_TYPE_NAME = 255
    MAX_OPTIONS = 65535
    #: A larger body is not one of ours: at most 1000 payloads of a few KiB, or a few larger ones.
    MAX_BODY_SIZE = 80 << 20
    #: Payloads of this size and a full type table are still a body that can be read back.
    MAX_PAYLOADS_SIZE = 56 << 20


@cython.final
cdef class ChunkWriter:
    """Collects jobs and packs them into chunks; its buffers are reused from chunk to chunk.

    Not for use by several threads at once.

    Args:
        max_payload_bytes: limit of one job's encoded arguments.
        compress_min: bodies smaller than this, in bytes, are stored as they are.
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
        """Bytes of payload collected."""
        return self._payloads.size

    def clear(self):
        """Forgets what was collected."""
        self._payloads.size = self._lengths.size = self._type_column.size = 0
        self._entries.clear()
        self.count = 0

    def entry(self, str name not None, bytes options=b""):
        """Returns the index of a type in this chunk's table, adding it if it is new; -1 when the table is full.

        Raises:
            ValueError: the name is not ASCII or longer than 255 characters, or the options than 65535 bytes.
        """
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
            PayloadError: the arguments cannot be stored; the writer is as before.
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

        A tuple gives positional arguments, a dict keyword arguments, anything else is the one argument.

        Args:
            entry: index of their type, from `entry`.
            items: iterator over the jobs' arguments.
            max_jobs: number of jobs that make a chunk full.
            max_bytes: bytes of payload that make a chunk full.

        Returns:
            True when the iterator has ended.

        Raises:
            PayloadError: an item cannot be stored; those before it are in the chunk.
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
        """Checks what is the same for many jobs, and makes room in the columns for as many as may come."""
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
        # An escaped string reserves six times its size, so a payload that is not too large keeps below this.
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
        """Packs what was collected into a chunk and begins a new one.

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
        self.clear()
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


@cython.final
cdef class Chunk:
    """A chunk that was read: checked whole, so that reading its parts needs no further checks.

    Attributes:
        n: number of jobs.
        created_at_ms: when it was made, in milliseconds since 1970.
        types: (name, options) of each entry of its type table.
    """

    cdef readonly int n
    cdef readonly int64_t created_at_ms
    cdef readonly list types
    #: Keeps the memory that the pointers below point into.
    cdef bytes _body
    cdef const char* _payloads
    cdef const uint8_t* _type_column
    #: Whether some of its arguments may be a `Secret`.
    cdef bint _has_secrets
    #: Where each payload starts; payload i ends one comma before _starts[i + 1].
    cdef uint32_t* _starts

    def __dealloc__(self):
        free(self._starts)

    @staticmethod
    def decode(bytes blob not None):
        """Reads a packed chunk.

        Raises:
            CorruptChunk: it is damaged.
            NewerFormat: a newer release wrote it.
        """
        cdef Chunk chunk = Chunk.__new__(Chunk)
        if len(blob) < HEADER_SIZE:
            raise CorruptChunk(f"it has {len(blob)} bytes, less than a header")
        magic, version, flags, checksum, n, low, high, raw_size = struct.unpack_from("<2sBBIHHII", blob)
        if magic != b"FJ":
            raise CorruptChunk("it does not begin like a chunk")
        if version > FORMAT_VERSION or flags & ~(FLAG_ZSTD | FLAG_TYPE_COLUMN):
            raise NewerFormat(f"format {version} with flags {flags:#x}, this release knows format {FORMAT_VERSION}")
        if version < 1 or zlib.crc32(memoryview(blob)[CRC_START:]) != checksum:
            raise CorruptChunk("its checksum does not match")
        if not 1 <= n <= MAX_CHUNK_JOBS or raw_size > MAX_BODY_SIZE:
            raise CorruptChunk(f"it claims {n} jobs in {raw_size} bytes")
        chunk.n = n
        chunk.created_at_ms = low | high << 16
        chunk._body = _unpack_body(blob, flags, raw_size)
        chunk._read_body(flags)
        return chunk

    cdef int _read_body(self, int flags) except -1:
        """Finds the parts of the body; every offset is compared with the size before it is used."""
        cdef const uint8_t* data = <const uint8_t*>PyBytes_AS_STRING(self._body)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(self._body)
        cdef Py_ssize_t offset = self._read_types(data, size)
        cdef Py_ssize_t columns = (self.n if flags & FLAG_TYPE_COLUMN else 0) + (4 * self.n if self.n > 1 else 0)
        cdef int index
        if size - offset < columns:
            raise CorruptChunk("its columns are cut off")
        if flags & FLAG_TYPE_COLUMN:
            self._type_column = data + offset
            offset += self.n
            for index in range(self.n):
                if self._type_column[index] >= len(self.types):
                    raise CorruptChunk(f"job {index} has a type that is not in the table")
        elif len(self.types) != 1:
            raise CorruptChunk("it has several types and no column that tells which")
        return self._read_lengths(data, size, offset)

    cdef Py_ssize_t _read_types(self, const uint8_t* data, Py_ssize_t size) except -1:
        """Reads the type table; returns where it ends."""
        cdef Py_ssize_t offset = 1
        cdef Py_ssize_t name_end, options_end
        self.types = []
        if size < 1 or data[0] == 0:
            raise CorruptChunk("it has no types")
        for _ in range(data[0]):
            if offset >= size or offset + 1 + data[offset] + 2 > size:
                raise CorruptChunk("its type table is cut off")
            name_end = offset + 1 + data[offset]
            options_end = name_end + 2 + (data[name_end] | data[name_end + 1] << 8)
            if options_end > size:
                raise CorruptChunk("its type table is cut off")
            try:
                name = (<bytes>self._body[offset + 1:name_end]).decode("ascii")
            except UnicodeDecodeError:
                raise CorruptChunk("a type's name is not ASCII") from None
            self.types.append((name, self._body[name_end + 2:options_end]))
            offset = options_end
        return offset

    cdef int _read_lengths(self, const uint8_t* data, Py_ssize_t size, Py_ssize_t offset) except -1:
        """Turns the sizes of the payloads into offsets, which must add up to the end exactly."""
        cdef Py_ssize_t start = 0, total
        cdef uint32_t length
        cdef int index
        self._starts = <uint32_t*>malloc((self.n + 1) * sizeof(uint32_t))
        if self._starts == NULL:
            raise MemoryError()
        total = size - offset - (4 * self.n if self.n > 1 else 0)
        self._payloads = <const char*>data + size - total
        for index in range(self.n):
            length = <uint32_t>total
            if self.n > 1:
                memcpy(&length, data + offset + 4 * index, 4)
            self._starts[index] = <uint32_t>start
            start += <Py_ssize_t>length + 1
            if start > total + 1 or length < 2:
                raise CorruptChunk("its payloads are cut off")
            if index + 1 < self.n and (start > total or self._payloads[start - 1] != c","):
                raise CorruptChunk("its payloads are not where they should be")
        self._starts[self.n] = <uint32_t>start
        if start != total + 1:
            raise CorruptChunk("it has bytes that belong to no job")
        self._has_secrets = (
            memchr(self._payloads, c"$", <size_t>total) != NULL and b'"$secret":' in self._body[size - total :]
        )
        return 0

    cdef inline int _check(self, Py_ssize_t first, Py_ssize_t count) except -1:
        # Not first + count > n, which could overflow.
        if first < 0 or count < 1 or count > self.n - first:
            raise IndexError(f"{count} jobs from {first} on, of a chunk of {self.n}")
        return 0

    def type_index(self, Py_ssize_t index):
        """Returns which entry of `types` a job is of."""
        self._check(index, 1)
        return 0 if self._type_column == NULL else self._type_column[index]

    def payload(self, Py_ssize_t index):
        """Returns the JSON of one job's arguments, `[*args, kwargs]`."""
        self._check(index, 1)
        return self._payloads[self._starts[index]:self._starts[index + 1] - 1]

    def payloads(self, Py_ssize_t first, Py_ssize_t count):
        """Returns the arguments of jobs side by side as one JSON array."""
        self._check(first, count)
        return self._bracketed(first, count)

    cdef inline bytes _bracketed(self, Py_ssize_t first, Py_ssize_t count):
        cdef Py_ssize_t size = self._starts[first + count] - 1 - self._starts[first]
        cdef bytes array = PyBytes_FromStringAndSize(NULL, size + 2)
        cdef char* out = PyBytes_AS_STRING(array)
        out[0] = c"["
        memcpy(out + 1, self._payloads + self._starts[first], size)
        out[size + 1] = c"]"
        return array


#: One per thread: decompressing lets other threads in, and making one costs as much as a small chunk.
_decompressors = local()


cdef object _decompressor():
    found = getattr(_decompressors, "zstd", None)
    if found is None:
        found = _decompressors.zstd = zstandard.ZstdDecompressor()
    return found


cdef bytes _unpack_body(bytes blob, int flags, Py_ssize_t raw_size):
    """The body as it was before compression."""
    body = blob[HEADER_SIZE:]
    if flags & FLAG_ZSTD:
        try:
            # The frame tells its own size first; a frame that claims more than the header is refused unread.
            if zstandard.frame_content_size(body) != raw_size:
                raise CorruptChunk("its compressed body has another size than it claims")
            body = _decompressor().decompress(body)
        except zstandard.ZstdError as error:
            raise CorruptChunk(f"its body cannot be decompressed: {error}") from None
    if len(body) != raw_size:
        raise CorruptChunk("its body has another size than it claims")
    return body
