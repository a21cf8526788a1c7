# Leased jobs: the jobs of one span, with what is needed to run them. Decodes their arguments, some jobs at a time.

cdef enum:
    #: Payloads decoded at a time: one JSON parse for a run of small jobs costs a third less than one each.
    WINDOW = 32
    #: Bytes of payload decoded at a time, unless one job has more: as Python objects they take many times as much.
    WINDOW_BYTES = 256 << 10

cdef extern from "Python.h":
    PyObject* tuple_item "PyTuple_GET_ITEM"(object, Py_ssize_t)

cdef struct Limits:
    #: How long a job may run; 0 = without limit.
    int64_t timeout_ns
    #: When it is too late to start it, by the boot clock; 0 = never.
    int64_t expires_ns


@cython.final
cdef class LeasedJobs:
    """Jobs of one span that this process leased. Lists have one item for each entry of the chunk's type table.

    Args:
        chunk: the decoded chunk, or None for a detached job, whose lists have one item.
        handlers: the functions to call; None where the type is unknown.
        slot: the lease's slot on the board.
        column: the span's first column in the slot.
        first: index of the first job in its chunk.
        count: number of jobs.
        arguments: for a detached job its decoded payload, `[*args, kwargs]`.
        owner: any object; found again as `owner` when a job of this span ends.
        limits: (timeout in ns or 0, boot clock in ns at which it expires or 0); None = no limits.
        before: called as before(jobs, index) before a job is started, or None; must not raise. None = none is called.
        after: called as after(jobs, index, ending, outcome, started_ns, ended_ns) after a job that was started, or
            None; must not raise. The outcome is what `on_ending` returned, None when the job finished. None = none
            is called.
    """

    cdef readonly Chunk chunk
    cdef readonly list handlers
    cdef readonly int slot
    cdef readonly int column
    cdef readonly int first
    cdef readonly int count
    cdef readonly object owner
    #: Position of the next job to start; incremented under the GIL.
    cdef int _next
    cdef list _window
    cdef int _window_start
    #: The keywords of the last job as they were decoded, and the same interned; how often they have changed.
    cdef tuple _keys
    cdef tuple _names
    cdef int _keyword_changes
    #: By entry of the type table; NULL without limits.
    cdef Limits* _limits
    cdef list _given_limits
    cdef list _before
    cdef list _after
    #: Whether any type has hooks; whether running the jobs takes more than calling the handler: limits, or hooks.
    cdef bint _hooked
    cdef bint _watched

    def __cinit__(
        self, Chunk chunk, list handlers not None, int slot, int column, int first, int count,
        list arguments, object owner, list limits=None, list before=None, list after=None,
    ):
        # Running the jobs checks nothing of this again.
        if chunk is None and (arguments is None or first < 0 or count != 1 or len(handlers) != 1):
            raise ValueError("a detached job has a handler and arguments")
        if chunk is not None and len(handlers) != len(chunk.types):
            raise ValueError(f"{len(handlers)} handlers for {len(chunk.types)} types")
        if _misfit(limits, handlers) or _misfit(before, handlers) or _misfit(after, handlers):
            raise InternalError(f"limits or hooks that do not fit {len(handlers)} handlers")
        if chunk is not None:
            chunk._check(first, count)
        self.chunk = chunk
        self.handlers = handlers
        self.slot = slot
        self.column = column
        self.first = first
        self.count = count
        self.owner = owner
        # A copy: changes that a handler makes to its arguments must not end up in the job's record.
        self._window = None if arguments is None else [with_secrets(json_loads(json_dumps(arguments)))]
        self._given_limits = limits
        if limits is not None:
            self._limit(limits)
        self._before = before
        self._after = after
        self._hooked = before is not None or after is not None
        self._watched = limits is not None or self._hooked

    def __dealloc__(self):
        free(self._limits)

    cdef int _limit(self, list limits) except -1:
        cdef Py_ssize_t entry
        self._limits = <Limits*>malloc(len(limits) * sizeof(Limits))
        if self._limits == NULL:
            raise MemoryError()
        for entry in range(len(limits)):
            self._limits[entry].timeout_ns, self._limits[entry].expires_ns = limits[entry]
        return 0

    cdef int64_t shortest_timeout_ns(self):
        """The shortest timeout of its types; 0 when none has one."""
        cdef Py_ssize_t entry
        cdef int64_t shortest = 0
        if self._limits != NULL:
            for entry in range(PyList_GET_SIZE(self.handlers)):
                shortest = shorter(shortest, self._limits[entry].timeout_ns)
        return shortest

    cdef inline Py_ssize_t entry(self, int position) noexcept:
        """The entry of the type table that a job has; positions are below `count`, so inside the column."""
        if self.chunk is not None and self.chunk._type_column != NULL:
            return self.chunk._type_column[self.first + position]
        return 0

    cdef list arguments(self, int position):
        """The decoded `[*args, kwargs]` of the job at a position; decodes some of its neighbours as well.

        Call it once per position: the arguments leave the window, and so are freed when their job ends.
        """
        cdef list window = self._window
        cdef list previous = window
        cdef int start = self._window_start
        if window is None or not (start <= position < start + PyList_GET_SIZE(window)):
            # A collection during the parse can let another thread in: the new window is complete before
            # other threads see it, and `previous` keeps the old one until both fields are set.
            window = self._decode(position)
            start = position
            self._window = window
            self._window_start = start
        arguments = window[position - start]
        window[position - start] = None
        if type(arguments) is not list or not arguments or type(arguments[len(arguments) - 1]) is not dict:
            raise CorruptChunk("the arguments of a job are not a list that ends with a dict")
        return <list>arguments

    cdef list _decode(self, int position):
        """The next window; of the one job alone when its neighbours cannot be read."""
        cdef Py_ssize_t number = min(WINDOW, self.count - position)
        if self.chunk is None:
            raise CorruptChunk("the arguments of a detached job were taken before")
        while number > 1 and self.chunk._size_of(self.first + position, number) > WINDOW_BYTES:
            number //= 2
        try:
            window = json_loads(self.chunk.payloads(self.first + position, number))
            if len(window) == number:
                return with_secrets(window) if self.chunk._has_secrets else window
        except ValueError:
            pass
        try:
            window = json_loads(self.chunk.payloads(self.first + position, 1))
        except ValueError as error:
            raise CorruptChunk(f"the arguments of a job are not JSON: {error}") from None
        if len(window) != 1:
            raise CorruptChunk("the arguments of a job are not one list")
        return with_secrets(window) if self.chunk._has_secrets else window

    cdef tuple keyword_names(self, dict keywords, PyObject** values):
        """The names of a job's keywords, interned like the names of parameters, so that Python finds the parameters by
        identity; fills in the values, borrowed. The decoder returns equal keys of many jobs as one and the same object;
        then the names of the job before are used again.
        """
        cdef Py_ssize_t position = 0, number = 0
        cdef PyObject* key
        cdef tuple keys = self._keys
        cdef bint same = keys is not None and PyTuple_GET_SIZE(keys) == PyDict_Size(keywords)
        while PyDict_Next(keywords, &position, &key, &values[number]):
            same = same and key == tuple_item(keys, number)
            number += 1
        if same:
            return self._names
        self._keyword_changes += 1
        keys = tuple(keywords)
        names = tuple([intern(name) for name in keys])
        self._keys = keys
        self._names = names
        return names

    cdef object handler(self, int position):
        return self.handlers[self.entry(position)]

    cdef LeasedJobs cut(self, int position):
        """Leaves the job at a position out: the jobs before it stay here; returns those behind it, or None."""
        cdef int behind = self.count - position - 1
        self.count = position
        if behind == 0:
            return None
        return LeasedJobs(
            self.chunk, self.handlers, self.slot, self.column + position + 1, self.first + position + 1, behind,
            None, self.owner, self._given_limits, self._before, self._after,
        )


cdef inline bint _misfit(list table, list handlers) noexcept:
    return table is not None and PyList_GET_SIZE(table) != PyList_GET_SIZE(handlers)


cdef inline int64_t shorter(int64_t one, int64_t other) noexcept:
    """The shorter of two timeouts; 0 = none."""
    if one == 0 or other == 0:
        return one + other
    return min(one, other)
