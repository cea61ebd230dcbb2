"""The contract of a poller: what the scheduler asks, what a backend answers.    layer: core

The scheduler owns one poller and calls, from its own thread only:

  state(fd)                 the FdState of fd, made on first use
  arm(state, write, level)  called before a task parks on state.readers or state.writers
  watches(state)            is the fd still the file that was registered?
  drop(fd)                  fd is about to be closed, or its number belongs to a new file: forget it
  poll(timeout)             take what happened, waiting at most timeout seconds (FOREVER: no limit)

poll() calls fired() for each fd: it sets `readable`/`writable` and moves every task that waits in
that direction to `woken`, from where the scheduler makes them ready. All of them: an event may
stand for several connections or messages, and who finds nothing left just parks again.

Two protocols of waiting:
  edge   the caller has just seen EAGAIN, wrote False to readable (or writable), then parks.
         Whatever happens after the EAGAIN is reported. This is what greenroom's own sockets use.
  level  the caller knows nothing (a C library used the fd behind our back): the fd is looked at
         again, so that one which is ready already wakes the task at once.

readable = False after a short read of a TCP stream saves the read that would say EAGAIN, unless
`exact` is False: after a hang-up, an error or urgent data nothing new may be reported, so from then
on only EAGAIN is believed.

wake_fd is a non-blocking pipe's read end, watched beside all others; poll() sets wake_seen when
something arrived and leaves reading it to the scheduler.

A closed fd's number is given out again at once. So a number has a new FdState, with a new
generation, in each of its lives, and an event carries the generation it was registered with.
"""

from greenroom.core.waitqueue import WaitQueue


class FdState:
    """What a poller knows of one life of one fd number."""

    fd: int
    generation: int
    registered: bool
    readable: bool
    writable: bool
    exact: bool
    readers: WaitQueue
    writers: WaitQueue
    interest: int

    def __init__(self, fd: int, generation: int) -> None:
        self.fd = fd
        self.generation = generation
        self.registered = False
        self.readable = True  # unknown, so try first
        self.writable = True
        self.exact = True
        self.readers = WaitQueue()
        self.writers = WaitQueue()
        # For backends that ask the kernel for one direction at a time; -1: both at once, for good.
        self.interest = 0

    @property
    def wait_reason(self) -> str:
        """What a task that waits here waits for."""
        ways = [way for way, queue in (("read", self.readers), ("write", self.writers)) if queue]
        return f"fd {self.fd} to {' or '.join(ways) or 'be used'}"

    def __repr__(self) -> str:
        return f"<FdState fd={self.fd} readers={len(self.readers)} writers={len(self.writers)}>"


class Poller:
    """The part that all backends share."""

    states: "list[FdState | None]"
    generation: int
    woken: WaitQueue
    wake_fd: int
    wake_seen: bool

    def __init__(self, wake_fd: int) -> None:
        self.states = []
        self.generation = 0
        self.woken = WaitQueue()
        self.wake_fd = wake_fd
        self.wake_seen = False

    def state(self, fd: int) -> FdState:
        """Return the FdState of fd, made on first use."""
        if fd < 0:
            raise ValueError(f"cannot wait on fd {fd}: a file descriptor is 0 or more")
        if fd < len(self.states):
            state = self.states[fd]
            if state is not None:
                return state
        else:
            self.states.extend([None] * (fd + 64 - len(self.states)))
        self.generation += 1
        state = FdState(fd, self.generation)
        self.states[fd] = state
        return state

    def known(self, fd: int) -> "FdState | None":
        """Return the FdState of fd if it has one."""
        if 0 <= fd < len(self.states):
            return self.states[fd]
        return None

    def drop(self, fd: int) -> "FdState | None":
        """Forget fd; return the state it had, whose waiters the caller wakes."""
        state = self.known(fd)
        if state is not None:
            self.states[fd] = None
            if state.registered:
                self.unregister(state)
        return state

    def fired(self, state: FdState, read: bool, write: bool, exact: bool) -> None:
        """Note what happened to an fd and move those who wait for it to woken."""
        if not exact:
            state.exact = False
        if read:
            state.readable = True
            while (waiter := state.readers.popleft()) is not None:
                self.woken.append(waiter)
        if write:
            state.writable = True
            while (waiter := state.writers.popleft()) is not None:
                self.woken.append(waiter)

    # --- the backend's part

    def arm(self, state: FdState, write: bool, level: bool) -> None:
        """See to it that fired() is called when the fd is ready in that direction."""
        raise NotImplementedError

    def watches(self, state: FdState) -> bool:
        """Tell whether the fd is still the file that is watched for state.

        False: it was closed by who did not say so, and the number may have been given out again.
        """
        raise NotImplementedError

    def unregister(self, state: FdState) -> None:
        """Stop watching the fd. It is still open."""
        raise NotImplementedError

    def poll(self, timeout: float) -> int:
        """Call fired() for what happened; return 1 if a signal cut the wait short, else 0."""
        raise NotImplementedError

    def close(self) -> None:
        """Give back what the backend holds of the kernel."""
        raise NotImplementedError
