cimport cython

from greenroom.core cimport operation as _operation
from greenroom.core cimport scheduler as _scheduler
from greenroom.core.operation cimport Operation
from greenroom.core.scheduler cimport Scheduler
from greenroom.core.task cimport Task
from greenroom.core.waitqueue cimport Case, Waiter, WaitQueue


cdef double FOREVER
cdef object _NOTHING, _SENT, _OVER
cdef Py_ssize_t _LARGEST


@cython.final
cdef class Channel:
    cdef Py_ssize_t limit
    cdef object items
    cdef WaitQueue senders
    cdef WaitQueue receivers
    cdef Py_ssize_t sender_ends
    cdef Py_ssize_t receiver_ends
    cdef bint no_more
    cdef bint unheard
    cdef object __weakref__

    @cython.locals(receiver=Waiter)
    cdef bint offer(self, object item, object end) except -1
    @cython.locals(sender=Waiter)
    cdef object grab(self, object end)
    cdef bint offer_or_enlist(self, Scheduler scheduler, object item, object end) except -1
    cdef object grab_or_enlist(self, Scheduler scheduler, object end)
    @cython.locals(scheduler=Scheduler, task=Task)
    cdef send_from(self, object item, object end)
    @cython.locals(scheduler=Scheduler, task=Task)
    cdef object receive_for(self, object end)
    cdef send_at_once(self, object item, object end)
    cdef object receive_at_once(self, object end)
    cdef object refusal(self, object end)
    cdef object over(self, object end)
    @cython.locals(waiters=WaitQueue)
    cdef finish(self)
    cdef abandon(self)
    @cython.locals(waiter=Waiter)
    cdef fail_waiters_of(self, object end, WaitQueue waiters)
    cpdef send(self, object item)
    cpdef object receive(self)
    cpdef send_nowait(self, object item)
    cpdef object receive_nowait(self)
    cpdef close(self)


@cython.final
cdef class Sender:
    cdef Channel target
    cdef readonly bint closed
    cdef object __weakref__


@cython.final
cdef class Receiver:
    cdef Channel source
    cdef readonly bint closed
    cdef object __weakref__

    cpdef object receive(self)


cdef object _end_of(Waiter waiter)
@cython.locals(waiter=Waiter)
cdef bint meets_another(WaitQueue waiters, object task) except -1


cdef class ChannelSend(Operation):
    cdef Channel target
    cdef object item
    cdef object end

    @cython.locals(made=ChannelSend, sender=Sender)
    cpdef Operation of(self, object owner, tuple args)
    @cython.locals(target=Channel)
    cpdef bint enlist(self) except -1


cdef class ChannelReceive(Operation):
    cdef Channel source
    cdef object end

    @cython.locals(made=ChannelReceive, receiver=Receiver)
    cpdef Operation of(self, object owner, tuple args)
    @cython.locals(source=Channel)
    cpdef bint enlist(self) except -1
