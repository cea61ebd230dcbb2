# cython: language_level=3
"""The few raw operations under the scheduler, in C.                             layer: core

native.py is the same in Python and is what an uncompiled install imports: whatever is added here
is added there. Nothing in this file knows what a task is.
"""

from cpython.ref cimport PyObject

from greenroom.core.cgreenlet cimport (
    PyGreenlet_GetCurrent,
    PyGreenlet_Import,
    PyGreenlet_Switch,
    greenlet,
)

import _thread


cdef extern from *:
    """
    #include <time.h>

    /* The scheduler of this OS thread: borrowed, owned by the ThreadSlot in the thread's locals. */
    static __thread PyObject *greenroom_thread_scheduler = NULL;

    static double greenroom_monotonic(void)
    {
        struct timespec ts;
        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
    }

    /* As context.run(fn, *args), without building a bound method and a second argument tuple. */
    static PyObject *greenroom_call_in(PyObject *context, PyObject *fn, PyObject *args)
    {
        PyObject *result;
        if (PyContext_Enter(context) < 0)
            return NULL;
        result = PyObject_Call(fn, args, NULL);
        if (PyContext_Exit(context) < 0)
            Py_CLEAR(result);
        return result;
    }
    """
    PyObject *greenroom_thread_scheduler
    double greenroom_monotonic() noexcept
    object greenroom_call_in(object context, object fn, object args)
    object PyContext_CopyCurrent()
    int PyErr_CheckSignals() except -1


PyGreenlet_Import()


cdef object current_greenlet():
    """Return the greenlet that runs now, a raw one of the user's included."""
    return PyGreenlet_GetCurrent()


cdef int switch(object target) except -1:
    """Run target until something switches back here. Values travel in the task, not here."""
    PyGreenlet_Switch(<greenlet>target, NULL, NULL)
    return 0


cdef double monotonic() noexcept:
    """Return CLOCK_MONOTONIC in seconds (clock_gettime(2))."""
    return greenroom_monotonic()


cdef object copy_context():
    """Return a copy of the current contextvars context."""
    return PyContext_CopyCurrent()


cdef object call_in_context(object context, object fn, tuple args):
    """Return fn(*args), called in context; RuntimeError if that context is already entered."""
    return greenroom_call_in(context, fn, args)


# --- one scheduler a thread -------------------------------------------------------------------

_locals = _thread._local()


cdef class ThreadSlot:
    """Owns a thread's scheduler; dies with the thread's locals and takes the pointer along."""

    cdef object scheduler
    cdef PyObject *pointer

    def __dealloc__(self):
        global greenroom_thread_scheduler
        # SAFETY: compares addresses only. After a fork this runs in another thread than its own.
        if greenroom_thread_scheduler == self.pointer:
            greenroom_thread_scheduler = NULL


cdef object thread_scheduler():
    """Return this OS thread's scheduler, or None."""
    if greenroom_thread_scheduler == NULL:
        return None
    return <object>greenroom_thread_scheduler


cdef bint is_thread_scheduler(object scheduler) noexcept:
    """Tell whether scheduler is the one of this OS thread."""
    return greenroom_thread_scheduler == <PyObject *>scheduler


cpdef object adopt_scheduler(object scheduler):
    """Make scheduler the one of this OS thread."""
    global greenroom_thread_scheduler
    cdef ThreadSlot slot = ThreadSlot.__new__(ThreadSlot)
    slot.scheduler = scheduler
    slot.pointer = <PyObject *>scheduler
    _locals.slot = slot
    greenroom_thread_scheduler = slot.pointer


cpdef disown_scheduler():
    """Forget this OS thread's scheduler; the next use makes another."""
    global greenroom_thread_scheduler
    greenroom_thread_scheduler = NULL
    _locals.slot = None


def check_signals():
    """Run the Python signal handlers that are pending; raise what they raise."""
    PyErr_CheckSignals()


cpdef bint compiled():
    return True
