"""psycopg 3 and psycopg2 against PostgreSQL: both wait in C, and are green by patch/drivers.py."""

from textwrap import dedent

import pytest

from .conftest import need

BOTH = pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])

HELPERS = """
import sys
url = sys.argv[1]
def query(text, *args):
    connection = driver.connect(url)
    try:
        cursor = connection.cursor()
        cursor.execute(text, args)
        return cursor.fetchone()[-1]
    finally:
        connection.close()
"""

# The three ways in which a program and its driver come under greenroom.
STARTS = {
    "run": "import {driver} as driver\n",
    "before": "import {driver} as driver, greenroom\ngreenroom.patch_all()\n",
    "after": "import greenroom\ngreenroom.patch_all()\nimport {driver} as driver\n",
}


def code(driver, rest, start="after"):
    return STARTS[start].format(driver=driver) + HELPERS + dedent(rest)


@pytest.fixture(autouse=True)
def client(request):
    need(request.node.callspec.params["driver"])


TEN = """
    import os
    from at_once import all_held, at_once
    assert at_once(lambda number: query("select pg_sleep(0.3), %s", number), 0.3) == [*range(10)]

    key = os.getpid()
    holder = driver.connect(url)
    def execute(text):
        cursor = holder.cursor()
        cursor.execute(text, [key])
        return cursor.fetchone()[0]
    execute("select pg_advisory_lock(%s)")
    def work(number):
        return query("select pg_advisory_xact_lock(%s), %s", key, number)
    def waiting():
        return execute(
            "select count(*) from pg_locks where locktype = 'advisory' and not granted"
            " and objid = %s"
        )
    def release():
        assert execute("select pg_advisory_unlock(%s)")
    assert all_held(work, waiting, release) == [*range(10)]
"""


@BOTH
@pytest.mark.parametrize("start", STARTS)
def test_ten_at_once(driver, start, postgres, program, script):
    (program if start == "run" else script)(code(driver, TEN, start), postgres)


@pytest.mark.parametrize("driver", ["psycopg"])
def test_each_of_psycopgs_wait_functions(driver, postgres, script, monkeypatch):
    for name in ("wait_selector", "wait_poll", "wait_epoll", "wait_c"):
        monkeypatch.setenv("PSYCOPG_WAIT_FUNC", name)
        script(code(driver, TEN), postgres)


@BOTH
def test_a_timeout_cancels_the_query_on_the_server(driver, postgres, script):
    rest = """
        import os
        mark = f"mark {os.getpid()}"
        connection = driver.connect(url)
        try:
            with greenroom.timeout(0.2):
                connection.cursor().execute("select pg_sleep(30), %s", [mark])
        except TimeoutError as error:
            print(type(error).__name__)
        while query(
            "select count(*) from pg_stat_activity where state = 'active'"
            " and pid != pg_backend_pid() and query like '%%' || %s || '%%'", mark
        ):
            greenroom.sleep(0.05)
        if connection.closed:
            print("closed")
        else:
            connection.rollback()
            print(connection.execute("select 'usable'").fetchone()[0])
    """
    state = {"psycopg": "usable", "psycopg2": "closed"}[driver]
    assert script(code(driver, rest), postgres) == ["Timeout", state]


@BOTH
def test_a_kill_leaves_the_connection_in_a_defined_state(driver, postgres, script):
    rest = """
        import os
        mark = f"mark {os.getpid()}"
        connection = driver.connect(url)
        cursor = connection.cursor()
        cursor.execute("select pg_backend_pid()")
        task = greenroom.spawn(cursor.execute, "select pg_sleep(30), %s", [mark])
        greenroom.sleep(0.2)
        task.kill()
        assert task.join(10)
        print(type(task.exception).__name__, bool(connection.closed))
        if not connection.closed:
            print(connection.info.transaction_status.name)
            connection.rollback()
            cursor.execute("select 5")
            print(cursor.fetchone()[0])
        print(query("select 6"))
    """
    expected = {
        "psycopg": ["TaskKilled False", "INERROR", "5", "6"],
        "psycopg2": ["TaskKilled True", "6"],
    }
    assert script(code(driver, rest), postgres) == expected[driver]


@BOTH
def test_a_kill_while_connecting(driver, postgres, script):
    rest = """
        import socket
        silent = socket.create_server(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        for host in ("127.0.0.1", "localhost"):
            task = greenroom.spawn(driver.connect, f"host={host} port={port} user=x dbname=x")
            greenroom.sleep(0.2)
            task.kill()
            print(task.join(10))
        try:
            with greenroom.timeout(0.2):
                driver.connect(f"host=127.0.0.1 port={port} user=x dbname=x")
        except TimeoutError as error:
            print(type(error).__name__)
        try:
            driver.connect(f"host=127.0.0.1 port={port} user=x dbname=x connect_timeout=2")
        except driver.OperationalError as error:
            print("timeout" in str(error))
    """
    assert script(code(driver, rest), postgres) == ["True", "True", "Timeout", "True"]


@BOTH
def test_errors_pass_and_the_connection_stays(driver, postgres, script):
    rest = """
        connection = driver.connect(url)
        cursor = connection.cursor()
        for text in ("select nonsense", "select 1/0"):
            try:
                cursor.execute(text)
            except driver.Error as error:
                print(type(error).__name__)
            connection.rollback()
        cursor.execute("set statement_timeout = 100")
        try:
            cursor.execute("select pg_sleep(30)")
        except driver.OperationalError as error:
            print(type(error).__name__)
        connection.rollback()
        pid = connection.info.backend_pid
        task = greenroom.spawn(cursor.execute, "select pg_sleep(30)")
        task.observed = True  # it may fail before its result is asked for
        greenroom.sleep(0.05)
        query("select pg_terminate_backend(%s)", pid)
        try:
            task.result(10)
        except driver.OperationalError as error:
            print(type(error).__name__, bool(connection.closed))
    """
    assert script(code(driver, rest), postgres) == [
        "UndefinedColumn",
        "DivisionByZero",
        "QueryCanceled",
        # psycopg2 says no more, whatever its wait callback is.
        {"psycopg": "AdminShutdown True", "psycopg2": "OperationalError True"}[driver],
    ]


@BOTH
def test_host_names_are_looked_up_by_tasks(driver, postgres, script):
    rest = """
        import socket
        asked = []
        look_up = socket.getaddrinfo
        def getaddrinfo(host, *args, **kwargs):
            asked.append(host)
            if host == "database.test":
                return look_up("127.0.0.1", *args, **kwargs) + look_up("127.0.0.2", *args, **kwargs)
            return look_up(host, *args, **kwargs)
        socket.getaddrinfo = getaddrinfo
        from urllib.parse import urlsplit
        parts = urlsplit(url)
        port = parts.port
        if parts.hostname == "127.0.0.1":
            url = url.replace("127.0.0.1", "database.test")
            print(query("select 1"), asked.count("database.test"))
            url = url.replace(f"database.test:{port}", f"127.0.0.1:1,database.test:{port}")
            print(query("select 2"), asked.count("database.test"))
        else:
            print("1 1\\n2 2")
        try:
            driver.connect(host="no.such.host.invalid", user="x", dbname="x")
        except driver.OperationalError:
            print(asked[-1])
    """
    assert script(code(driver, rest), postgres) == [
        "1 1",
        "2 2",
        "no.such.host.invalid",
    ]


@BOTH
def test_patching_twice_and_undoing_it(driver, postgres, script):
    rest = """
        greenroom.patch_all()
        def green():
            ticks = 0
            def tick():
                nonlocal ticks
                while True:
                    greenroom.sleep(0.01)
                    ticks += 1
            ticker = greenroom.spawn(tick)
            query("select pg_sleep(0.2)")
            ticker.kill()
            ticker.join()
            return ticks > 3
        print(green())
        greenroom.unpatch_all()
        print(green())
        greenroom.patch_all()
        print(green())
        greenroom.unpatch_all()
        greenroom.patch_all(drivers=False)
        print(green())
    """
    assert script(code(driver, rest), postgres) == ["True", "False", "True", "False"]


@BOTH
def test_notifications(driver, postgres, script):
    rest = """
        import os, select
        channel = f"greenroom_{os.getpid()}"
        listening = driver.connect(url)
        listening.autocommit = True
        listening.cursor().execute(f"listen {channel}")
        def listen():
            if hasattr(listening, "notifies") and callable(listening.notifies):
                return next(listening.notifies(timeout=20)).payload
            while not listening.notifies:
                select.select([listening], [], [], 20)
                listening.poll()
            return listening.notifies.pop().payload
        task = greenroom.spawn(listen)
        greenroom.sleep(0.1)
        sender = driver.connect(url)
        sender.autocommit = True
        sender.cursor().execute(f"notify {channel}, 'hello'")
        print(task.result(10))
    """
    assert script(code(driver, rest), postgres) == ["hello"]


@BOTH
def test_big_answers_and_server_side_cursors(driver, postgres, program):
    rest = """
        from at_once import COUNT
        from concurrent.futures import ThreadPoolExecutor
        def work(number):
            connection = driver.connect(url)
            cursor = connection.cursor()
            cursor.execute("select repeat('x', 1000), i from generate_series(1, 2000) as i")
            rows = sum(1 for row in cursor)
            cursor.execute("select length(%s)", ["y" * 3_000_000])
            length = cursor.fetchone()[0]
            named = connection.cursor(f"named_{number}")
            named.execute("select generate_series(1, 2000)")
            total = sum(row[0] for row in named)
            named.close()
            connection.commit()
            connection.close()
            return rows, length, total
        with ThreadPoolExecutor(COUNT) as ten:
            assert set(ten.map(work, range(COUNT))) == {(2000, 3_000_000, 2001000)}
    """
    program(code(driver, rest, "run"), postgres)


# psycopg2 itself refuses COPY where a wait callback is set.
@pytest.mark.parametrize("driver", ["psycopg"])
def test_copy_and_pipelines(driver, postgres, program):
    rest = """
        from at_once import COUNT
        from concurrent.futures import ThreadPoolExecutor
        def work(number):
            with driver.connect(url) as connection:
                connection.execute("create temporary table t (i int, word text)")
                with connection.cursor().copy("copy t from stdin") as copy:
                    for i in range(5000):
                        copy.write_row((i, "word" * 20))
                with connection.cursor().copy("copy t to stdout") as copy:
                    rows = sum(1 for row in copy.rows())
                with connection.pipeline():
                    cursors = [connection.execute("select %s::int", [i]) for i in range(50)]
                return rows, sum(cursor.fetchone()[0] for cursor in cursors)
        with ThreadPoolExecutor(COUNT) as ten:
            assert set(ten.map(work, range(COUNT))) == {(5000, 1225)}
    """
    program(code(driver, rest, "run"), postgres)


@pytest.mark.parametrize("driver", ["psycopg2"])
def test_a_callback_of_the_program_is_left_alone(driver, postgres, script):
    rest = """
        import psycopg2.extras
        driver.extensions.set_wait_callback(psycopg2.extras.wait_select)
        import greenroom
        greenroom.patch_all()
        print(driver.extensions.get_wait_callback() is psycopg2.extras.wait_select)
        from at_once import at_once
        at_once(lambda number: query("select pg_sleep(0.3)"), 0.3)
    """
    found = script(code("psycopg2", rest, "run"), postgres)
    assert found[0] == "True"


@BOTH
def test_ctrl_c_ends_a_query(driver, postgres, script):
    rest = """
        import os, signal, threading
        def press():
            greenroom.sleep(0.3)
            os.kill(os.getpid(), signal.SIGINT)
        greenroom.spawn(press)
        try:
            query("select pg_sleep(30)")
        except KeyboardInterrupt:
            print("interrupted")
    """
    assert script(code(driver, rest), postgres) == ["interrupted"]
