# cython: language_level=3
"""Reads and writes of any fd that do not wait, in C.                            layer: green

preadv2(2) and pwritev2(2) with RWF_NOWAIT, at the file's own position: the only way to ask one call
not to block, as MSG_DONTWAIT does for sockets. Supported by pipes and FIFOs (Linux 6.4), sockets,
eventfds and the like, and for reading by the file systems of disks; not by terminals, tmpfs and
overlayfs. O_NONBLOCK would do for more, but it belongs to the open file, which child processes
share. A call that cannot be tried answers with an errno, and fdio.py knows what to do.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING
from cpython.ref cimport Py_DECREF
from libc.errno cimport EAGAIN, EINTR, EINVAL, ENOSYS, EOPNOTSUPP, ESPIPE, errno
from posix.stat cimport S_ISBLK, S_ISDIR, S_ISFIFO, S_ISREG, fstat, stat, struct_stat
from posix.types cimport off_t
from posix.unistd cimport SEEK_CUR, lseek

cdef extern from *:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <sys/syscall.h>
    #include <sys/uio.h>
    #include <unistd.h>
    #ifndef RWF_NOWAIT
    #define RWF_NOWAIT 0x00000008
    #endif
    #ifdef __GLIBC__
    #define greenroom_preadv2 preadv2
    #define greenroom_pwritev2 pwritev2
    #else
    /* musl has these since 1.2.5 only, and a wheel must load with an older one. Where a long has 64
     * bits the kernel takes the whole offset from the first of its two halves. */
    static ssize_t greenroom_preadv2(
        int fd, const struct iovec *parts, int count, off_t offset, int flags)
    {
        return syscall(SYS_preadv2, fd, parts, (long)count, (long)offset, (long)(offset >> 32), flags);
    }
    static ssize_t greenroom_pwritev2(
        int fd, const struct iovec *parts, int count, off_t offset, int flags)
    {
        return syscall(SYS_pwritev2, fd, parts, (long)count, (long)offset, (long)(offset >> 32), flags);
    }
    #endif
    """
    struct iovec:
        void *iov_base
        size_t iov_len
    Py_ssize_t preadv2 "greenroom_preadv2"(
        int fd, const iovec *parts, int count, off_t offset, int flags
    ) nogil
    Py_ssize_t pwritev2 "greenroom_pwritev2"(
        int fd, const iovec *parts, int count, off_t offset, int flags
    ) nogil
    int RWF_NOWAIT

cdef extern from "Python.h":
    ctypedef struct PyObject
    PyObject *new_bytes "PyBytes_FromStringAndSize"(const char *data, Py_ssize_t size) except NULL
    void Py_XDECREF(PyObject *thing)
    int resize "_PyBytes_Resize"(PyObject **data, Py_ssize_t size) except -1
    int PyUnicode_FSConverter(object path, void *result) except 0
    object PyErr_SetFromErrno(object type)
    int PyErr_CheckSignals() except -1

cdef Py_ssize_t LONG = 1 << 16  # bytes from which a copy is worth giving back the GIL


cdef Py_ssize_t read_once(int fd, char *where, Py_ssize_t size, off_t offset) except -2:
    """preadv2(2) once; -1 and errno if it cannot tell without waiting."""
    cdef iovec part
    cdef Py_ssize_t got
    part.iov_base = where
    part.iov_len = size
    while True:
        if size < LONG:
            got = preadv2(fd, &part, 1, offset, RWF_NOWAIT)
        else:
            with nogil:
                got = preadv2(fd, &part, 1, offset, RWF_NOWAIT)
        if got >= 0 or errno in (EAGAIN, EOPNOTSUPP, EINVAL, ENOSYS, ESPIPE):
            return got
        if errno != EINTR:
            PyErr_SetFromErrno(OSError)
        PyErr_CheckSignals()


cpdef object try_read(int fd, Py_ssize_t size, off_t offset=-1):
    """Read as os.read does, or at an offset as os.pread does.

    Returns the bytes, or the errno of a call that cannot tell at once. A regular file that has only
    a part of it in memory gives that part: see more_on_disk().
    """
    cdef Py_ssize_t got
    if size < 0:
        return EINVAL
    cdef PyObject *raw = new_bytes(NULL, size)
    cdef int problem = 0
    try:
        got = read_once(fd, PyBytes_AS_STRING(<object>raw), size, offset)
        if got < 0:
            problem = errno
        elif got != size:
            resize(&raw, got)
        return problem if problem else <object>raw
    finally:
        Py_XDECREF(raw)


cpdef bint more_on_disk(int fd, off_t offset=-1):
    """Return whether fd is a regular file with more at offset, or at its own position."""
    cdef struct_stat info
    return (
        fstat(fd, &info) == 0
        and S_ISREG(info.st_mode)
        and (lseek(fd, 0, SEEK_CUR) if offset < 0 else offset) < info.st_size
    )


cpdef bint on_disk(int fd) except -1:
    """As fdio.on_disk(), of an fd: whether there is no readiness to wait for."""
    cdef struct_stat info
    if fstat(fd, &info) < 0:
        PyErr_SetFromErrno(OSError)
    return S_ISREG(info.st_mode) or S_ISBLK(info.st_mode) or S_ISDIR(info.st_mode)


cpdef long long size_of_file(int fd) except -2:
    """Return how many bytes a regular file has; -1: fd is of another kind."""
    cdef struct_stat info
    if fstat(fd, &info) < 0:
        PyErr_SetFromErrno(OSError)
    return info.st_size if S_ISREG(info.st_mode) else -1


cpdef bint is_fifo(object path):
    """Return whether there is a FIFO at path; whatever is wrong with path, opening it will say."""
    cdef struct_stat info
    cdef PyObject *raw = NULL
    try:
        PyUnicode_FSConverter(path, &raw)
    except (TypeError, ValueError):
        return False
    octets = <object>raw
    Py_DECREF(octets)
    return stat(PyBytes_AS_STRING(octets), &info) == 0 and S_ISFIFO(info.st_mode)


cpdef Py_ssize_t try_readinto(int fd, object buffer) except -1000:
    """Read into a writable buffer. Returns how many bytes, or the errno, negative."""
    cdef Py_buffer view
    cdef Py_ssize_t got
    PyObject_GetBuffer(buffer, &view, PyBUF_SIMPLE | PyBUF_WRITABLE)
    try:
        got = read_once(fd, <char *>view.buf, view.len, -1)
        return got if got >= 0 else -errno
    finally:
        PyBuffer_Release(&view)


cpdef Py_ssize_t try_write(int fd, object data) except -1000:
    """Write as os.write does. Returns how many bytes were taken, or the errno, negative."""
    cdef Py_buffer view
    cdef iovec part
    cdef Py_ssize_t sent
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        part.iov_base = view.buf
        part.iov_len = view.len
        while True:
            sent = pwritev2(fd, &part, 1, -1, RWF_NOWAIT)
            if sent >= 0:
                return sent
            if errno in (EAGAIN, EOPNOTSUPP, EINVAL, ENOSYS, ESPIPE):
                return -errno
            if errno != EINTR:
                PyErr_SetFromErrno(OSError)
            PyErr_CheckSignals()
    finally:
        PyBuffer_Release(&view)
