# cython: language_level=3
"""The mask of a WebSocket client's frames taken off, eight bytes at a time.     layer: servers"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint64_t
from libc.string cimport memcpy


cpdef bytes unmask(bytes data, Py_ssize_t start, Py_ssize_t size):
    """Return data[start + 4 : start + 4 + size] XOR the four bytes of mask at start, repeated."""
    if start < 0 or size < 0 or start + 4 + size > len(data):
        raise ValueError(f"cannot unmask {size} bytes at {start}: there are {len(data)} in all")
    # SAFETY: within data, by the check above; the new bytes are nobody's yet.
    cdef const char *mask = PyBytes_AS_STRING(data) + start
    cdef const char *source = mask + 4
    cdef bytes result = PyBytes_FromStringAndSize(NULL, size)
    cdef char *target = PyBytes_AS_STRING(result)
    cdef uint64_t word, mask_word
    cdef Py_ssize_t done = 0
    memcpy(&mask_word, mask, 4)
    memcpy(<char *>&mask_word + 4, mask, 4)
    while done + 8 <= size:
        memcpy(&word, source + done, 8)
        word ^= mask_word
        memcpy(target + done, &word, 8)
        done += 8
    while done < size:
        target[done] = source[done] ^ mask[done & 3]
        done += 1
    return result
