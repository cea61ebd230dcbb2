cdef class Scope:
    cdef public Scope parent
    cdef public double ends
    cdef public bint cancelled
    cdef public bint shields
    cpdef object make_error(self, object task)
    cpdef task_ended(self, object task)
