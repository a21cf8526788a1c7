# The chunk: 1 to 1000 jobs in one immutable, checksummed, usually compressed record. This file has the layout and reads
# it; `chunk_writer.pxi` writes it. Little-endian.
#
#   offset size  field
#   0      2     magic "FJ"
#   2      1     format version, 1
#   3      1     flags: 1 = body is zstd, 2 = has a type column; others must be 0
#   4      4     CRC-32 of every byte after this field, as stored
#   8      2     number of jobs
#   10     6     when it was made, ms since 1970 by the producer's clock
#   16     4     size of the body, uncompressed; scripts read it as well, to bound leases
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
    CRC_START = 8
    MAX_CHUNK_JOBS = 1000
    MAX_TYPE_ENTRIES = 255
    MAX_TYPE_NAME = 255
    MAX_OPTIONS = 65535
    #: No writer makes a larger body: it holds up to 1000 payloads of a few KiB, or a few larger ones.
    MAX_BODY_SIZE = 80 << 20
    #: Payloads of this size and a full type table still fit into a body that can be read back.
    MAX_PAYLOADS_SIZE = 56 << 20


@cython.final
cdef class Chunk:
    """A decoded chunk. Decoding checks all of it, so reading its parts needs no further checks.

    Attributes:
        n: number of jobs.
        created_at_ms: when it was made, in milliseconds since 1970.
        types: (name, options) of each entry of its type table.
        size: bytes of its body, uncompressed: the memory that it takes.
    """

    cdef readonly int n
    cdef readonly int64_t created_at_ms
    cdef readonly list types
    cdef readonly Py_ssize_t size
    #: Owns the memory that the pointers below point into.
    cdef bytes _body
    cdef const char* _payloads
    cdef const uint8_t* _type_column
    #: Whether an argument may be a `Secret`.
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
        chunk.size = raw_size
        chunk._body = _unpack_body(blob, flags, raw_size)
        chunk._read_body(flags)
        return chunk

    cdef int _read_body(self, int flags) except -1:
        """Finds the parts of the body; compares every offset with the size before using it."""
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
            raise CorruptChunk("it has several types but no type column")
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
        """Turns the sizes of the payloads into offsets; they must add up to exactly the end."""
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
        # Not `first + count > n`, because that could overflow.
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

    cdef inline Py_ssize_t _size_of(self, Py_ssize_t first, Py_ssize_t count) noexcept:
        """Bytes of the payloads of jobs side by side, which have to be in the chunk."""
        return <Py_ssize_t>self._starts[first + count] - 1 - self._starts[first]

    cdef inline bytes _bracketed(self, Py_ssize_t first, Py_ssize_t count):
        cdef Py_ssize_t size = self._size_of(first, count)
        cdef bytes array = PyBytes_FromStringAndSize(NULL, size + 2)
        cdef char* out = PyBytes_AS_STRING(array)
        out[0] = c"["
        memcpy(out + 1, self._payloads + self._starts[first], size)
        out[size + 1] = c"]"
        return array


#: One decompressor per thread: it releases the GIL while it works, and making one costs as much as a small chunk.
_decompressors = local()


cdef object _decompressor():
    found = getattr(_decompressors, "zstd", None)
    if found is None:
        found = _decompressors.zstd = zstandard.ZstdDecompressor()
    return found


cdef bytes _unpack_body(bytes blob, int flags, Py_ssize_t raw_size):
    """Returns the body as it was before compression."""
    body = blob[HEADER_SIZE:]
    if flags & FLAG_ZSTD:
        try:
            # The frame starts with its own size; one that claims another size than the header is refused unread.
            if zstandard.frame_content_size(body) != raw_size:
                raise CorruptChunk("its compressed body has another size than its header says")
            body = _decompressor().decompress(body)
        except zstandard.ZstdError as error:
            raise CorruptChunk(f"its body cannot be decompressed: {error}") from None
    if len(body) != raw_size:
        raise CorruptChunk("its body has another size than its header says")
    return body
