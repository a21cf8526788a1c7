# The payload of a job: its arguments as one JSON array `[*args, kwargs]`, validated and written in one pass.
#
# This pass runs no Python code: it compares types exactly and reads values by the C API. So the objects cannot change
# meanwhile, and references stay borrowed.

cdef enum:
    #: Deeper values are refused; this also ends cycles.
    MAX_DEPTH = 128
    SECRET_KEY_SIZE = 7

#: For each byte of a string: whether JSON has to escape it.
cdef unsigned char NEEDS_ESCAPE[256]
cdef int _byte
for _byte in range(256):
    NEEDS_ESCAPE[_byte] = _byte < 0x20 or _byte == c'"' or _byte == c"\\"

cdef const char* SECRET_KEY_TEXT = b"$secret"
cdef const char* HEX_DIGITS = b"0123456789abcdef"

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object)
    void* PyUnicode_DATA(object)
    Py_ssize_t PyUnicode_GET_LENGTH(object)
    int PyDict_Next(object, Py_ssize_t*, PyObject**, PyObject**)


cdef class _Refused(Exception):
    """The arguments cannot be stored; `fastjobs.model.payload` then finds out, slowly, why and where."""


cdef int _write_escaped(Buffer buffer, const unsigned char* text, Py_ssize_t size) except -1:
    """The slow path of strings: some bytes have to be escaped."""
    cdef Py_ssize_t position
    cdef unsigned char byte
    buffer.reserve(6 * size)
    for position in range(size):
        byte = text[position]
        if not NEEDS_ESCAPE[byte]:
            buffer.put_byte(<char>byte)
        elif byte == c'"' or byte == c"\\":
            buffer.put_byte(c"\\")
            buffer.put_byte(<char>byte)
        else:
            buffer.put(b"\\u00", 4)
            buffer.put_byte(HEX_DIGITS[byte >> 4])
            buffer.put_byte(HEX_DIGITS[byte & 15])
    return 0


cdef int _write_string(Buffer buffer, object value) except -1:
    cdef const char* text
    cdef Py_ssize_t size, position = 0
    if PyUnicode_IS_COMPACT_ASCII(value):
        text = <const char*>PyUnicode_DATA(value)
        size = PyUnicode_GET_LENGTH(value)
    else:
        try:
            text = PyUnicode_AsUTF8AndSize(value, &size)
        except UnicodeEncodeError:
            raise _Refused()
    buffer.reserve(size + 2)
    buffer.put_byte(c'"')
    while position < size and not NEEDS_ESCAPE[<unsigned char>text[position]]:
        position += 1
    if position == size:
        buffer.put(text, size)
    else:
        _write_escaped(buffer, <const unsigned char*>text, size)
        buffer.reserve(1)
    buffer.put_byte(c'"')
    return 0


cdef int _write_integer(Buffer buffer, object value) except -1:
    cdef char digits[24]
    cdef int overflow = 0
    cdef int size = 24
    cdef bint negative
    cdef unsigned long long rest
    cdef long long number = PyLong_AsLongLongAndOverflow(value, &overflow)
    if overflow < 0:
        raise _Refused()
    if overflow > 0:
        try:
            rest = PyLong_AsUnsignedLongLong(value)
        except OverflowError:
            raise _Refused()
        negative = False
    else:
        negative = number < 0
        rest = <unsigned long long>0 - <unsigned long long>number if negative else <unsigned long long>number
    while True:
        size -= 1
        digits[size] = c"0" + <char>(rest % 10)
        rest //= 10
        if rest == 0:
            break
    if negative:
        size -= 1
        digits[size] = c"-"
    return buffer.append(&digits[size], 24 - size)


cdef inline bint _is_secret_key(object key) noexcept:
    """Whether this is the key under which a `Secret` is stored; compares its seven bytes."""
    return (
        PyUnicode_GET_LENGTH(key) == SECRET_KEY_SIZE
        and PyUnicode_IS_COMPACT_ASCII(key)
        and memcmp(PyUnicode_DATA(key), SECRET_KEY_TEXT, SECRET_KEY_SIZE) == 0
    )


cdef int _write_secret(Buffer buffer, object value) except -1:
    text = value.reveal()
    buffer.append(b'{"$secret":', 11)
    _write_string(buffer, text)
    return buffer.append(b"}", 1)


cdef int _write_dict(Buffer buffer, object value, int depth) except -1:
    cdef Py_ssize_t position = 0
    cdef PyObject* key
    cdef PyObject* item
    cdef bint first = True
    if depth > MAX_DEPTH:
        raise _Refused()
    buffer.reserve(1)
    buffer.put_byte(c"{")
    while PyDict_Next(value, &position, &key, &item):
        if type(<object>key) is not str or _is_secret_key(<object>key):
            raise _Refused()
        if not first:
            buffer.reserve(1)
            buffer.put_byte(c",")
        first = False
        _write_string(buffer, <object>key)
        buffer.reserve(1)
        buffer.put_byte(c":")
        _write_value(buffer, <object>item, depth + 1)
    buffer.reserve(1)
    buffer.put_byte(c"}")
    return 0


cdef int _write_items(Buffer buffer, PyObject** items, Py_ssize_t number, int depth) except -1:
    """The items of a list or tuple, separated by commas."""
    cdef Py_ssize_t position
    if depth > MAX_DEPTH:
        raise _Refused()
    for position in range(number):
        if position:
            buffer.reserve(1)
            buffer.put_byte(c",")
        _write_value(buffer, <object>items[position], depth + 1)
    return 0


cdef int _write_value(Buffer buffer, object value, int depth) except -1:
    kind = type(value)
    if kind is str:
        return _write_string(buffer, value)
    if kind is int:
        return _write_integer(buffer, value)
    if kind is dict:
        return _write_dict(buffer, value, depth)
    if kind is list or kind is tuple:
        buffer.reserve(1)
        buffer.put_byte(c"[")
        _write_items(buffer, PySequence_Fast_ITEMS(value), PySequence_Fast_GET_SIZE(value), depth)
        buffer.reserve(1)
        buffer.put_byte(c"]")
        return 0
    if kind is float:
        return _write_float(buffer, PyFloat_AS_DOUBLE(value))
    if value is None:
        return buffer.append(b"null", 4)
    if value is True:
        return buffer.append(b"true", 4)
    if value is False:
        return buffer.append(b"false", 5)
    if kind is Secret:
        return _write_secret(buffer, value)
    raise _Refused()


cdef int _write_arguments(Buffer buffer, PyObject** items, Py_ssize_t number, object keywords) except -1:
    """Writes `[*items, keywords]`; keywords may be None."""
    buffer.reserve(1)
    buffer.put_byte(c"[")
    _write_items(buffer, items, number, 0)
    if number:
        buffer.reserve(1)
        buffer.put_byte(c",")
    if keywords is None:
        buffer.append(b"{}]", 3)
        return 0
    _write_dict(buffer, keywords, 0)
    buffer.reserve(1)
    buffer.put_byte(c"]")
    return 0
