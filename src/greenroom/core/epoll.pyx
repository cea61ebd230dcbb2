# cython: language_level=3
"""epoll(7), edge-triggered: an fd is registered once in its life.               layer: core

Facts of the kernel that shape this file:
- EPOLL_CTL_ADD and EPOLL_CTL_MOD look at the fd at once: if it is ready now, the next epoll_wait
  says so. So registering late loses nothing, and MOD with the same events is how a level is asked
  for on an edge-triggered registration.
- A registration belongs to the open file, not to the number. close() of the last fd of a file ends
  it; while a dup lives it stays, and reports under the old number. Hence the explicit DEL before a
  close, and the generation in the event's data for the ones that come all the same.
- Regular files and directories answer EPERM: they are always ready.
- EPOLLHUP and EPOLLERR come unasked. EPOLLRDHUP comes together with the last data, once.
"""

from libc.errno cimport EBADF, EEXIST, EINTR, ENOENT, EPERM, errno
from libc.stdlib cimport free, malloc
from posix.unistd cimport close as c_close

from greenroom import _config
from greenroom.core.poller cimport FdState, Poller

cdef extern from "<sys/epoll.h>" nogil:
    int epoll_create1(int flags)
    int epoll_ctl(int epfd, int operation, int fd, epoll_event *event)
    int epoll_wait(int epfd, epoll_event *events, int maxevents, int timeout)
    int EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD
    unsigned int EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLPRI, EPOLLERR, EPOLLHUP, EPOLLET

cdef extern from "Python.h":
    object PyErr_SetFromErrno(object type)

cdef int EVENTS = _config.EVENTS_PER_POLL
cdef double LONGEST = 2.0 ** 31 / 1000.0 - 1.0  # seconds in an int of milliseconds
cdef unsigned long long WAKE = 0  # generations start at 1


cdef class EpollPoller(Poller):
    """The compiled backend."""

    name = "epoll"

    def __cinit__(self, wake_fd):
        self.epfd = -1
        self.events = <epoll_event *>malloc(EVENTS * sizeof(epoll_event))
        if self.events == NULL:
            raise MemoryError()

    def __init__(self, wake_fd):
        Poller.__init__(self, wake_fd)
        cdef epoll_event event
        self.epfd = epoll_create1(EPOLL_CLOEXEC)
        if self.epfd < 0:
            PyErr_SetFromErrno(OSError)
        event.events = EPOLLIN
        event.data.u64 = WAKE
        if epoll_ctl(self.epfd, EPOLL_CTL_ADD, wake_fd, &event) < 0:
            PyErr_SetFromErrno(OSError)

    def __dealloc__(self):
        if self.epfd >= 0:
            c_close(self.epfd)
        free(self.events)

    cpdef close(self):
        if self.epfd >= 0:
            c_close(self.epfd)
            self.epfd = -1

    cdef int control(self, int operation, FdState state) except -1:
        """epoll_ctl(2); returns 0 or the errno that is for the caller to judge."""
        cdef epoll_event event
        event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET
        event.data.u64 = (<unsigned long long>state.generation << 32) | <unsigned int>state.fd
        if epoll_ctl(self.epfd, operation, state.fd, &event) < 0:
            if errno not in (EEXIST, ENOENT, EPERM):
                PyErr_SetFromErrno(OSError)
            return errno
        return 0

    cpdef arm(self, FdState state, bint write, bint level):
        cdef int problem
        if state.registered:
            if not level:
                return
            problem = self.control(EPOLL_CTL_MOD, state)
            if problem == ENOENT:  # closed behind our back, and the number given out again
                problem = self.control(EPOLL_CTL_ADD, state)
        else:
            problem = self.control(EPOLL_CTL_ADD, state)
            if problem == EEXIST:  # the same open file was registered in an earlier life
                problem = self.control(EPOLL_CTL_MOD, state)
        if problem == EPERM:  # a regular file
            self.fired(state, True, True, False)
        elif problem:
            raise OSError(problem, f"cannot watch fd {state.fd} with epoll")
        else:
            state.registered = True
            state.interest = -1

    cpdef bint watches(self, FdState state) except -1:
        if not state.registered:
            return False
        try:
            return self.control(EPOLL_CTL_MOD, state) == 0
        except OSError:  # EBADF
            return False

    cpdef unregister(self, FdState state):
        cdef epoll_event event
        state.registered = False
        epoll_ctl(self.epfd, EPOLL_CTL_DEL, state.fd, &event)  # ENOENT, EBADF: gone already

    cpdef int poll(self, double timeout) except -1:
        cdef int count, index, milliseconds, problem = 0
        cdef unsigned int flags
        cdef bint hangup
        cdef FdState state
        if timeout <= 0.0:
            # Cannot block, so the GIL is kept: giving it back would cost more than the call.
            count = epoll_wait(self.epfd, self.events, EVENTS, 0)
        else:
            if timeout > LONGEST:
                milliseconds = -1 if timeout == float("inf") else <int>(LONGEST * 1000.0)
            else:
                milliseconds = <int>(timeout * 1000.0 + 0.9999)  # up: never wake early to spin
            with nogil:
                count = epoll_wait(self.epfd, self.events, EVENTS, milliseconds)
                problem = errno
        if count < 0:
            if problem == 0:
                problem = errno
            if problem == EINTR:
                return 1
            raise OSError(problem, f"epoll_wait failed on fd {self.epfd}")
        for index in range(count):
            if self.events[index].data.u64 == WAKE:
                self.wake_seen = True
                continue
            state = self.known(<int>(self.events[index].data.u64 & 0xFFFFFFFF))
            if state is None or state.generation != self.events[index].data.u64 >> 32:
                continue  # from an earlier life of this number
            flags = self.events[index].events
            hangup = (flags & (EPOLLHUP | EPOLLERR)) != 0
            self.fired(
                state,
                hangup or (flags & (EPOLLIN | EPOLLRDHUP | EPOLLPRI)) != 0,
                hangup or (flags & EPOLLOUT) != 0,
                (flags & (EPOLLHUP | EPOLLERR | EPOLLRDHUP | EPOLLPRI)) == 0,
            )
        return 0
