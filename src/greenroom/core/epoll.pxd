from greenroom.core.poller cimport FdState, Poller


cdef extern from "<sys/epoll.h>" nogil:
    ctypedef union epoll_data_t:
        unsigned long long u64
    struct epoll_event:
        unsigned int events
        epoll_data_t data


cdef class EpollPoller(Poller):
    cdef int epfd
    cdef epoll_event *events

    cdef int control(self, int operation, FdState state) except -1
