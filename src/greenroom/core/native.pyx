# cython: language_level=3
"""The few raw operations under the scheduler, in C.                             layer: core

native.py is the same in Python and is what an uncompiled install imports: whatever is added here
is added there. Nothing in this file knows what a task is.
"""

from cpython.ref cimport Py_DECREF, Py_INCREF, Py_XDECREF, PyObject

from posix.unistd cimport read

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

    /* What the call before raised, and whether the generator before has come to its end.
     * SAFETY: owned; set after the call and taken at once by its caller, with nothing run in
     * between. Under the GIL no other thread comes between either. Without it each thread has its
     * own (a greenlet stays in its thread); to ask for that costs 2 ns of a generator's turn of 32. */
    #ifdef Py_GIL_DISABLED
    #define GREENROOM_OF_THREAD static __thread
    #else
    #define GREENROOM_OF_THREAD static
    #endif
    GREENROOM_OF_THREAD PyObject *greenroom_raised = NULL;
    GREENROOM_OF_THREAD int greenroom_returned = 0;

    static double greenroom_monotonic(void)
    {
        struct timespec ts;
        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
    }

    /* Keep the exception that is set, in its normal form, in greenroom_raised; return None in the
     * place of a result. Not inlined: it has no part in the frames of its callers, which are copied
     * at each switch. */
    static __attribute__((noinline)) PyObject *greenroom_keep_error(void)
    {
        PyObject *type, *value, *traceback, *before;
        PyErr_Fetch(&type, &value, &traceback);
        PyErr_NormalizeException(&type, &value, &traceback);
        if (traceback != NULL)
            PyException_SetTraceback(value, traceback);
        Py_XDECREF(type);
        Py_XDECREF(traceback);
        before = greenroom_raised;
        greenroom_raised = value;
        Py_XDECREF(before);
        Py_RETURN_NONE;
    }

    /* context.run(fn, *args), without building a bound method and a second argument tuple. What it
     * raises is kept in greenroom_raised. Every frame below a parked task is copied at each switch
     * and kept while it is parked, so this one is small, and the caller needs no try block. */
    static PyObject *greenroom_call_in(PyObject *context, PyObject *fn, PyObject *args)
    {
        PyObject *result = NULL;
        if (PyContext_Enter(context) == 0) {
            result = PyObject_Call(fn, args, NULL);
            if (PyContext_Exit(context) < 0)
                Py_CLEAR(result);
        }
        return result != NULL ? result : greenroom_keep_error();
    }

    /* As greenroom_call_in(), in a copy of context if that has been entered and not left. */
    static PyObject *greenroom_call_in_free(PyObject *context, PyObject *fn, PyObject *args)
    {
        PyObject *result, *copy;
        if (PyContext_Enter(context) < 0) {
            PyErr_Clear();
            copy = PyContext_Copy(context);
            if (copy == NULL)
                return greenroom_keep_error();
            result = greenroom_call_in(copy, fn, args);
            Py_DECREF(copy);
            return result;
        }
        result = PyObject_Call(fn, args, NULL);
        if (PyContext_Exit(context) < 0)
            Py_CLEAR(result);
        return result != NULL ? result : greenroom_keep_error();
    }

    /* generator.send(value) in context. Returns what it yields; at its end greenroom_returned is
     * set, and what it returns comes back. What it raises is kept in greenroom_raised. */
    static PyObject *greenroom_send_in(PyObject *context, PyObject *generator, PyObject *value)
    {
        PyObject *result = NULL;
        PySendResult sent = PYGEN_ERROR;
        if (PyContext_Enter(context) == 0) {
            sent = PyIter_Send(generator, value, &result);
            if (PyContext_Exit(context) < 0)
                Py_CLEAR(result);
        }
        if (result == NULL) {
            result = greenroom_keep_error();
            sent = PYGEN_RETURN;
        }
        greenroom_returned = sent == PYGEN_RETURN;
        return result;
    }

    static PyObject *greenroom_take_error(void)
    {
        PyObject *error = greenroom_raised;
        if (error == NULL)
            Py_RETURN_NONE;
        greenroom_raised = NULL;
        return error;
    }

    static int greenroom_is_finalizing(void)
    {
    #if PY_VERSION_HEX >= 0x030D0000
        return Py_IsFinalizing();
    #else
        return _Py_IsFinalizing();
    #endif
    }

    /* CPython 3.15 ends each thread's chain of frames in a base frame, and a profiler of another
     * process (profiling.sampling) throws a sample away that does not end there. A greenlet begins
     * with no frame at all: give it the thread's base frame, which no Python code can see.
     * Public fields (cpython/pystate.h). Later versions may differ: they are left alone. */
    static void greenroom_link_frames(void)
    {
    #if PY_VERSION_HEX >= 0x030F0000 && PY_VERSION_HEX < 0x03100000
        PyThreadState *thread = PyThreadState_GetUnchecked();
        if (thread->current_frame == NULL)
            thread->current_frame = thread->base_frame;
    #endif
    }

    /* A suspended greenlet is never garbage: its own C stack refers to it. On a free-threaded build
     * its frames have references that are not counted, and the collector must ask it for them. */
    static void greenroom_track_greenlet(PyObject *greenlet, int tracked)
    {
    #ifndef Py_GIL_DISABLED
        if (tracked)
            PyObject_GC_Track(greenlet);
        else
            PyObject_GC_UnTrack(greenlet);
    #endif
    }

    static PyObject *greenroom_function_name(PyObject *fn)
    {
        PyObject *name = ((PyFunctionObject *)fn)->func_name;
        Py_INCREF(name);
        return name;
    }
    """
    PyObject *greenroom_thread_scheduler
    PyObject *greenroom_raised
    int greenroom_returned
    double greenroom_monotonic() noexcept
    object greenroom_call_in(object context, object fn, object args)
    object greenroom_call_in_free(object context, object fn, object args)
    object greenroom_send_in(object context, object generator, object value)
    object greenroom_take_error()
    bint greenroom_is_finalizing() noexcept
    void greenroom_link_frames() noexcept
    void greenroom_track_greenlet(object greenlet, int tracked)
    object PyContext_CopyCurrent()
    int PyErr_CheckSignals() except -1
    void PyObject_GC_UnTrack(void *thing)
    void PyObject_GC_Track(void *thing)
    bint PyObject_GC_IsTracked(object thing)
    bint PyFunction_Check(object thing)
    bint PyMethod_Check(object thing)
    bint PyCoro_CheckExact(object thing)
    PyObject *PyMethod_GET_FUNCTION(object method)
    PyObject *PyMethod_GET_SELF(object method)
    object greenroom_function_name(object fn)


PyGreenlet_Import()


cdef object current_greenlet():
    """Return the greenlet that runs now, a raw one of the user's included."""
    return PyGreenlet_GetCurrent()


cdef int switch(object target) except -1:
    """Run target until something switches back here. Values travel in the task, not here."""
    PyGreenlet_Switch(<greenlet>target, NULL, NULL)
    return 0


cdef void link_frames() noexcept:
    """Let the frames of the current greenlet, which has none yet, end as a thread's do."""
    greenroom_link_frames()


cdef double monotonic() noexcept:
    """Return CLOCK_MONOTONIC in seconds (clock_gettime(2))."""
    return greenroom_monotonic()


cdef object copy_context():
    """Return a copy of the current contextvars context."""
    return PyContext_CopyCurrent()


cdef bint is_finalizing() noexcept:
    """Tell whether the interpreter is being shut down: no other thread or task runs any more."""
    return greenroom_is_finalizing()


cdef object call_in_context(object context, object fn, object args):
    """Return fn(*args), called in context. What it raises is left for take_error()."""
    return greenroom_call_in(context, fn, args)


cdef object call_in_free_context(object context, object fn, object args):
    """As call_in_context(), in a copy of context if code that parked is inside it."""
    return greenroom_call_in_free(context, fn, args)


cdef bint is_coroutine(object thing) noexcept:
    """Return whether thing is what calling an `async def` makes."""
    return PyCoro_CheckExact(thing)


cdef object send_in_context(object context, object generator, object value):
    """Return what generator.send(value) yields, or at its end returns: has_returned() tells.

    What it raises is left for take_error(), and counts as its end.
    """
    return greenroom_send_in(context, generator, value)


cdef object throw_in_context(object context, object generator, object error):
    """As send_in_context(), with generator.throw(error)."""
    global greenroom_raised, greenroom_returned
    cdef PyObject *before
    result = failure = None
    cdef bint ended = True
    try:
        result = context.run(generator.throw, error)
        ended = False
    except StopIteration as stop:
        result = stop.value
    except BaseException as found:
        failure = found
    greenroom_returned = ended
    if failure is not None:
        Py_INCREF(failure)
        before = greenroom_raised
        greenroom_raised = <PyObject *>failure
        Py_XDECREF(before)
    return result


cdef bint has_returned() noexcept:
    """Tell whether the generator of the send_in_context() before has come to its end."""
    return greenroom_returned


cdef object take_error():
    """Return what the call before raised, or None."""
    return greenroom_take_error()


cdef untrack(object thing):
    """Let the garbage collector not visit thing. What it refers to counts as reachable then."""
    PyObject_GC_UnTrack(<void *>thing)


cdef track(object thing):
    """Let the garbage collector visit thing again."""
    if not PyObject_GC_IsTracked(thing):
        PyObject_GC_Track(<void *>thing)


cdef untrack_greenlet(object greenlet):
    """untrack() for a greenlet that has begun, and refers to itself by what it runs."""
    greenroom_track_greenlet(greenlet, False)


cdef track_greenlet(object greenlet):
    """Undo untrack_greenlet(), at the end of what the greenlet runs."""
    # Not by track(): greenlets that have begun say that they are no concern of the collector's.
    greenroom_track_greenlet(greenlet, True)


cdef object name_of(object fn):
    """Return fn.__name__ if it has one, else its type's. Raises nothing, whatever fn is."""
    if PyFunction_Check(fn):
        return greenroom_function_name(fn)
    if type(fn) is str:
        return fn
    try:
        return str(fn.__name__)
    except BaseException:
        return type(fn).__name__


cdef object function_of(object thing):
    """Return the function of a bound method; of anything else its type."""
    if PyMethod_Check(thing):
        return <object>PyMethod_GET_FUNCTION(thing)
    return type(thing)


cdef object owner_of(object thing):
    """Return the object that a bound method is bound to; of anything else the thing itself."""
    if PyMethod_Check(thing):
        return <object>PyMethod_GET_SELF(thing)
    return thing


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


cdef bint drain(int fd) noexcept:
    """Empty the wake-up pipe; return True if a byte other than 0, a signal's number, was in it.

    In C, because Python code would run pending signal handlers, here between two tasks.
    """
    cdef char data[256]
    cdef Py_ssize_t size, index
    cdef bint signalled = False
    while True:
        size = read(fd, data, sizeof(data))
        for index in range(size):
            signalled = signalled or data[index] != 0
        if size < <Py_ssize_t>sizeof(data):
            return signalled


def check_signals():
    """Run the Python signal handlers that are pending; raise what they raise."""
    PyErr_CheckSignals()


cpdef bint compiled():
    return True
