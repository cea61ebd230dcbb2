cimport cython


cdef double NEVER


cdef class Timed:
    cdef public double deadline
    cdef double key
    cdef long long seq
    cdef long long key_seq
    cdef Py_ssize_t index

    cpdef expired(self)


@cython.final
cdef class TimerHeap:
    cdef list heap
    cdef long long seq

    @cython.locals(index=Py_ssize_t)
    cdef set(self, Timed timed, double deadline)
    cdef cancel(self, Timed timed)
    @cython.locals(last=Timed, index=Py_ssize_t)
    cdef remove(self, Timed timed)
    @cython.locals(top=Timed)
    cdef Timed pop_due(self, double now)
    @cython.locals(top=Timed)
    cdef double next_deadline(self)
    cdef refile_top(self, Timed top)
    @cython.locals(parent=Timed, above=Py_ssize_t)
    cdef sift_up(self, Py_ssize_t index, Timed timed)
    @cython.locals(child=Timed, other=Timed, below=Py_ssize_t, size=Py_ssize_t)
    cdef sift_down(self, Py_ssize_t index, Timed timed)
