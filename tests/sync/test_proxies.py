"""offload(): sqlite3 and other modules that block, in real threads."""

import _thread
import contextvars
import sqlite3
import threading
import time
import traceback
import types

import pytest
from patch.children import output_of
from waiting import until

import greenroom
from greenroom import ThreadPool, offload, sleep, spawn

blocking_sleep = time.sleep
sqlite = offload(sqlite3)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "database"
    connection = sqlite3.connect(path)
    connection.execute("create table t (number integer, word text)")
    connection.executemany("insert into t values (?, ?)", [(1, "one"), (2, "two"), (3, "three")])
    connection.commit()
    connection.close()
    return path


@pytest.fixture
def connection(path):
    connection = sqlite.connect(path)
    yield connection
    connection.close()


class Ticks:
    """Counts while others run."""

    def __enter__(self):
        self.count = 0
        self.task = spawn(self.tick)
        return self

    def tick(self):
        while True:
            sleep(0.005)
            self.count += 1

    def __exit__(self, *error):
        self.task.kill()
        self.task.join()


# --- functions and classes


def test_a_function_runs_in_another_thread():
    ident = offload(_thread.get_ident)
    assert ident() != _thread.get_ident()
    assert offload(dict)([("a", 1)], b=2) == {"a": 1, "b": 2}


def test_a_function_keeps_its_name_and_its_errors():
    def fail(why):
        "Fail."
        raise KeyError(why)

    offloaded = offload(fail)
    assert (offloaded.__name__, offloaded.__doc__) == ("fail", "Fail.")
    with pytest.raises(KeyError, match="because") as caught:
        offloaded("because")
    assert "in fail" in "".join(traceback.format_tb(caught.value.__traceback__))


def test_what_cannot_be_offloaded():
    with pytest.raises(TypeError, match="no module, no class and no function"):
        offload(3)


def test_twenty_calls_at_once_while_others_run():
    inside, go_on = [], threading.Event()

    def call():
        inside.append(1)
        return go_on.wait(60)

    tasks = [spawn(offload(call)) for _ in range(20)]
    with Ticks() as ticks:
        until(lambda: len(inside) == 20 and ticks.count >= 5)
    go_on.set()
    assert [task.result() for task in tasks] == [True] * 20


def test_a_pool_bounds_the_calls():
    running, most = [], []

    def call():
        running.append(1)
        most.append(len(running))
        blocking_sleep(0.01)
        running.pop()

    with ThreadPool(2) as pool:
        tasks = [spawn(offload(call, pool)) for _ in range(10)]
        greenroom.joinall(tasks)
        assert max(most) <= 2


class Thing:
    """An object of an extension, as it were."""

    made = 0

    def __init__(self, number):
        Thing.made += 1
        self.number = number
        self.calls = []

    @classmethod
    def of(cls, text):
        return cls(int(text))

    @staticmethod
    def where():
        return _thread.get_ident()

    def begin(self, name, gate=None):
        self.calls.append(f"{name} begins")
        blocking_sleep(0.01)
        if gate is not None:
            gate.wait(60)
        self.calls.append(f"{name} ends")
        return self

    def ident(self):
        return _thread.get_ident()

    def numbers(self):
        yield self.ident()
        yield self.number

    def __len__(self):
        return self.number

    def __getitem__(self, index):
        return self.number + index

    def __setitem__(self, index, value):
        self.number = index + value

    def __contains__(self, number):
        return number == self.number

    def __add__(self, other):
        return Thing(self.number + (other if isinstance(other, int) else other.number))

    def __eq__(self, other):
        return isinstance(other, Thing) and self.number == other.number

    def __hash__(self):
        return hash(self.number)

    def __lt__(self, other):
        return self.number < other.number


class Mine(Thing):
    """A subclass."""


def test_a_class():
    offloaded = offload(Thing)
    thing = offloaded(3)
    assert isinstance(thing, Thing) and isinstance(thing, offloaded)
    assert not isinstance(3, offloaded)
    assert issubclass(Mine, offloaded)
    assert offloaded == Thing and hash(offloaded) == hash(Thing)
    assert thing.ident() != _thread.get_ident()
    assert thing.where() != _thread.get_ident() != offloaded.where()
    assert offloaded.of("4").number == 4
    assert (thing.number, len(thing), thing[2], 3 in thing, 4 in thing) == (3, 3, 5, True, False)
    thing.number = 5
    assert len(thing) == 5
    thing[1] = 2
    assert thing.number == 3
    total = thing + 4
    assert total.ident() != _thread.get_ident() and total.number == 7
    assert (thing + total).number == 10
    assert thing == Thing(3) and thing < total and sorted([total, thing])[0] is thing
    del thing.calls
    with pytest.raises(AttributeError):
        _ = thing.calls
    with pytest.raises(AttributeError):
        _ = thing.nothing
    ident, number = thing.numbers()
    assert ident != _thread.get_ident() and number == 3
    assert "offloaded" in repr(thing) and "Thing" in repr(offloaded)
    assert "begin" in dir(thing)
    assert thing.begin.__name__ == "begin"


def test_an_object_has_one_proxy():
    thing = offload(Thing)(1)
    assert thing.begin("x") is thing


def test_calls_of_one_object_run_one_after_the_other():
    thing = offload(Thing)(1)
    greenroom.joinall([spawn(thing.begin, name) for name in "abc"])
    assert thing.calls == [f"{name} {what}" for name in "abc" for what in ("begins", "ends")]


def test_after_a_kill_the_next_call_waits_for_the_one_that_goes_on():
    thing, gate = offload(Thing)(1), threading.Event()
    calls = thing.calls
    first = spawn(thing.begin, "a", gate)
    until(lambda: calls)
    first.kill()
    assert first.join(60)
    second = spawn(thing.begin, "b")
    sleep(0.01)
    assert calls == ["a begins"]
    gate.set()
    second.result()
    assert calls == ["a begins", "a ends", "b begins", "b ends"]


def test_a_kill_while_waiting_for_the_object_takes_the_call_back():
    thing, gate = offload(Thing)(1), threading.Event()
    calls = thing.calls
    first, second = spawn(thing.begin, "a", gate), spawn(thing.begin, "b")
    until(lambda: calls)
    second.kill()
    third = spawn(thing.begin, "c")
    gate.set()
    greenroom.joinall([first, second, third])
    assert thing.calls == ["a begins", "a ends", "c begins", "c ends"]


def test_many_kills_leave_the_object_free():
    thing = offload(Thing)(1)
    for turn in range(100):
        tasks = [spawn(thing.ident) for _ in range(4)]
        sleep(0.0001 * (turn % 5))
        for task in tasks:
            task.kill()
        greenroom.joinall(tasks)
    assert thing.ident() != _thread.get_ident()
    until(lambda: greenroom.core.scheduler.get().external == 0)


def test_what_an_object_may_not_be():
    import copy
    import pickle

    thing = offload(Thing)(1)
    for use in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError, match="cannot pickle or copy"):
            use(thing)


def test_a_module_of_functions_classes_and_constants():
    module = types.ModuleType("module", "Its docstring.")
    code = """
import threading, collections, enum
LIMIT = 7
class Error(Exception): pass
class Own:
    def ident(self): return threading.get_ident()
    def other(self): return Data(self)
class Data:
    def __init__(self, made_by): self.made_by = made_by
class Colour(enum.Enum): RED = 1
Pair = collections.namedtuple("Pair", "a b")
def make(): return Own()
def pair(): return Pair(1, Colour.RED)
def same(own): return type(own) is Own
def fail(): raise Error("why")
OWN = Own()
"""
    exec(code, module.__dict__)
    for value in list(vars(module).values()):
        if isinstance(value, type):
            value.__module__ = "module"
    offloaded = offload(module, plain=["Data"])
    assert isinstance(offloaded, types.ModuleType)
    assert (offloaded.LIMIT, offloaded.__doc__) == (7, "Its docstring.")
    own = offloaded.make()
    assert own.ident() != _thread.get_ident() != offloaded.OWN.ident()
    assert offloaded.same(own) and offloaded.same(offloaded.Own())
    assert type(own.other()) is module.Data
    assert type(offloaded.pair()) is module.Pair and offloaded.pair().b is offloaded.Colour.RED
    assert offloaded.Error is module.Error
    with pytest.raises(module.Error, match="why"):
        offloaded.fail()
    offloaded.LIMIT = 8
    assert module.LIMIT == 8
    with pytest.raises(AttributeError):
        _ = offloaded.nothing
    assert "make" in dir(offloaded) and "offloaded" in repr(offloaded)


# --- sqlite3


def test_it_looks_like_sqlite3(connection):
    assert isinstance(connection, sqlite3.Connection)
    assert isinstance(connection, sqlite.Connection)
    cursor = connection.cursor()
    assert isinstance(cursor, sqlite.Cursor)
    assert cursor.connection is connection
    assert cursor.execute("select 1") is cursor
    assert (sqlite.Error, sqlite.apilevel, sqlite.Row) == (
        sqlite3.Error,
        sqlite3.apilevel,
        sqlite3.Row,
    )


def test_ten_connections_wait_for_a_lock_while_others_run(path):
    """A writer holds the database; ten more wait for it in C, one of them for too short a time."""
    writer = sqlite.connect(path, isolation_level=None)
    writer.execute("begin immediate")

    def write(number):
        connection = sqlite.connect(path, timeout=60, isolation_level=None)
        connection.execute("insert into t values (?, 'late')", (number,))
        connection.close()
        return number

    tasks = [spawn(write, number) for number in range(10, 20)]
    impatient = sqlite.connect(path, timeout=0.1, isolation_level=None)
    with Ticks() as ticks:
        with pytest.raises(sqlite.OperationalError, match="locked"):
            impatient.execute("begin immediate")
        until(lambda: ticks.count >= 3)
        assert not any(task.done for task in tasks)
        writer.execute("commit")
        assert [task.result(60) for task in tasks] == list(range(10, 20))
    assert writer.execute("select count(*) from t where word = 'late'").fetchone() == (10,)
    writer.close()
    impatient.close()


def test_a_kill_while_it_waits_for_the_lock(path):
    writer = sqlite.connect(path, isolation_level=None)
    writer.execute("begin immediate")
    other = sqlite.connect(path, timeout=0.3, isolation_level=None)
    task = spawn(other.execute, "begin immediate")
    sleep(0.05)
    task.kill()
    assert task.join(60)
    # The call goes on and gives up; then the connection is free.
    assert other.execute("select 5").fetchone() == (5,)
    assert not other.in_transaction
    other.execute("pragma busy_timeout = 60000")
    with pytest.raises(greenroom.Timeout), greenroom.timeout(0.05):
        other.execute("begin immediate")
    writer.execute("rollback")
    other.close()
    writer.close()


FOR_EVER = "with recursive c(i) as (select 1 union all select i + 1 from c) select sum(i) from c"


def query_for_ever(connection):
    """Start a task with a query that does not end; return when the query runs."""
    turns = []
    connection.set_progress_handler(lambda: turns.append(1), 1000)
    task = spawn(lambda: connection.execute(FOR_EVER))
    until(lambda: turns)  # to interrupt a query that has not begun does nothing
    return task


def test_interrupt_ends_a_query_of_another_task(connection):
    task = query_for_ever(connection)
    connection.interrupt()
    with pytest.raises(sqlite.OperationalError, match="interrupted"):
        task.result(60)


def test_interrupt_ends_a_query_whose_task_was_killed(connection):
    task = query_for_ever(connection)
    task.kill()
    assert task.join(60)
    connection.interrupt()
    assert connection.execute("select 5").fetchone() == (5,)


def test_a_progress_handler_ends_a_query(connection):
    connection.set_progress_handler(lambda: 1, 1000)
    with pytest.raises(sqlite.OperationalError, match="interrupted"):
        connection.execute(FOR_EVER)


def test_queries_executemany_and_iteration(connection):
    connection.executemany("insert into t values (?, ?)", ((n, str(n)) for n in range(4, 7)))
    cursor = connection.execute("select number from t order by number")
    assert next(cursor) == (1,)
    assert [number for (number,) in cursor] == [2, 3, 4, 5, 6]
    assert cursor.description[0][0] == "number"
    assert connection.total_changes == 3
    cursor.executescript("create table u (x); insert into u values (1);")
    cursor.arraysize = 2
    assert cursor.arraysize == 2
    assert len(cursor.execute("select * from t").fetchmany()) == 2
    assert next(iter(connection.iterdump())) == "BEGIN TRANSACTION;"


def test_with_commits_or_rolls_back(connection, path):
    with connection as same:
        assert same is connection
        connection.execute("insert into t values (4, 'four')")
    with pytest.raises(ZeroDivisionError), connection:
        connection.execute("insert into t values (5, 'five')")
        raise ZeroDivisionError
    assert not connection.in_transaction
    other = sqlite.connect(path)
    assert other.execute("select max(number) from t").fetchone() == (4,)
    other.close()


def test_a_killed_task_leaves_its_with_block_and_closes(path):
    connection = sqlite.connect(path)
    closed = []

    def work():
        try:
            with connection:
                connection.execute("insert into t values (9, 'nine')")
                sleep(100)
        finally:
            connection.close()
            closed.append(True)

    task = spawn(work)
    while not connection.in_transaction:
        sleep(0.001)
    task.kill()
    assert task.join(60) and closed
    with pytest.raises(sqlite.ProgrammingError, match="closed"):
        connection.execute("select 1")
    other = sqlite3.connect(path)
    assert other.execute("select count(*) from t where number = 9").fetchone() == (0,)
    other.close()


def test_row_factories(connection):
    connection.row_factory = sqlite.Row
    row = connection.execute("select number, word from t").fetchone()
    assert type(row) is sqlite3.Row
    assert (row["word"], row.keys()) == ("one", ["number", "word"])
    seen = []

    def factory(cursor, row):
        seen.append((type(cursor), _thread.get_ident() == here))
        return list(row)

    here = _thread.get_ident()
    connection.row_factory = factory
    assert connection.row_factory is factory
    assert connection.execute("select 1, 2").fetchall() == [[1, 2]]
    assert seen == [(sqlite3.Cursor, False)]


def test_user_functions_run_in_the_real_thread(connection):
    variable = contextvars.ContextVar("variable")
    variable.set("mine")
    here = _thread.get_ident()
    seen = []

    def double(number):
        seen.append((_thread.get_ident() == here, variable.get()))
        return number * 2

    class Longest:
        def __init__(self):
            self.found = ""

        def step(self, word):
            self.found = max(self.found, word, key=len)

        def finalize(self):
            return self.found

    connection.create_function("double", 1, double)
    connection.create_aggregate("longest", 1, Longest)
    connection.create_collation("backwards", lambda a, b: (a < b) - (a > b))
    assert connection.execute("select double(21)").fetchone() == (42,)
    assert connection.execute("select longest(word) from t").fetchone() == ("three",)
    words = connection.execute("select word from t order by word collate backwards").fetchall()
    assert words == [("two",), ("three",), ("one",)]
    assert seen == [(False, "mine")]
    connection.create_function("fail", 0, lambda: 1 / 0)
    with pytest.raises(sqlite.OperationalError, match="user-defined function"):
        connection.execute("select fail()")


def test_a_user_function_may_use_the_connection_it_is_called_for(connection):
    def count():
        return connection.execute("select count(*) from t").fetchone()[0]

    connection.create_function("count_them", 0, count)
    assert connection.execute("select count_them()").fetchone() == (3,)


def test_backup_takes_two_connections(connection):
    copy = sqlite.connect(":memory:")
    back = sqlite.connect(":memory:")
    greenroom.joinall([spawn(connection.backup, copy) for _ in range(3)])
    crossing = [spawn(copy.backup, back), spawn(back.backup, copy)]
    assert len(greenroom.joinall(crossing, timeout=60)) == 2
    copy.close()
    back.close()


def test_a_subclass_as_factory(path):
    class Connection(sqlite.Connection):
        def words(self):
            return [word for (word,) in self.execute("select word from t")]

    assert issubclass(Connection, sqlite3.Connection)
    connection = sqlite.connect(path, factory=Connection)
    assert connection.words() == ["one", "two", "three"]
    assert isinstance(connection.cursor(), sqlite.Cursor)
    connection.close()
    made = offload(Connection)(path, check_same_thread=False)
    assert made.words() == ["one", "two", "three"]
    made.close()


def test_blobs(connection):
    connection.execute("insert into t values (8, zeroblob(10))")
    with connection.blobopen(
        "t", "word", connection.execute("select rowid from t where number = 8").fetchone()[0]
    ) as blob:
        blob.write(b"hello")
        blob[9] = 33
        assert len(blob) == 10 and blob[:5] == b"hello" and blob[9] == 33


def test_one_connection_shared_by_many_tasks(connection):
    def work(number):
        connection.execute("insert into t values (?, 'shared')", (number,))
        return connection.execute("select word from t where number = ?", (number,)).fetchone()

    tasks = [spawn(work, number) for number in range(100, 150)]
    assert {task.result(60) for task in tasks} == {("shared",)}
    connection.rollback()


def test_in_a_program_that_is_patched():
    assert output_of("""
        import greenroom
        greenroom.patch_all()
        import sqlite3, threading, time
        sqlite3 = greenroom.offload(sqlite3)
        connection = sqlite3.connect(":memory:", isolation_level=None)
        ticks, real_sleep = [], greenroom.original("time.sleep")
        def nap():
            while len(ticks) < 5:
                real_sleep(0.001)
        connection.create_function("nap", 0, nap)
        def tick():
            while True:
                time.sleep(0.01)
                ticks.append(1)
        threading.Thread(target=tick, daemon=True).start()
        connection.execute("select nap()").fetchall()
        print("others ran")
    """) == ["others ran"]
