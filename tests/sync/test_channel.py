"""Channels: handing over, closing, ends, kills. The model is in test_channel_model.py."""

import gc
import math
import weakref

import pytest

import greenroom
from greenroom import (
    Channel,
    ChannelClosed,
    EndOfChannel,
    TaskKilled,
    WouldBlock,
    channel,
    joinall,
    op,
    select,
    sleep,
    spawn,
)


def turns(count=3):
    for _ in range(count):
        sleep()


# --- handing over


def test_unbuffered_send_waits_for_its_receive():
    ch, log = Channel(), []

    def send():
        for item in range(3):
            log.append(f"send {item}")
            ch.send(item)

    task = spawn(send)
    turns()
    assert log == ["send 0"]
    assert ch.receive() == 0
    turns()
    assert log == ["send 0", "send 1"]
    assert [ch.receive(), ch.receive()] == [1, 2]
    task.join()


def test_buffered_send_waits_only_when_it_is_full():
    ch = Channel(2)
    ch.send("a")
    ch.send("b")
    task = spawn(ch.send, "c")
    turns()
    assert not task.done and ch.statistics().waiting_senders == (task,)
    assert ch.receive() == "a"
    assert ch.statistics().fill == 2  # the waiting one has moved in
    task.join()
    assert [ch.receive(), ch.receive()] == ["b", "c"]


def test_unlimited_channel_never_waits():
    ch = Channel(math.inf)
    for item in range(10_000):
        ch.send_nowait(item)
    assert ch.statistics().capacity == math.inf
    assert [ch.receive_nowait() for _ in range(10_000)] == list(range(10_000))


def test_receivers_and_senders_are_served_first_come_first_served():
    ch, got = Channel(), []
    tasks = [spawn(lambda name=name: got.append((name, ch.receive()))) for name in "abc"]
    turns()
    for item in range(3):
        ch.send(item)
    joinall(tasks)
    assert got == [("a", 0), ("b", 1), ("c", 2)]
    tasks = [spawn(ch.send, item) for item in range(3)]
    turns()
    assert [ch.receive() for _ in range(3)] == [0, 1, 2]
    joinall(tasks)


@pytest.mark.parametrize("capacity", [0, 1, 3])
def test_none_and_false_are_items_as_any(capacity):
    ch = Channel(capacity)
    items = [None, False, 0, (), ""]
    task = spawn(lambda: [ch.send(item) for item in items])
    assert [ch.receive() for _ in items] == items
    task.join()


def test_nowait_forms():
    ch = Channel(1)
    with pytest.raises(WouldBlock, match="there is no item"):
        ch.receive_nowait()
    ch.send_nowait(1)
    with pytest.raises(WouldBlock, match="it has no room"):
        ch.send_nowait(2)
    assert ch.receive_nowait() == 1
    unbuffered = Channel()
    with pytest.raises(WouldBlock):
        unbuffered.send_nowait(1)
    task = spawn(unbuffered.receive)
    turns()
    unbuffered.send_nowait(2)
    assert task.result() == 2
    task = spawn(unbuffered.send, 3)
    turns()
    assert unbuffered.receive_nowait() == 3
    task.join()


@pytest.mark.parametrize("capacity", [-1, -math.inf])
def test_a_negative_capacity_is_refused(capacity):
    with pytest.raises((ValueError, TypeError), match="a channel's capacity is"):
        Channel(capacity)


@pytest.mark.parametrize("capacity", [1.5, "3", None, math.nan])
def test_a_capacity_that_is_no_number_of_items_is_refused(capacity):
    with pytest.raises(TypeError, match=r"whole number or math\.inf"):
        Channel(capacity)


# --- kills and timeouts


@pytest.mark.parametrize("capacity", [0, 1])
def test_a_killed_send_has_not_sent(capacity):
    ch = Channel(capacity)
    for _ in range(capacity):
        ch.send("there")
    killed = spawn(ch.send, "killed")
    kept = spawn(ch.send, "kept")
    turns()
    killed.kill()
    assert [ch.receive() for _ in range(capacity + 1)] == ["there"] * capacity + ["kept"]
    joinall([killed, kept])
    assert isinstance(killed.exception, TaskKilled)
    assert ch.statistics().waiting_senders == ()


def test_a_receive_that_was_given_an_item_returns_it_though_killed_in_the_same_tick():
    ch, got = Channel(), []
    task = spawn(lambda: got.append(ch.receive()))
    turns()
    ch.send("item")
    task.kill()
    task.join()
    assert got == ["item"]


def test_a_receive_that_was_killed_first_takes_nothing():
    ch = Channel(1)
    task = spawn(ch.receive)
    turns()
    task.kill()
    ch.send("item")
    task.join()
    assert isinstance(task.exception, TaskKilled)
    assert ch.receive_nowait() == "item"


def test_a_timeout_leaves_nothing_behind(clock):
    ch = Channel()
    with pytest.raises(greenroom.Timeout), greenroom.timeout(1):
        ch.receive()
    with pytest.raises(greenroom.Timeout), greenroom.timeout(1):
        ch.send(1)
    stats = ch.statistics()
    assert stats.waiting_receivers == stats.waiting_senders == ()
    assert clock.now() == 2


# --- closing


def test_a_closed_channel_gives_what_is_left_then_its_end():
    ch = Channel(3)
    ch.send(1)
    ch.send(2)
    ch.close()
    with pytest.raises(ChannelClosed, match="cannot send to <Channel"):
        ch.send(3)
    assert list(ch) == [1, 2]
    for receive in (ch.receive, ch.receive_nowait):
        with pytest.raises(EndOfChannel) as caught:
            receive()
        assert caught.value.end is ch
    ch.close()  # twice is no error


def test_closing_wakes_everybody_once():
    ch = Channel()
    receivers = [spawn(ch.receive) for _ in range(3)]
    turns()
    ch.close()
    joinall(receivers)
    assert all(isinstance(task.exception, EndOfChannel) for task in receivers)
    full = Channel(1)
    full.send("lies in it")
    senders = [spawn(full.send, item) for item in range(3)]
    for task in (*receivers, *senders):
        task.observed = True
    turns()
    full.close()
    joinall(senders)
    assert all(isinstance(task.exception, ChannelClosed) for task in senders)
    assert list(full) == ["lies in it"]


def test_a_with_block_closes():
    with Channel(2) as ch:
        ch.send(1)
    assert list(ch) == [1]


def test_for_over_a_channel_ends_when_it_is_closed():
    with_ends, got = channel(), []
    sender, receiver = with_ends

    def produce():
        with sender:
            for item in range(5):
                sender.send(item)

    task = spawn(produce)
    got.extend(receiver)
    assert got == list(range(5))
    task.join()


# --- ends


def test_the_channel_ends_when_the_last_sender_is_closed():
    sender, receiver = channel(2)
    other = sender.clone()
    assert receiver.statistics().senders == 2
    sender.send(1)
    sender.close()
    other.send(2)
    other.close()
    assert list(receiver) == [1, 2]
    with pytest.raises(EndOfChannel) as caught:
        receiver.receive()
    assert caught.value.end is receiver


def test_senders_hear_when_the_last_receiver_is_closed():
    sender, receiver = channel()
    other = receiver.clone()
    task = spawn(sender.send, 1)
    task.observed = True
    turns()
    receiver.close()
    turns()
    assert not task.done
    other.close()
    task.join()
    assert isinstance(task.exception, ChannelClosed)
    with pytest.raises(ChannelClosed, match="every Receiver of it was closed"):
        sender.send(2)
    with pytest.raises(ChannelClosed, match="every Receiver of it was closed"):
        sender.send_nowait(2)


def test_a_closed_end_is_refused_and_its_clone_is_not():
    sender, receiver = channel(1)
    second_sender, second_receiver = sender.clone(), receiver.clone()
    sender.close()
    receiver.close()
    for call in (sender.clone, receiver.clone, receiver.receive, receiver.receive_nowait):
        with pytest.raises(ChannelClosed, match="it was closed"):
            call()
    for call in (sender.send, sender.send_nowait):
        with pytest.raises(ChannelClosed, match="it was closed") as caught:
            call(1)
        assert caught.value.end is sender
    second_sender.send(1)
    assert second_receiver.receive() == 1
    sender.close()  # twice counts once
    second_sender.send(2)
    assert second_receiver.receive() == 2


def test_closing_an_end_raises_in_the_waits_of_that_end_alone():
    sender, receiver = channel()
    other = receiver.clone()
    mine, theirs = spawn(receiver.receive), spawn(other.receive)
    chosen = spawn(select, receiver, greenroom.Event())
    mine.observed = chosen.observed = True
    turns()
    receiver.close()
    joinall([mine, chosen])
    assert isinstance(mine.exception, ChannelClosed)
    assert isinstance(chosen.exception, ChannelClosed)
    assert not theirs.done
    sender.send("item")
    assert theirs.result() == "item"


def test_closing_a_sender_raises_in_its_own_sends_alone():
    sender, receiver = channel()
    other = sender.clone()
    mine, theirs = spawn(sender.send, "mine"), spawn(other.send, "theirs")
    mine.observed = True
    turns()
    sender.close()
    mine.join()
    assert isinstance(mine.exception, ChannelClosed)
    assert receiver.receive() == "theirs"
    theirs.join()


def test_a_select_hears_of_the_end_and_which_it_was():
    sender, receiver = channel()
    task = spawn(select, greenroom.Event(), receiver.receive)
    task.observed = True
    turns()
    sender.close()
    task.join()
    assert isinstance(task.exception, EndOfChannel)
    assert task.exception.end is receiver
    with pytest.raises(EndOfChannel):
        select(receiver, default=None)
    with pytest.raises(ChannelClosed):
        select(op(sender.send, 1), default=None)


def test_the_statistics_are_a_frozen_record():
    sender, receiver = channel(2)
    sender.send(1)
    waiting = spawn(lambda: [sender.send(2), sender.send(3)])
    turns()
    stats = receiver.statistics()
    assert stats == sender.statistics()
    assert (stats.fill, stats.capacity, stats.senders, stats.receivers) == (2, 2, 1, 1)
    assert (stats.waiting_senders, stats.waiting_receivers) == ((waiting,), ())
    with pytest.raises(AttributeError):
        stats.fill = 0
    assert Channel().statistics().senders is None
    assert [receiver.receive() for _ in range(3)] == [1, 2, 3]
    waiting.join()


def test_the_reprs_say_what_is_in_it():
    ch = Channel(2)
    ch.send(1)
    assert ": 1 of 2 items, 0 senders and 0 receivers waiting>" in repr(ch)
    ch.close()
    assert ": closed, 1 of 2 items" in repr(ch)
    sender, receiver = channel(math.inf)
    assert repr(sender).startswith("<Sender at ")
    receiver.close()
    assert repr(receiver).startswith("<closed Receiver at ")


class Item:
    pass


@pytest.mark.parametrize("capacity", [0, 1])
def test_nothing_keeps_an_item_that_was_received(capacity):
    ch = Channel(capacity)
    item = Item()
    gone = weakref.ref(item)
    task = spawn(ch.send, item)
    del item
    assert isinstance(ch.receive(), Item)
    task.join()
    receiving = spawn(lambda: ch.receive() and None)
    turns()
    item = Item()
    gone_too = weakref.ref(item)
    ch.send(item)
    del item
    receiving.join()
    gc.collect()
    assert gone() is None and gone_too() is None


def test_a_deadlock_report_names_the_end():
    sender, receiver = channel()
    tasks = [spawn(receiver.receive), spawn(Channel(2).receive)]
    turns()
    text = tasks[0].scheduler.deadlock_text()
    assert "waits for <Receiver at " in text and ": 0 of 2 items" in text
    sender.send(1)
    tasks[1].kill()
    joinall(tasks)


def test_a_generator_waits_for_a_channel_s_ends():
    sender, receiver = channel()

    def produce():
        with sender:
            for item in range(3):
                yield op(sender.send, item)

    def consume():
        got = []
        while True:
            try:
                got.append((yield receiver))
            except EndOfChannel:
                return got

    task = spawn(produce())
    assert spawn(consume()).result() == [0, 1, 2]
    task.join()
