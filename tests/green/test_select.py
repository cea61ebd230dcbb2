"""select, poll and epoll of greenroom.green.select: the standard library's answers, but parking."""

import os
import select as stdlib

import pytest
from patch.children import output_of

import greenroom
from greenroom.green import select, socket

from .conftest import outcome, settle


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    yield reader, writer
    for fd in (reader, writer):
        try:
            os.close(fd)
        except OSError:
            pass


@pytest.fixture
def file(tmp_path):
    with (tmp_path / "file").open("w+") as file:
        yield file


@pytest.fixture
def closed_fd():
    fd = os.open("/dev/null", os.O_RDONLY)
    os.close(fd)
    return fd


@pytest.mark.parametrize("call", ["poll().poll(2**70)", "epoll().poll(1e300)"])
def test_a_timeout_that_is_too_large_is_an_error(call, clock):
    with pytest.raises(OverflowError):
        eval(f"stdlib.{call}")
    asking = greenroom.spawn(lambda: eval(f"select.{call}"))
    at_once = asking.join(1)
    asking.kill()
    asking.join()
    assert at_once
    assert isinstance(asking.exception, OverflowError)


def test_what_is_not_replaced_is_the_standard_librarys_own():
    assert select.EPOLLIN is stdlib.EPOLLIN
    assert select.error is OSError


def test_a_hang_up_that_select_was_not_asked_for_does_not_keep_it_busy():
    # Symptom: select([], [], [hung up]) woke at once, again and again, until its timeout.
    code = """
        import os, signal
        signal.alarm(5)
        from greenroom.green import select
        from greenroom.testing.clock import VirtualClock
        reader, writer = os.pipe()
        os.close(writer)
        with VirtualClock() as clock:
            print(select.select([], [], [reader], 2), clock.now())
    """
    assert output_of(code) == ["([], [], []) 2.0"]


class TestSelect:
    def test_parks_until_something_can_be_read(self, pair):
        one, two = pair
        waiting = greenroom.spawn(select.select, [one], [], [])
        settle()
        assert not waiting.done
        two.sendall(b"x")
        assert waiting.result() == ([one], [], [])

    def test_what_is_ready_is_returned_at_once_as_the_objects_given(self, pair):
        one, two = pair
        two.sendall(b"x")
        assert select.select([one], [one, two], [two], None) == ([one], [one, two], [])
        assert select.select([one.fileno()], [], []) == ([one.fileno()], [], [])

    def test_a_timeout_ends_it_with_three_empty_lists(self, pair, clock):
        assert select.select([pair[0]], [], [], 2.5) == ([], [], [])
        assert clock.now() == 2.5

    def test_empty_lists_are_a_sleep(self, clock):
        assert select.select([], [], [], 3) == ([], [], [])
        assert clock.now() == 3

    def test_zero_never_parks(self, pair, clock):
        other = greenroom.spawn(int)
        assert select.select([pair[0]], [], [], 0) == ([], [], [])
        assert not other.done
        other.join()

    def test_a_loop_that_only_looks_lets_others_run(self, pair):
        poll, epoll = select.poll(), select.epoll()
        for look in (lambda: select.select([], [], [], 0), lambda: poll.poll(0), epoll.poll):
            epoll.register(pair[0], stdlib.EPOLLOUT) if look == epoll.poll else None
            other = greenroom.spawn(int)
            looks = 0
            while not other.done:
                look()
                looks += 1
                assert looks < 1000
        epoll.close()

    def test_a_regular_file_is_always_ready(self, file, pair):
        assert select.select([file, pair[0]], [file], []) == ([file], [file], [])

    def test_exceptional_means_urgent_data(self, tcp):
        client, server = tcp
        waiting = greenroom.spawn(select.select, [], [], [client])
        settle()
        assert not waiting.done
        server.send(b"!", socket.MSG_OOB)
        assert waiting.result() == ([], [], [client])

    def test_room_to_write_wakes(self, pair):
        one, two = pair
        one.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                one.send(bytes(65536))
        waiting = greenroom.spawn(select.select, [], [one], [])
        settle()
        assert not waiting.done
        while not waiting.done:
            two.recv(1 << 20)
            settle()
        assert waiting.result() == ([], [one], [])

    def test_the_end_of_a_stream_is_readable(self, pair):
        one, two = pair
        waiting = greenroom.spawn(select.select, [one], [], [])
        settle()
        two.close()
        assert waiting.result() == ([one], [], [])

    def test_any_iterable_of_anything_with_fileno(self, pair):
        one, two = pair
        two.sendall(b"x")
        assert select.select((sock for sock in pair), iter([]), set()) == ([one], [], [])

    def test_two_tasks_select_on_one_socket(self, pair):
        one, two = pair
        waiting = [greenroom.spawn(select.select, [one], [], []) for _ in range(2)]
        settle()
        two.sendall(b"x")
        assert [task.result() for task in waiting] == [([one], [], [])] * 2

    @pytest.mark.parametrize(
        "args",
        [
            ([], [], [], -1),
            ([], [], [], "x"),
            (["x"], [], [], 0),
            ([-1], [], [], None),
            (3, [], [], 0),
            ([2**40], [], [], 0),
        ],
    )
    def test_wrong_arguments_raise_the_standard_librarys_type(self, args):
        assert outcome(select.select, *args)[:2] == outcome(stdlib.select, *args)[:2]

    def test_a_closed_fd_raises(self, closed_fd):
        expected = outcome(stdlib.select, [closed_fd], [], [], 0)
        assert outcome(select.select, [closed_fd], [], [], None) == expected

    def test_no_fd_is_left_open(self, pair, clock):
        before = os.listdir("/proc/self/fd")
        for _ in range(10):
            select.select([pair[0]], [], [], 1)
        assert os.listdir("/proc/self/fd") == before

    def test_a_killed_select_leaves_no_fd_open(self, pair):
        before = os.listdir("/proc/self/fd")
        waiting = greenroom.spawn(select.select, [pair[0]], [], [])
        settle()
        waiting.kill()
        waiting.join()
        assert os.listdir("/proc/self/fd") == before


class TestPoll:
    def test_parks_until_an_event(self, pair):
        one, two = pair
        poll = select.poll()
        poll.register(one, stdlib.POLLIN)
        waiting = greenroom.spawn(poll.poll)
        settle()
        assert not waiting.done
        two.sendall(b"x")
        assert waiting.result() == [(one.fileno(), stdlib.POLLIN)]

    def test_the_timeout_is_in_milliseconds_and_negative_is_for_ever(self, pair, clock):
        one, two = pair
        poll = select.poll()
        poll.register(one, stdlib.POLLIN)
        assert poll.poll(1500) == []
        assert clock.now() == 1.5
        assert poll.poll(0) == []
        waiting = greenroom.spawn(poll.poll, -1)
        greenroom.sleep(1000)
        assert not waiting.done
        two.sendall(b"x")
        assert waiting.result() == [(one.fileno(), stdlib.POLLIN)]

    def test_register_modify_unregister(self, pair):
        one, _ = pair
        poll = select.poll()
        poll.register(one)
        assert poll.poll(0) == [(one.fileno(), stdlib.POLLOUT)]
        poll.modify(one, stdlib.POLLIN)
        assert poll.poll(0) == []
        poll.unregister(one)
        with pytest.raises(KeyError):
            poll.unregister(one)
        with pytest.raises(FileNotFoundError):
            poll.modify(one, stdlib.POLLIN)

    def test_a_regular_file_is_ready(self, file):
        poll = select.poll()
        poll.register(file, stdlib.POLLIN | stdlib.POLLOUT)
        assert poll.poll() == [(file.fileno(), stdlib.POLLIN | stdlib.POLLOUT)]

    def test_a_closed_fd_is_reported_as_invalid(self, closed_fd):
        poll = select.poll()
        poll.register(closed_fd, stdlib.POLLIN)
        assert poll.poll() == [(closed_fd, stdlib.POLLNVAL)]

    def test_a_hang_up_is_reported_unasked(self, pipe):
        reader, writer = pipe
        poll = select.poll()
        poll.register(reader, 0)
        waiting = greenroom.spawn(poll.poll)
        settle()
        assert not waiting.done
        os.close(writer)
        assert waiting.result() == [(reader, stdlib.POLLHUP)]

    def test_nothing_registered_is_a_sleep(self, clock):
        assert select.poll().poll(2000) == []
        assert clock.now() == 2

    @pytest.mark.parametrize("timeout", ["x", []])
    def test_a_wrong_timeout_raises_the_standard_librarys_type(self, timeout):
        expected = outcome(stdlib.poll().poll, timeout)
        assert expected[0] == "raised"
        assert outcome(select.poll().poll, timeout)[:2] == expected[:2]

    def test_a_second_poll_meanwhile_is_refused_and_a_type_of_its_own_is_not_for_making(self, pair):
        poll = select.poll()
        poll.register(pair[0], stdlib.POLLIN)
        waiting = greenroom.spawn(poll.poll)
        settle()
        with pytest.raises(RuntimeError, match="concurrent"):
            poll.poll()
        pair[1].sendall(b"x")
        assert waiting.result()
        assert poll.poll() == [(pair[0].fileno(), stdlib.POLLIN)]
        with pytest.raises(TypeError, match="cannot create"):
            type(poll)()

    def test_a_timeout_beyond_c_is_refused_even_if_something_is_ready(self, pair):
        poll = select.poll()
        poll.register(pair[0], stdlib.POLLOUT)
        with pytest.raises(OverflowError):
            poll.poll(2**31)


class TestEpoll:
    def test_parks_until_an_event(self, pair):
        one, two = pair
        with select.epoll() as epoll:
            epoll.register(one, stdlib.EPOLLIN)
            waiting = greenroom.spawn(epoll.poll)
            settle()
            assert not waiting.done
            two.sendall(b"x")
            assert waiting.result() == [(one.fileno(), stdlib.EPOLLIN)]

    def test_level_triggered_reports_again_and_edge_triggered_once(self, pair, clock):
        one, two = pair
        two.sendall(b"x")
        with select.epoll() as epoll:
            epoll.register(one, stdlib.EPOLLIN)
            assert [epoll.poll(), epoll.poll()] == [[(one.fileno(), stdlib.EPOLLIN)]] * 2
            epoll.modify(one, stdlib.EPOLLIN | stdlib.EPOLLET)
            assert epoll.poll() == [(one.fileno(), stdlib.EPOLLIN)]
            assert epoll.poll(5) == []
            assert clock.now() == 5

    def test_timeouts_are_seconds_and_none_or_negative_is_for_ever(self, pair, clock):
        one, two = pair
        with select.epoll() as epoll:
            epoll.register(one, stdlib.EPOLLIN)
            assert epoll.poll(1.5) == []
            assert epoll.poll(timeout=0.5, maxevents=1) == []
            assert clock.now() == 2
            assert epoll.poll(0) == []
            waiting = [greenroom.spawn(epoll.poll, timeout) for timeout in (None, -1)]
            greenroom.sleep(1000)
            assert not any(task.done for task in waiting)
            two.sendall(b"x")
            assert [task.result() for task in waiting] == [[(one.fileno(), stdlib.EPOLLIN)]] * 2

    def test_registering_while_another_task_waits_is_seen_by_it(self, pair):
        one, two = pair
        two.sendall(b"x")
        with select.epoll() as epoll:
            waiting = greenroom.spawn(epoll.poll)
            settle()
            assert not waiting.done
            epoll.register(one, stdlib.EPOLLIN)
            assert waiting.result() == [(one.fileno(), stdlib.EPOLLIN)]

    def test_maxevents_bounds_the_answer(self, pair):
        with select.epoll() as epoll:
            for sock in pair:
                epoll.register(sock, stdlib.EPOLLOUT)
            assert len(epoll.poll(1, 1)) == 1
            assert len(epoll.poll()) == 2

    def test_unregistered_is_silent_and_errors_are_the_standard_librarys(self, pair, file):
        one, _ = pair
        with select.epoll() as epoll, stdlib.epoll() as plain:
            for poller in (epoll, plain):
                poller.register(one, stdlib.EPOLLOUT)
            assert outcome(epoll.register, one) == outcome(plain.register, one)
            assert outcome(epoll.register, file) == outcome(plain.register, file)
            for poller in (epoll, plain):
                poller.unregister(one)
            assert outcome(epoll.unregister, one) == outcome(plain.unregister, one)
            assert outcome(epoll.modify, one, 1) == outcome(plain.modify, one, 1)
            assert epoll.poll(0) == []

    def test_a_closed_epoll_raises_what_the_standard_librarys_raises(self):
        epoll, plain = select.epoll(), stdlib.epoll()
        for poller in (epoll, plain):
            poller.close()
            poller.close()
            assert poller.closed
        assert outcome(epoll.poll) == outcome(plain.poll)
        assert outcome(epoll.fileno) == outcome(plain.fileno)
        assert outcome(epoll.__enter__) == outcome(plain.__enter__)

    def test_closing_wakes_the_waiter_with_an_error(self, pair):
        epoll = select.epoll()
        epoll.register(pair[0], stdlib.EPOLLIN)
        waiting = greenroom.spawn(epoll.poll)
        settle()
        epoll.close()
        with pytest.raises(greenroom.ClosedError):
            waiting.result()

    def test_fromfd_shares_the_registrations(self, pair):
        one, _ = pair
        with select.epoll() as epoll:
            epoll.register(one, stdlib.EPOLLOUT)
            copy = select.epoll.fromfd(os.dup(epoll.fileno()))
            assert copy.poll() == [(one.fileno(), stdlib.EPOLLOUT)]
            copy.close()

    @pytest.mark.parametrize("args", [("x",), (1, 0), (1, -5)])
    def test_wrong_arguments_raise_the_standard_librarys_type(self, args):
        with select.epoll() as epoll, stdlib.epoll() as plain:
            expected = outcome(plain.poll, *args)
            assert expected[0] == "raised"
            assert outcome(epoll.poll, *args)[:2] == expected[:2]
