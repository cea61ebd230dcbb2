cdef class Scope:
    cdef public Scope parent
    cdef public double deadline
    cdef public bint cancelled
    cdef public bint shield
    cpdef object make_error(self, object task)
