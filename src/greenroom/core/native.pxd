# What native.pyx offers to the other compiled modules.

cdef object current_greenlet()
cdef int switch(object target) except -1
cdef double monotonic() noexcept
cdef object copy_context()
cdef object call_in_free_context(object context, object fn, object args)
cdef bint is_finalizing() noexcept
cdef object call_in_context(object context, object fn, object args)
cdef bint is_coroutine(object thing) noexcept
cdef object send_in_context(object context, object generator, object value)
cdef object throw_in_context(object context, object generator, object error)
cdef bint has_returned() noexcept
cdef object take_error()
cdef untrack(object thing)
cdef track(object thing)
cdef object name_of(object fn)
cdef object function_of(object thing)
cdef object owner_of(object thing)
cdef bint drain(int fd) noexcept
cdef object thread_scheduler()
cdef bint is_thread_scheduler(object scheduler) noexcept
cpdef object adopt_scheduler(object scheduler)
cpdef disown_scheduler()
cpdef bint compiled()
