"""Every setting and constant, once, with its unit and why it has this value.   layer: _config

The environment is read when greenroom is imported; a bad value is an error then, in one sentence.
"""

import os
import sys


def _env_int(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    if not text:
        return default
    try:
        return int(text)
    except ValueError:
        raise ValueError(
            f"{name}={text!r}: expected a whole number; unset it for the default, {default}"
        ) from None


def _env_choice(name: str, choices: tuple[str, ...]) -> str:
    text = os.environ.get(name, "") or choices[0]
    if text not in choices:
        raise ValueError(f"{name}={text!r}: expected one of {', '.join(choices)}")
    return text


# A build of Python that can run without the GIL, be the GIL on or off.
FREE_THREADED = "t" in sys.abiflags

# GREENROOM_DEBUG=1: check the scheduler's invariants at each switch (slow: O(tasks) a switch).
DEBUG = bool(_env_int("GREENROOM_DEBUG", 0))

# GREENROOM_POLLER: "auto" is epoll where compiled, else "selectors", the plain one of the standard
# library, which the tests use as an oracle.
POLLER = _env_choice("GREENROOM_POLLER", ("auto", "epoll", "selectors"))

# GREENROOM_ARENA=0: leave the interpreter's arena allocator alone (a greenlet costs 8 us more).
ARENA = bool(_env_int("GREENROOM_ARENA", 1))

# Threads for disks and other calls that cannot park but end by themselves. libuv's default is 4;
# most of them wait rather than compute, so a few more cost nothing.
OFFLOAD_THREADS = _env_int("GREENROOM_OFFLOAD_THREADS", 10)

# Threads for name look-ups, which wait for a server.
RESOLVER_THREADS = _env_int("GREENROOM_RESOLVER_THREADS", 10)

# Seconds after which an idle thread of the pool without a bound ends: longer than from one child to
# the next, short enough that a burst does not keep its stacks.
OFFLOAD_IDLE = 10.0

# Seconds between two looks, from a real thread that waits for a task, at whether the scheduler's
# thread is still there. That it has ended is a mistake, so how soon it is said matters little.
FROM_THREAD_PAUSE = 0.25

# Seconds between two looks at a semaphore that other processes hold too: at first, and at most. A
# lock is held for less than the first as a rule; the last costs a waiting process 1 % of a core.
SEMAPHORE_PAUSES = (0.001, 0.01)

# Seconds that main waits in the kernel for a semaphore, with no other task there, before it looks
# for what a signal handler may have left.
SEMAPHORE_SLICE = 0.25

# The same two for sigwait() where signalfd(2) cannot be had.
SIGNAL_PAUSES = (0.001, 0.01)

# Switches between two looks at timers and I/O while tasks are ready (Go: 61 between looks at its
# global queue). 64 keeps the look under 2 % of the cost of a switch.
POLL_INTERVAL = 64

# Operations on sockets that succeed at once before the task must let others run.
IO_BUDGET = 64

# Seconds to wait before a deadlock is reported: a thread that was just started is not counted yet.
# And how often to wait again while there are such threads: on a busy machine they begin late.
DEADLOCK_PAUSE = 0.05
DEADLOCK_PAUSES = 100

# Carriers kept for reuse when no task needs them. One costs about 6 KB, making one about 1 us.
IDLE_CARRIERS = 1024

# Bytes of the buffer that every recv of a scheduler reads into. A copy of what came is cheaper than
# allocating and shrinking the whole size asked for (0.85 of the CPU on 64 B echo).
SCRATCH_BYTES = 256 * 1024

# Events taken from the kernel in one look. 12 B each.
EVENTS_PER_POLL = 1024

# Seconds accept waits after EMFILE or ENFILE, when no fd is left (libev and Twisted: 1 s or less).
ACCEPT_BACKOFF = 0.1

# Seconds in which a database must have cancelled a query that was cut short; then the connection is
# closed. psycopg gives it as long on Ctrl-C.
DRIVER_CANCEL_SECONDS = 5.0

# Seconds in which a worker process must have loaded its application.
WORKER_START_SECONDS = 120.0

# Seconds until a worker is started again that has crashed again: at first, then twice as long each
# time, and at most. The first crash is answered at once; connections wait in the queue meanwhile.
WORKER_BACKOFF = (0.5, 15.0)

# Seconds after which a worker's crash is no longer one in a row.
WORKER_STABLE_SECONDS = 60.0

# Seconds a hanging worker has to say where it hangs, before it is killed.
WORKER_DUMP_SECONDS = 2.0

# Seconds a worker may take to end after its grace is over, before it is killed.
WORKER_KILL_MARGIN = 5.0
