# Collects the finished runs of a lease from its slot on the board, in the form in which they are acked and stored.

cdef list collect_runs(Slot* slot, int64_t clock_offset_us, bytes worker, bint reported):
    """Returns the runs of finished jobs of a lease and marks them as reported; see `Board.finished_runs`."""
    cdef SpanEntry* span
    cdef int position, column, end, start
    runs = []
    for position in range(span_count(slot)):
        span = &slot.span[position]
        if span.n == 0:
            continue
        column, end = span.column, span.column + span.count
        while column < end:
            if not is_to_report(slot.state[column], reported):
                column += 1
                continue
            start = column
            while column < end and is_to_report(slot.state[column], reported):
                slot.state[column] = REPORTED
                column += 1
            runs.append((
                span_ref(span), span.n, span.first + start - span.column, column - start,
                _head(slot, start, clock_offset_us, worker), _time_columns(slot, start, column - start),
            ))
    return runs


cdef inline bint is_to_report(uint8_t state, bint reported) noexcept:
    return state == FINISHED or (reported and state == REPORTED)


cdef bytes _head(Slot* slot, int column, int64_t clock_offset_us, bytes worker):
    """When the first job of the run started (us since 1970, 8 bytes), the length of the worker's name, and the name."""
    cdef int64_t started_us = slot.started_ns[column] // 1000 + clock_offset_us
    cdef bytes name = worker[:255]
    return (<char*>&started_us)[:8] + bytes((len(name),)) + name


cdef bytes _time_columns(Slot* slot, int first, int count):
    """Per job: seconds from the first job's start, and seconds of run time, each a float32."""
    cdef bytes columns = PyBytes_FromStringAndSize(NULL, 8 * count)
    cdef float* out = <float*>PyBytes_AS_STRING(columns)
    cdef int64_t base = slot.started_ns[first]
    cdef int position
    for position in range(count):
        out[2 * position] = <float>((slot.started_ns[first + position] - base) * 1e-9)
        out[2 * position + 1] = slot.run_s[first + position]
    return columns
