"""SQLAlchemy's QueuePool: who waits for a connection parks, and a pool that is empty times out."""

import pytest

from .conftest import need

ENGINES = pytest.mark.parametrize(
    ("database", "driver", "sleep"),
    [
        ("postgres", "psycopg", "select :number from pg_sleep(:seconds)"),
        ("postgres", "psycopg2", "select :number from pg_sleep(:seconds)"),
        ("mariadb", "pymysql", "select :number from (select sleep(:seconds)) as slept"),
    ],
)

START = """
    import sys
    from urllib.parse import urlsplit
    import sqlalchemy
    from sqlalchemy import exc, text
    _, driver, sleep, address = sys.argv
    dialect = {"psycopg": "postgresql", "psycopg2": "postgresql", "pymysql": "mysql"}[driver]
    address = f"{dialect}+{driver}" + address[address.index(":"):]
    def engine(**options):
        return sqlalchemy.create_engine(address, **options)
    def fill(engine):
        # Connecting computes (PyMySQL makes a TLS context each time): it is not to be measured.
        for connection in [engine.connect() for _ in range(engine.pool.size())]:
            connection.close()
        return engine
    def query(engine, seconds, number=0):
        with engine.connect() as connection:
            asked = {"seconds": seconds, "number": number}
            return int(connection.execute(text(sleep), asked).scalar())
"""


@pytest.fixture
def args(request, database, driver, sleep):
    need("sqlalchemy", driver)
    return driver, sleep, request.getfixturevalue(database)


@ENGINES
def test_ten_at_once(args, program):
    code = """
    from at_once import at_once
    ten = fill(engine(pool_size=10))
    assert at_once(lambda number: query(ten, 0.3, number), 0.3) == [*range(10)]
    assert ten.pool.checkedin() == 10 and ten.pool.checkedout() == 0
    # A pool of five serves ten in two rounds.
    five = fill(engine(pool_size=5, max_overflow=0))
    assert at_once(lambda number: query(five, 0.3, number), 0.3) == [*range(10)]
    assert five.pool.checkedin() == 5 and five.pool.checkedout() == 0
    """
    program(START + code, *args)


@ENGINES
def test_a_pool_that_is_empty_times_out_and_recovers(args, program):
    code = """
    from concurrent.futures import ThreadPoolExecutor
    import threading
    small = engine(pool_size=1, max_overflow=1, pool_timeout=0.3)
    with ThreadPoolExecutor(3) as three:
        held, release = threading.Semaphore(0), threading.Event()
        def hold():
            with small.connect():
                held.release()
                assert release.wait(20)
        holders = [three.submit(hold) for _ in range(2)]
        assert held.acquire(timeout=20) and held.acquire(timeout=20)
        try:
            small.connect()
        except exc.TimeoutError:
            print("timeout")
        small.pool._timeout = 20
        waiter = three.submit(query, small, 0, 7)
        release.set()
        print(waiter.result(20), [holder.result(20) for holder in holders])
    print(small.pool.checkedout())
    """
    assert program(START + code, *args) == ["timeout", "7 [None, None]", "0"]


@ENGINES
def test_a_kill_and_a_timeout_give_the_connection_back(args, script):
    code = """
    import greenroom
    greenroom.patch_all()
    """
    rest = """
    one = engine(pool_size=1, max_overflow=0, pool_timeout=10)
    try:
        with greenroom.timeout(0.2):
            query(one, 30)
    except TimeoutError as error:
        print(type(error).__name__)
    print(query(one, 0, 7))
    task = greenroom.spawn(query, one, 30)
    greenroom.sleep(0.2)
    waiting = greenroom.spawn(query, one, 0, 8)
    greenroom.sleep(0.05)
    task.kill()
    print(waiting.result(20), type(task.exception).__name__)
    task = greenroom.spawn(query, one, 0.3, 9)
    greenroom.sleep(0.05)
    waiting = greenroom.spawn(query, one, 0)
    greenroom.sleep(0.05)
    waiting.kill()  # while it waits for a connection
    print(waiting.join(5), task.result(), one.pool.checkedout())
    """
    assert script(code + START + rest, *args) == ["Timeout", "7", "8 TaskKilled", "True 9 0"]
