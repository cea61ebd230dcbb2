# What fastsocket.pyx offers to the other compiled modules.

from greenroom.core.poller cimport FdState
from greenroom.core.scheduler cimport Scheduler

cdef extern from *:
    """
    /* SAFETY: the head of PySocketSockObject (Modules/socketmodule.h), the same in 3.11 to 3.14.
     * Read under the GIL, while a reference to the object is held; never written. */
    typedef struct {
        PyObject_HEAD
        int sock_fd;
        int sock_family;
        int sock_type;
        int sock_proto;
        void *errorhandler;
        long long sock_timeout;         /* nanoseconds, negative: none */
    } GreenroomSocket;
    """
    ctypedef struct GreenroomSocket:
        int sock_fd
        int sock_family
        int sock_type
        int sock_proto
        long long sock_timeout

cdef GreenroomSocket *struct_of(object sock) except NULL
cdef FdState state_of(Scheduler scheduler, GreenroomSocket *struct)
cpdef bytes recv_by(object sock, Py_ssize_t bufsize, double deadline)
cpdef Py_ssize_t send_by(object sock, bytes data, Py_ssize_t start, double deadline) except -1
cpdef Py_ssize_t sendfile_by(object sock, int file, long long offset, Py_ssize_t count,
                             double deadline) except -1
