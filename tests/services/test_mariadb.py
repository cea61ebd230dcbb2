"""PyMySQL against MariaDB: a driver in Python, green by its sockets alone."""

import pytest

from .conftest import need

CONNECT = """
    import sys
    from urllib.parse import urlsplit
    import pymysql
    url = urlsplit(sys.argv[1])
    def connect(**options):
        return pymysql.connect(
            host=url.hostname, port=url.port, user=url.username, password=url.password or "",
            database=url.path.strip("/"), **options,
        )
    def query(text, *args, **options):
        with connect(**options) as connection, connection.cursor() as cursor:
            cursor.execute(text, args)
            return cursor.fetchone()[-1]
"""


@pytest.fixture(autouse=True)
def client():
    need("pymysql")


def test_ten_at_once(mariadb, program):
    code = """
    from at_once import all_held, at_once
    connections = [connect() for _ in range(10)]  # each makes a TLS context, which computes
    def sleep(number):
        with connections[number].cursor() as cursor:
            cursor.execute("select sleep(0.3), %s", [number])
            return cursor.fetchone()[1]
    assert at_once(sleep, 0.3) == [*range(10)]

    holder, lock = connect(), "greenroom-" + str(id(url))
    def execute(text):
        with holder.cursor() as cursor:
            cursor.execute(text, [lock])
            return cursor.fetchone()[0]
    assert execute("select get_lock(%s, 0)") == 1
    def work(number):
        return query("select get_lock(%s, 20)", lock)
    def waiting():
        return execute(
            "select count(*) from information_schema.processlist"
            " where state = 'User lock' and info like concat('%%', %s, '%%')"
        )
    assert all_held(work, waiting, lambda: execute("select release_lock(%s)")) == [1] * 10
    """
    program(CONNECT + code, mariadb)


def test_timeouts_errors_and_a_kill(mariadb, script):
    code = """
    import greenroom
    greenroom.patch_all()
    """
    rest = """
    try:
        query("select sleep(20)", read_timeout=0.1)
    except pymysql.err.OperationalError as error:
        print("read timeout", error.args[0])
    try:
        query("select nonsense")
    except pymysql.err.OperationalError as error:
        print("error", error.args[0])
    connection = connect()
    cursor = connection.cursor()
    try:
        with greenroom.timeout(0.1):
            cursor.execute("select sleep(20)")
    except TimeoutError as error:
        print(type(error).__name__)
    try:
        cursor.execute("select 1")
    except pymysql.err.Error as error:
        print("afterwards:", type(error).__name__)
    connection = connect()
    def work():
        with connection.cursor() as cursor:
            cursor.execute("select sleep(20)")
    task = greenroom.spawn(work)
    greenroom.sleep(0.1)
    task.kill()
    assert task.join(5)
    print(type(task.exception).__name__)
    print(connection.open, query("select 7"))
    """
    # A connection whose query was cut short is closed: an answer on its way would answer the next.
    assert script(code + CONNECT + rest, mariadb) == [
        "read timeout 2013",
        "error 1054",
        "Timeout",
        "afterwards: InterfaceError",
        "TaskKilled",
        "False 7",
    ]
