"""The supervisor: keeps worker processes alive around sockets that it owns.       layer: servers

                 supervisor (plain Python, one thread, poll(2))
                 keeps fd 3, fd 4: their queues outlive any worker
                   │ pipe, signals            │ pipe, signals
            ┌──────┴───────┐           ┌──────┴───────┐
            │ worker 1     │           │ worker 2     │      fork + exec, each
            │ accepts fd 3 │           │ accepts fd 4 │      with its sockets
            └──────▲───────┘           └──────▲───────┘
                   └── the kernel spreads connections: SO_REUSEPORT

- The kernel gives each new connection to one of the sockets bound with SO_REUSEPORT, and there it
  waits. Closing the last fd of the socket resets what waits. So the supervisor keeps an fd of each,
  and a worker's crash or replacement loses no connection that was not accepted.
  (One socket polled by all workers gave 397, 3, 0 and 0 connections to four of them.)
- A worker is a new process image (posix_spawn), not a fork: nothing of this process, no lock and no
  thread, lives on in it. No green thread and no OS thread is started here; the watcher of files,
  which needs a thread, is a process of its own.
- A replacement accepts from the same socket as the one it replaces, and is ready before that one is
  told to leave. Nobody is refused meanwhile.
- The program may be patched: then `os`, `signal` and `select` are green, and would run a scheduler
  here. Everything is called where it was before (posix, _signal, _originals).
- Worker and supervisor talk through a socketpair, in lines (servers/worker.py). Its end tells a
  worker that the supervisor has died, however that happened.
- What a worker has sent is read before its silence is judged: if it was this process that slept
  (SIGSTOP, a suspended machine), nobody is taken for hanging.
"""

from __future__ import annotations

import _signal
import _socket
import json
import os
import posix
import select
from time import monotonic

from greenroom import _config, _originals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# The environment variable by which a process learns that it is a worker: JSON, see _spawn().
ROLE = "GREENROOM_WORKER"

_SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP", "SIGCHLD", "SIGUSR1")

_poll = _originals.select_poll
_read, _write, _close = _originals.os_read, _originals.os_write, _originals.os_close
_POLLIN = select.POLLIN
_NEVER = float("inf")


def say(text: str) -> None:
    """Write a line to standard error, now; a log that cannot be written stops nobody."""
    try:
        _write(2, f"greenroom: {text}\n".encode("utf-8", "backslashreplace"))
    except OSError:
        pass


def describe_exit(status: int) -> str:
    """Return what a status of waitpid(2) means: "exit status 3", "killed by SIGSEGV"."""
    if posix.WIFSIGNALED(status):
        number = posix.WTERMSIG(status)
        core = ", core dumped" if posix.WCOREDUMP(status) else ""
        return f"killed by {_signal_name(number)}{core}"
    return f"exit status {posix.WEXITSTATUS(status)}"


def _signal_name(number: int) -> str:
    for name in dir(_signal):
        if name.startswith("SIG") and "_" not in name and getattr(_signal, name) == number:
            return name
    return f"signal {number}"


class Worker:
    """A worker process, as the supervisor sees it.

    state     "starting", "serving", "leaving" (told to end), "dumping" (hangs; tells where)
    heard     when it was last heard of, on monotonic()
    deadline  when it must have got on: be ready, have ended, have told where it hangs
    left      requests it still had when it last said so
    """

    def __init__(self, slot: Slot, pid: int, pipe: Any, now: float) -> None:
        self.slot = slot
        self.pid = pid
        self.pipe = pipe
        self.state = "starting"
        self.since = self.heard = now
        self.deadline = now + _config.WORKER_START_SECONDS
        self.left = -1
        self.told = 0.0
        self.data = b""
        self.retires = False
        self.was_ready = False

    def due(self, timeout: float) -> float:
        """Return when the supervisor must do something about it, if nothing is heard before."""
        if self.state in ("serving", "leaving") and self.was_ready:
            return min(self.deadline, self.heard + timeout)
        return self.deadline

    def __str__(self) -> str:
        return f"worker {self.slot.number} (pid {self.pid})"


class Slot:
    """The place of one worker: its sockets, who serves them, and who is to come.

    fds         its listening sockets, one for each address
    failures    how often in a row a worker has ended too soon
    restart_at  when the next is started; None: not needed, or not before something changes
    """

    def __init__(self, number: int, fds: list[int]) -> None:
        self.number = number
        self.fds = fds
        self.current: Worker | None = None
        self.coming: Worker | None = None
        self.failures = 0
        self.restart_at: float | None = None


class Supervisor:
    """Runs one worker for each list of listening sockets, until it is told to stop.

    sockets   list of lists of fds: the i-th list is worker i's; they stay open here
    command   argv of a worker, the path of the program first
    grace     seconds a worker may take to finish its requests, None for ever
    timeout   seconds without a sign of life after which a worker is dumped and replaced
    watcher   argv of a process that writes a line for each changed file; then a worker that does
              not start is no reason to stop, and a change replaces all workers
    started   called once when all workers are ready: says where they listen
    stopping  called when no further connection is wanted: closes the sockets

    Signals: SIGTERM and SIGINT drain and end, a second one kills; SIGHUP replaces the workers one
    by one; SIGUSR1 is passed on: they open their access log again.
    """

    def __init__(
        self,
        sockets: list[list[int]],
        command: list[str],
        *,
        grace: float | None = 30.0,
        timeout: float = 30.0,
        watcher: list[str] | None = None,
        started: Callable[[], object] | None = None,
        stopping: Callable[[], object] | None = None,
    ) -> None:
        if not timeout > 0:
            raise ValueError(f"timeout={timeout!r}: the seconds must be more than 0")
        self.slots = [Slot(index + 1, fds) for index, fds in enumerate(sockets)]
        self.command = command
        self.grace = grace
        self.timeout = timeout
        self.watcher = watcher
        self.status = 0
        self._started = started
        self._stopping = stopping
        self._workers: dict[int, Worker] = {}  # by pid: all that have not been waited for
        self._booted = False
        self._reloads: list[Slot] = []
        self._reloading: Slot | None = None
        self._stops = False
        self._shown = 0.0
        self._watch_pid = 0
        self._watch_fd = -1
        self._watch_data = b""
        self._poller = _poll()
        self._pipes: dict[int, Worker] = {}

    # --- the loop

    def run(self) -> int:
        """Start the workers and look after them. Returns the exit status of the whole.

        0 after an orderly stop; 1 if workers did not start, or some had to be killed.
        """
        self._wake_read, self._wake_write = posix.pipe2(posix.O_NONBLOCK | posix.O_CLOEXEC)
        handlers = self._take_signals()
        self._poller.register(self._wake_read, _POLLIN)
        try:
            if self.watcher is not None:
                self._start_watcher()
            now = monotonic()
            for slot in self.slots:
                if not self._stops:
                    self._start(slot, now)
            while self._workers or not self._stops:
                self._turn()
        finally:
            self._kill_all()
            self._give_signals(handlers)
            _close(self._wake_read)
            _close(self._wake_write)
        return self.status

    def _turn(self) -> None:
        """Wait for the next event, and act on everything there is."""
        events = self._poller.poll(self._patience())
        signalled = False
        for fd, _ in events:
            if fd == self._wake_read:
                signalled = True
            elif fd == self._watch_fd:
                self._files_changed()
            elif fd in self._pipes:
                self._listen(self._pipes[fd])
        if signalled:
            for number in self._take_numbers():
                self._on_signal(number)
        # A pipe that ends comes before its process can be waited for: SIGCHLD brings us here again.
        self._reap()
        now = monotonic()
        for worker in list(self._workers.values()):
            if worker.due(self.timeout) <= now:
                self._overdue(worker, now)
        if not self._stops:
            for slot in self.slots:
                if slot.restart_at is not None and slot.restart_at <= now:
                    self._start(slot, now)
            self._go_on_reloading(now)
        elif self._workers:
            self._show_progress(now)

    def _patience(self) -> int | None:
        """Return the milliseconds to the next thing to do, None for no such thing."""
        soonest = min((w.due(self.timeout) for w in self._workers.values()), default=_NEVER)
        if not self._stops:
            for slot in self.slots:
                if slot.restart_at is not None:
                    soonest = min(soonest, slot.restart_at)
        if soonest == _NEVER:
            return None
        return max(0, min(int((soonest - monotonic()) * 1000) + 1, 2**30))

    # --- signals

    def _take_signals(self) -> list[tuple[int, Any]]:
        before = []
        for name in _SIGNALS:
            number = getattr(_signal, name)
            handler = _signal.getsignal(number)
            if name == "SIGHUP" and handler == _signal.SIG_IGN:
                continue  # nohup
            before.append((number, handler))
            _signal.signal(number, _no_handler)
        self._wakeup_before = _signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        return before

    def _give_signals(self, before: list[tuple[int, Any]]) -> None:
        for number, handler in before:
            _signal.signal(number, _signal.SIG_DFL if handler is None else handler)
        _signal.set_wakeup_fd(self._wakeup_before, warn_on_full_buffer=False)

    def _take_numbers(self) -> bytes:
        try:
            return _read(self._wake_read, 4096)
        except BlockingIOError:
            return b""

    def _on_signal(self, number: int) -> None:
        if number in (_signal.SIGTERM, _signal.SIGINT):
            if self._stops:
                say(f"{_signal_name(number)} again: killing the workers that are left")
                self.status = 1
                self._kill_all()
            else:
                say(f"{_signal_name(number)}: draining; a second one kills")
                self._stop()
        elif number == _signal.SIGHUP and not self._stops:
            self._reload("SIGHUP")
        elif number == _signal.SIGUSR1:
            for worker in self._workers.values():
                if worker.state in ("serving", "leaving"):
                    self._signal(worker, number)

    # --- starting

    def _start(self, slot: Slot, now: float) -> None:
        """Start a worker for the slot: its first, or one to replace what there is."""
        slot.restart_at = None
        try:
            worker = self._spawn(slot, now)
        except OSError as error:
            say(f"cannot start worker {slot.number}: {error}")
            self._did_not_start(slot, now)
            return
        if slot.current is None:
            slot.current = worker
        else:
            slot.coming = worker

    def _spawn(self, slot: Slot, now: float) -> Worker:
        ours, theirs = _socket.socketpair()
        try:
            ours.setblocking(False)
            role = {
                "supervisor": posix.getpid(),
                "number": slot.number,
                "workers": len(self.slots),
                "sockets": slot.fds,
                "pipe": theirs.fileno(),
                "beat": min(1.0, self.timeout / 4),
            }
            env = dict(os.environb)
            env[ROLE.encode()] = json.dumps(role).encode()
            # dup2 onto itself takes close-on-exec away, in the child alone.
            passed = [*slot.fds, theirs.fileno()]
            actions = [(posix.POSIX_SPAWN_DUP2, fd, fd) for fd in passed]
            # Ctrl-C reaches the whole process group. A worker hears of it from here; until it can
            # say so itself, the two wait.
            mask = set(_signal.pthread_sigmask(_signal.SIG_BLOCK, []))
            pid = posix.posix_spawn(
                self.command[0],
                self.command,
                env,
                file_actions=actions,
                setsigmask=mask | {_signal.SIGINT, _signal.SIGHUP},
                setsigdef=[_signal.SIGPIPE, _signal.SIGXFSZ],  # Python ignores them; as subprocess
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        worker = Worker(slot, pid, ours, now)
        self._workers[pid] = worker
        self._pipes[ours.fileno()] = worker
        self._poller.register(ours.fileno(), _POLLIN)
        return worker

    def _did_not_start(self, slot: Slot, now: float) -> None:
        """A worker has ended before it was ready, or could not be started at all."""
        if slot is self._reloading or slot in self._reloads:
            self._reloading = None
            self._reloads = []
        if slot.current is not None:
            if slot.current.retires:
                self._back_off(slot, now)
            say(f"{slot.current} serves on in the place of what did not start")
        elif self.watcher is not None:
            say(f"worker {slot.number} did not start; waiting for a file to change")
        elif not self._booted:
            say(f"worker {slot.number} did not start; its message is above. Stopping")
            self.status = 1
            self._stop()
        else:
            self._back_off(slot, now)

    def _back_off(self, slot: Slot, now: float) -> None:
        delay = 0.0
        if slot.failures:
            first, most = _config.WORKER_BACKOFF
            delay = min(most, first * 2.0 ** (slot.failures - 1))
            say(f"worker {slot.number} is started again in {delay:g} s")
        slot.failures += 1
        slot.restart_at = now + delay

    # --- what workers say

    def _listen(self, worker: Worker) -> None:
        """Read what a worker has sent."""
        try:
            data = worker.pipe.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._forget_pipe(worker)
            return
        lines = (worker.data + data).split(b"\n")
        worker.data = lines.pop()
        now = monotonic()
        worker.heard = now
        for line in lines:
            word, _, rest = line.partition(b" ")
            if word == b"ready":
                self._on_ready(worker, now)
            elif word == b"left":
                worker.left = int(rest)
            elif word == b"retire":
                self._on_retire(worker, now)
            elif word == b"dumped" and worker.state == "dumping":
                worker.deadline = now

    def _forget_pipe(self, worker: Worker) -> None:
        if worker.pipe.fileno() >= 0:
            self._poller.unregister(worker.pipe.fileno())
            del self._pipes[worker.pipe.fileno()]
            worker.pipe.close()

    def _on_ready(self, worker: Worker, now: float) -> None:
        if worker.state != "starting":
            return
        slot = worker.slot
        worker.state = "serving"
        worker.was_ready = True
        worker.deadline = _NEVER
        worker.since = now
        say(f"{worker} is ready")
        if slot.coming is worker:
            former, slot.current, slot.coming = slot.current, worker, None
            if former is not None:
                self._dismiss(former, now)
        if not self._booted and all(s.current and s.current.state == "serving" for s in self.slots):
            self._booted = True
            if self._started is not None:
                self._started()

    def _on_retire(self, worker: Worker, now: float) -> None:
        """A worker has served as many requests as it should: replace it."""
        slot = worker.slot
        worker.retires = True
        if worker.state == "serving" and slot.current is worker and slot.coming is None:
            say(f"{worker} has served its number of requests; replacing it")
            self._start(slot, now)

    # --- ending workers

    def _dismiss(self, worker: Worker, now: float) -> None:
        """Tell a worker to finish its requests and end."""
        if worker.state == "dumping":
            return
        worker.state = "leaving"
        worker.left = -1
        if self.grace is None:
            worker.deadline = _NEVER
        else:
            worker.deadline = now + self.grace + _config.WORKER_KILL_MARGIN
        self._signal(worker, _signal.SIGTERM)

    def _signal(self, worker: Worker, number: int) -> None:
        """Send a signal. The pid is the worker's: it has not been waited for."""
        posix.kill(worker.pid, number)

    def _overdue(self, worker: Worker, now: float) -> None:
        """A worker's deadline has come."""
        quiet = now - worker.heard
        if worker.state in ("serving", "leaving") and now < worker.deadline:
            say(f"{worker} hangs: no sign of life for {quiet:.1f} s. What it does:")
            self._dump(worker, now)
        elif worker.state == "starting":
            say(f"{worker} is not ready after {now - worker.since:.0f} s. What it does:")
            self._dump(worker, now)
        else:
            if worker.state == "leaving":
                say(f"{worker} has not ended in time; killing it")
                if self._stops:
                    self.status = 1
            worker.state = "dumping"
            worker.deadline = _NEVER
            self._signal(worker, _signal.SIGKILL)

    def _dump(self, worker: Worker, now: float) -> None:
        worker.state = "dumping"
        worker.deadline = now + _config.WORKER_DUMP_SECONDS
        self._signal(worker, _signal.SIGQUIT)

    def _reap(self) -> None:
        """Wait for the workers that have ended, and replace them."""
        for worker in list(self._workers.values()):
            try:
                pid, status = posix.waitpid(worker.pid, posix.WNOHANG)
            except ChildProcessError:  # somebody else's handler of SIGCHLD has taken it
                pid, status = worker.pid, 0
            if pid:
                if worker.pipe.fileno() >= 0:
                    self._listen(worker)
                self._forget_pipe(worker)
                del self._workers[pid]
                self._on_end(worker, status, monotonic())
        if self._watch_pid:
            pid, status = posix.waitpid(self._watch_pid, posix.WNOHANG)
            if pid:
                self._watch_pid = 0
                if not self._stops:
                    say(f"the watcher of files has ended: {describe_exit(status)}")

    def _on_end(self, worker: Worker, status: int, now: float) -> None:
        slot = worker.slot
        how = describe_exit(status)
        orderly = worker.state == "leaving" and status == 0
        say(f"{worker} has ended" if orderly else f"{worker} has ended: {how}")
        was_current = slot.current is worker
        if was_current:
            slot.current = None
        if slot.coming is worker:
            slot.coming = None
        if self._stops:
            return
        if was_current and slot.coming is not None:
            slot.current, slot.coming = slot.coming, None  # it is on its way already
        elif not worker.was_ready and worker.state != "leaving":
            self._did_not_start(slot, now)
        elif was_current:
            if now - worker.since > _config.WORKER_STABLE_SECONDS:
                slot.failures = 0
            self._back_off(slot, now)

    # --- replacing

    def _reload(self, why: str) -> None:
        say(f"{why}: replacing the workers one by one")
        self._reloads = list(self.slots)
        for slot in self.slots:
            slot.failures = 0

    def _go_on_reloading(self, now: float) -> None:
        """Start the next replacement when the last one is ready."""
        slot = self._reloading
        if slot is not None:
            worker = slot.coming or slot.current
            if worker is not None and worker.state == "starting":
                return
            self._reloading = None
        if not self._reloads:
            return
        slot = self._reloads[0]
        if slot.coming is not None:  # another one's replacement, begun before: it may be old code
            return
        del self._reloads[0]
        self._reloading = slot
        if slot.current is not None and slot.current.state == "starting":
            self._signal(slot.current, _signal.SIGKILL)
            slot.current.state = "leaving"
            slot.current = None
        self._start(slot, now)

    # --- stopping

    def _stop(self) -> None:
        """Tell all workers to finish."""
        self._stops = True
        self._reloads = []
        self._stop_watcher()
        if self._stopping is not None:
            self._stopping()
        now = monotonic()
        self._shown = now
        for worker in self._workers.values():
            if worker.state != "leaving":
                self._dismiss(worker, now)

    def _show_progress(self, now: float) -> None:
        """Say who still has something to do, about once a second."""
        for worker in self._workers.values():
            if worker.left > 0 and now - worker.told >= 1.0:
                worker.told = now
                noun = "request" if worker.left == 1 else "requests"
                say(f"draining: worker {worker.slot.number} has {worker.left} {noun} left")

    def _kill_all(self) -> None:
        """Kill what is left and wait for it: no process outlives this one."""
        self._stop_watcher()
        for worker in self._workers.values():
            self._signal(worker, _signal.SIGKILL)
        for worker in self._workers.values():
            try:
                posix.waitpid(worker.pid, 0)
            except ChildProcessError:
                pass
            self._forget_pipe(worker)
        self._workers.clear()

    # --- the watcher of files

    def _start_watcher(self) -> None:
        assert self.watcher is not None
        read, write = posix.pipe2(posix.O_CLOEXEC)
        try:
            self._watch_pid = posix.posix_spawn(
                self.watcher[0],
                self.watcher,
                dict(os.environb),
                file_actions=[(posix.POSIX_SPAWN_DUP2, write, 1)],
                setsigmask=[_signal.SIGINT, _signal.SIGHUP],
            )
        finally:
            _close(write)
        self._watch_fd = read
        self._poller.register(read, _POLLIN)

    def _stop_watcher(self) -> None:
        if self._watch_fd >= 0:
            self._poller.unregister(self._watch_fd)
            _close(self._watch_fd)
            self._watch_fd = -1
        if self._watch_pid:
            posix.kill(self._watch_pid, _signal.SIGKILL)
            posix.waitpid(self._watch_pid, 0)
            self._watch_pid = 0

    def _files_changed(self) -> None:
        data = _read(self._watch_fd, 65536)
        if not data:
            self._poller.unregister(self._watch_fd)
            _close(self._watch_fd)
            self._watch_fd = -1
            return
        lines = (self._watch_data + data).split(b"\n")
        self._watch_data = lines.pop()
        if b"" in lines:
            say("watching for files that change")
        changed = [line.decode("utf-8", "backslashreplace") for line in lines if line]
        if changed and not self._stops:
            more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
            self._reload(f"{changed[0]}{more} changed")


def _no_handler(number: int, frame: Any) -> None:
    """The wake-up fd has got the number; that is all that is needed."""
