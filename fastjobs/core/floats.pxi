# Floats as text: the shortest digits that read back as the same double, laid out as `repr` does.
#
# The digits come from Schubfach (Raffaello Giulietti, "The Schubfach way to render doubles"): three multiplications by
# a power of ten of 126 bits give the value and the borders of the interval of all decimals that are read as it; the
# shortest decimal in that interval is one of four. No step needs more than 128 bits, and none falls back to another.

cdef extern from *:
    """
    /* Bits 128 and up of (high:low) * factor; the last one is set if a bit below them is ("round to odd"). */
    static inline uint64_t fastjobs_scale(uint64_t high, uint64_t low, uint64_t factor) {
        unsigned __int128 upper = (unsigned __int128)high * factor + (uint64_t)((unsigned __int128)low * factor >> 64);
        return (uint64_t)(upper >> 64) | ((uint64_t)upper > 1);
    }
    /* A number below 10^8 as eight digits, one per byte, the first one lowest: all digits are divided off at once. */
    static inline uint64_t fastjobs_eight_digits(uint32_t number) {
        uint64_t digits = number / 10000 | (uint64_t)(number % 10000) << 32, parts;
        parts = (digits * 10486 >> 20) & 0x0000007F0000007F;
        digits = parts | (digits - parts * 100) << 16;
        parts = (digits * 103 >> 10) & 0x000F000F000F000F;
        return parts | (digits - parts * 10) << 8;
    }
    #if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
    #error "floats are written for little-endian processors"
    #endif
    """
    uint64_t _scale "fastjobs_scale"(uint64_t high, uint64_t low, uint64_t factor) noexcept
    uint64_t _eight_digits "fastjobs_eight_digits"(uint32_t number) noexcept
    int _leading_zero_bits "__builtin_clzll"(uint64_t) noexcept

cdef enum:
    #: The powers of ten that doubles need.
    FIRST_POWER = -292
    LAST_POWER = 324
    #: Bits of the significand of a double, and what its exponent is stored with.
    SIGNIFICAND_BITS = 52
    EXPONENT_BIAS = 1075
    #: Logarithms times 2^22 and 2^19: exact for all exponents of doubles.
    LOG10_2 = 1262611
    LOG10_THREE_QUARTERS = 524031
    LOG2_10 = 1741647
    #: The logarithm times 2^12: gives the number of digits of an integer from its bits, or one less.
    LOG10_2_SHORT = 1233
    MAX_DIGITS = 17
    #: Room for a float: at most 24 bytes, and what copies of a fixed size write behind its end.
    MAX_FLOAT_SIZE = 48
    #: `repr` writes 1e16 and 0.00001 with an exponent.
    MAX_PLAIN_POINT = 16
    MIN_PLAIN_POINT = -3

#: Ten to the power of the index.
cdef uint64_t TENS[MAX_DIGITS + 1]
cdef uint64_t ASCII_ZEROS = 0x3030_3030_3030_3030
#: The first 128 bits of each power of ten, rounded up; high and low half.
cdef uint64_t POWERS[LAST_POWER - FIRST_POWER + 1][2]


cdef int _fill_powers() except -1:
    for power in range(MAX_DIGITS + 1):
        TENS[power] = 10**power
    for power in range(FIRST_POWER, LAST_POWER + 1):
        if power < 0:
            divisor = 10**-power
            bits = -(-(1 << divisor.bit_length() + 127) // divisor)
        else:
            value = 10**power
            bits = -(-(value << 128) >> value.bit_length())
        POWERS[power - FIRST_POWER][0] = bits >> 64
        POWERS[power - FIRST_POWER][1] = bits & 0xFFFF_FFFF_FFFF_FFFF
    return 0


_fill_powers()


cdef inline uint64_t _shortest(uint64_t significand, int stored_exponent, int* exponent) noexcept:
    """The digits of a positive double as an integer, which is to be multiplied by ten to the `exponent`."""
    cdef uint64_t full = significand
    cdef int binary = 1 - EXPONENT_BIAS
    if stored_exponent:
        full |= <uint64_t>1 << SIGNIFICAND_BITS
        binary = stored_exponent - EXPONENT_BIAS
        if -SIGNIFICAND_BITS <= binary <= 0 and full & ((<uint64_t>1 << -binary) - 1) == 0:
            exponent[0] = 0
            return full >> -binary
    # Borders belong to the interval if the significand is even. A power of two is nearer to its lower neighbour.
    cdef bint odd = full & 1
    cdef bint nearer = significand == 0 and stored_exponent > 1
    cdef int decimal = (binary * LOG10_2 - (LOG10_THREE_QUARTERS if nearer else 0)) >> 22
    cdef int shift = binary + ((-decimal * LOG2_10) >> 19) + 1
    cdef uint64_t* power = POWERS[-decimal - FIRST_POWER]
    cdef uint64_t lower = _scale(power[0], power[1], (4 * full - 2 + nearer) << shift) + odd
    cdef uint64_t middle = _scale(power[0], power[1], (4 * full) << shift)
    cdef uint64_t upper = _scale(power[0], power[1], (4 * full + 2) << shift) - odd
    cdef uint64_t digits = middle // 4
    cdef uint64_t tens = digits // 10
    cdef bint below, above
    if tens:
        below = lower <= 40 * tens
        above = 40 * tens + 40 <= upper
        if below != above:
            exponent[0] = decimal + 1
            return tens + above
    below = lower <= 4 * digits
    above = 4 * digits + 4 <= upper
    exponent[0] = decimal
    if below != above:
        return digits + above
    # The nearer of the two, and of two that are as near the even one.
    above = middle + (digits & 1) > 4 * digits + 2
    return digits + above


cdef inline void _put_digits(char* text, char first, uint64_t upper, uint64_t lower) noexcept:
    """The first digit and the sixteen others."""
    text[0] = first
    memcpy(text + 1, &upper, 8)
    memcpy(text + 9, &lower, 8)


cdef inline int _put_exponent(char* text, int exponent) noexcept:
    """`e`, a sign and at least two digits; returns the size."""
    cdef int size = 2
    text[0] = c"e"
    text[1] = c"-" if exponent < 0 else c"+"
    if exponent < 0:
        exponent = -exponent
    if exponent >= 100:
        text[2] = c"0" + <char>(exponent // 100)
        exponent %= 100
        size = 3
    text[size] = c"0" + <char>(exponent // 10)
    text[size + 1] = c"0" + <char>(exponent % 10)
    return size + 2


cdef inline int _put_plain(char* text, int number, int point) noexcept:
    """Puts a point after the first `point` digits of 17, of which `number` count; returns the size."""
    if point < number:
        memmove(text + point + 1, text + point, 16)
        text[point] = c"."
        return number + 1
    memcpy(text + point, b".0", 2)
    return point + 2


cdef inline int _put_finite(char* text, uint64_t significand, int stored_exponent) noexcept:
    """A positive double; returns the size. Writes less than MAX_FLOAT_SIZE bytes, some of them behind its end."""
    cdef int exponent
    cdef uint64_t rest = _shortest(significand, stored_exponent, &exponent)
    cdef int number = ((64 - _leading_zero_bits(rest)) * LOG10_2_SHORT) >> 12
    number += rest >= TENS[number]
    cdef int point = number + exponent
    # From here on there are 17 digits: one, eight and eight.
    rest *= TENS[MAX_DIGITS - number]
    cdef uint64_t front = rest // 100000000
    cdef uint64_t upper = _eight_digits(<uint32_t>(front % 100000000))
    cdef uint64_t lower = _eight_digits(<uint32_t>(rest % 100000000))
    cdef char first = c"0" + <char>(front // 100000000)
    if lower:
        number = MAX_DIGITS - _leading_zero_bits(lower) // 8
    else:
        number = 9 - _leading_zero_bits(upper) // 8 if upper else 1
    upper |= ASCII_ZEROS
    lower |= ASCII_ZEROS
    if MIN_PLAIN_POINT <= point <= 0:
        memcpy(text, b"0.000", 5)
        _put_digits(text + 2 - point, first, upper, lower)
        return 2 - point + number
    if 0 < point <= MAX_PLAIN_POINT:
        _put_digits(text, first, upper, lower)
        return _put_plain(text, number, point)
    _put_digits(text + 1, c".", upper, lower)
    text[0] = first
    number += number > 1
    return number + _put_exponent(text + number, point - 1)


cdef int _write_float(Buffer buffer, double value) except -1:
    cdef uint64_t bits
    cdef uint64_t magnitude
    if not isfinite(value):
        raise _Refused()
    memcpy(&bits, &value, 8)
    magnitude = bits << 1 >> 1
    buffer.reserve(MAX_FLOAT_SIZE)
    if bits != magnitude:
        buffer.put_byte(c"-")
    if magnitude == 0:
        buffer.put(b"0.0", 3)
        return 0
    buffer.size += _put_finite(
        buffer.data + buffer.size,
        magnitude & ((<uint64_t>1 << SIGNIFICAND_BITS) - 1),
        <int>(magnitude >> SIGNIFICAND_BITS),
    )
    return 0
