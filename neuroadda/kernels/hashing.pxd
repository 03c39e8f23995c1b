"""Random bits that are a function of numbers alone, so that no order of drawing them matters."""

from libc.stdint cimport int64_t, uint64_t


cdef inline uint64_t mix(uint64_t x) noexcept nogil:
    """Return 64 scrambled bits of 64 bits (the finaliser of SplitMix64, Steele et al. 2014)."""
    x = (x ^ (x >> 30)) * <uint64_t>0xBF58476D1CE4E5B9ULL
    x = (x ^ (x >> 27)) * <uint64_t>0x94D049BB133111EBULL
    return x ^ (x >> 31)


cdef inline uint64_t salted(uint64_t seed, uint64_t salt) noexcept nogil:
    """Return a key for `hash3`: one independent stream for each salt."""
    return mix(seed * <uint64_t>0xD1342543DE82EF95ULL + salt + 1)


cdef inline uint64_t hash3(uint64_t key, int64_t z, int64_t y, int64_t x) noexcept nogil:
    """Return 64 random bits of a key and three integers."""
    cdef uint64_t step = <uint64_t>0x9E3779B97F4A7C15ULL
    cdef uint64_t h = mix(key + step)
    h = mix((h ^ <uint64_t>z) + step)
    h = mix((h ^ <uint64_t>y) + step)
    return mix((h ^ <uint64_t>x) + step)


cdef inline double unit(uint64_t bits) noexcept nogil:
    """Return bits as a number in [0, 1)."""
    return <double>(bits >> 11) * 2.0**-53
