# Ids that sort by the time they were made.
#
#    127            80 79                                    0
#   +-----------------+---------------------------------------+
#   |  unix time, ms  |           random, or the last         |
#   |                 |        id's plus a random step        |
#   +-----------------+---------------------------------------+
#
# written as 22 digits of base 62 in ASCII order (0-9 A-Z a-z), most significant first. The time comes first, so that
# ids made later sort later and neighbours share their beginning. With 80 random bits, machines need not agree on
# anything.

cdef extern from *:
    """
    typedef unsigned __int128 fj_uint128;
    """
    ctypedef unsigned long long uint128 "fj_uint128"

cdef enum:
    ID_DIGITS = 22
    RANDOM_BITS = 80
    #: Size of the random step between ids of one millisecond: nobody can guess it, and 2^48 steps fit.
    STEP_BITS = 32

cdef const char* BASE62 = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
cdef uint128 last_id = 0


cdef uint128 _random_bits() except? 0:
    cdef bytes entropy = os.urandom(RANDOM_BITS // 8)
    cdef uint128 value = 0
    cdef int position
    for position in range(RANDOM_BITS // 8):
        value = (value << 8) | <unsigned char>entropy[position]
    return value


def new_id():
    """Returns a new id of 22 characters; within a process each one sorts after the one before."""
    global last_id
    cdef char digits[ID_DIGITS]
    cdef int position
    cdef timespec now
    cdef uint128 value
    # Drawn first, because it lets other threads in. From reading the clock to setting `last_id` nothing does.
    cdef uint128 entropy = _random_bits()
    clock_gettime(CLOCK_REALTIME, &now)
    value = <uint128>(<uint64_t>now.tv_sec * 1000 + <uint64_t>(now.tv_nsec // 1000000)) << RANDOM_BITS
    if value > last_id:
        value |= entropy
    else:
        # The same millisecond, or the clock went back: a step beyond the last one.
        value = last_id + 1 + (entropy & ((<uint128>1 << STEP_BITS) - 1))
    last_id = value
    for position in range(ID_DIGITS - 1, -1, -1):
        digits[position] = BASE62[<int>(value % 62)]
        value //= 62
    return PyUnicode_DecodeASCII(digits, ID_DIGITS, NULL)


def _forget_last_id():
    """A forked child must not continue its parent's sequence."""
    global last_id
    last_id = 0


os.register_at_fork(after_in_child=_forget_last_id)
