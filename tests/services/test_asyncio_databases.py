"""asyncpg, psycopg's async connection, aiomysql, asyncmy, redis.asyncio, beside blocking drivers.

All of a test is in one thread: five kinds of callers wait at one server together.
"""

import pytest

from .conftest import need

POSTGRES = """
    import asyncio, os, sys
    import asyncpg, psycopg
    import greenroom
    from together import all_held
    url, key = sys.argv[1], os.getpid()
    lock = f"select pg_advisory_xact_lock_shared({key})"
    def blocking():
        with psycopg.connect(url) as connection:
            return connection.execute(lock + ", 'blocking'").fetchone()[-1]
    async def blocking_in_a_coroutine():
        return blocking()
    async def with_asyncpg():
        connection = await asyncpg.connect(url)
        try:
            return (await connection.fetchrow(lock + ", 'asyncpg'"))[-1]
        finally:
            await connection.close()
    async def with_psycopg():
        async with await psycopg.AsyncConnection.connect(url) as connection:
            return (await (await connection.execute(lock + ", 'async'")).fetchone())[-1]
    def awaits_in_plain_code():
        return greenroom.await_(with_asyncpg())  # in the loop that the thread has by itself
"""


def test_postgres_ten_of_five_kinds_wait_together(postgres, program):
    need("asyncpg", "psycopg")
    code = """
    async def main():
        with psycopg.connect(url, autocommit=True) as holder:
            holder.execute(f"select pg_advisory_lock({key})")
            def waiting():
                return holder.execute(
                    "select count(*) from pg_locks"
                    f" where locktype = 'advisory' and not granted and objid = {key}"
                ).fetchone()[0]
            def release():
                holder.execute(f"select pg_advisory_unlock({key})")
            works = [
                blocking, blocking_in_a_coroutine, with_asyncpg, with_psycopg, awaits_in_plain_code
            ]
            return await all_held(works * 2, waiting, release)
    print(*asyncio.run(main()))
    """
    assert program(POSTGRES + code, postgres) == [
        "blocking blocking asyncpg async asyncpg blocking blocking asyncpg async asyncpg"
    ]


def test_postgres_a_pool_with_time_limits_errors_and_a_kill(postgres, program):
    need("asyncpg", "psycopg")
    code = """
    async def main():
        async with asyncpg.create_pool(url, min_size=1, max_size=1) as pool:
            try:
                async with asyncio.timeout(0.2):
                    await pool.fetchval("select pg_sleep(20)")
            except TimeoutError as error:
                print(type(error).__name__)
            print(await pool.fetchval("select 'one'"))
            try:
                await pool.fetchval("select 1 / 0")
            except asyncpg.DivisionByZeroError:
                print("division")
            loop = asyncio.get_running_loop()
            def other_thread():
                sleep = pool.fetchval("select pg_sleep(20)")
                future = asyncio.run_coroutine_threadsafe(sleep, loop)
                try:
                    return future.result()
                finally:
                    future.cancel()
            task = greenroom.spawn(other_thread)
            await asyncio.sleep(0.2)
            task.kill()
            try:
                await task
            except greenroom.TaskKilled:
                print("killed")
            print(await pool.fetchval("select 'two'"))
            try:
                with greenroom.timeout(0.2):
                    with psycopg.connect(url) as connection:
                        connection.execute("select pg_sleep(20)")
            except TimeoutError as error:
                print(type(error).__name__)
            ten = asyncio.gather(*(pool.fetchval(f"select {n}") for n in range(10)))
            print(*await ten)
    asyncio.run(main())
    """
    assert program(POSTGRES + code, postgres) == [
        "TimeoutError",
        "one",
        "division",
        "killed",
        "two",
        "Timeout",
        "0 1 2 3 4 5 6 7 8 9",
    ]


@pytest.mark.parametrize("driver", ["aiomysql", "asyncmy"])
def test_mariadb_ten_of_three_kinds_wait_together(mariadb, program, driver):
    need(driver, "pymysql")
    code = """
    import asyncio, os, sys
    from urllib.parse import urlsplit
    import DRIVER as driver, pymysql
    from together import all_held
    url = urlsplit(sys.argv[1])
    address = dict(
        host=url.hostname, port=url.port, user=url.username, password=url.password or "",
    )
    database = url.path.strip("/")
    lock = f"greenroom-aio-{os.getpid()}"
    def blocking():
        with pymysql.connect(database=database, **address) as own, own.cursor() as cursor:
            cursor.execute("select get_lock(%s, 20), 'blocking'", [lock])
            return cursor.fetchone()[-1]
    async def blocking_in_a_coroutine():
        return blocking()
    async def waits():
        connection = await driver.connect(db=database, **address)
        try:
            async with connection.cursor() as cursor:
                await cursor.execute("select get_lock(%s, 20), 'async'", [lock])
                return (await cursor.fetchone())[-1]
        finally:
            connection.close()
    async def main():
        with pymysql.connect(database=database, **address) as holder, holder.cursor() as cursor:
            def execute(text):
                cursor.execute(text, [lock])
                return cursor.fetchone()[0]
            assert execute("select get_lock(%s, 0)") == 1
            def waiting():
                return execute(
                    "select count(*) from information_schema.processlist"
                    " where state = 'User lock' and info like concat('%%', %s, '%%')"
                )
            works = [blocking, blocking_in_a_coroutine, waits, waits, waits] * 2
            found = await all_held(works, waiting, lambda: execute("select release_lock(%s)"))
        async with driver.create_pool(maxsize=2, db=database, **address) as pool:
            async def query(number):
                async with pool.acquire() as connection, connection.cursor() as cursor:
                    await cursor.execute("select %s", [number])
                    return (await cursor.fetchone())[0]
            assert await asyncio.gather(*map(query, range(10))) == [*range(10)]
        return found
    print(*asyncio.run(main()))
    """
    assert program(code.replace("DRIVER", driver), mariadb) == [
        "blocking blocking async async async blocking blocking async async async"
    ]


def test_redis_ten_of_four_kinds_wait_together(redis, program):
    need("redis")
    code = """
    import asyncio, os, sys
    import redis
    import greenroom
    from together import all_held
    url, key = sys.argv[1], f"greenroom-aio-{os.getpid()}"
    name = key + "-client"
    def blocking():
        with redis.Redis.from_url(url, client_name=name) as client:
            return client.blpop([key], 20)[1]
    async def blocking_in_a_coroutine():
        return blocking()
    async def waits():
        async with redis.asyncio.Redis.from_url(url, client_name=name) as client:
            return (await client.blpop([key], 20))[1]
    def awaits_in_plain_code():
        return greenroom.await_(waits())
    async def main():
        with redis.Redis.from_url(url) as client:
            def waiting():
                return sum(
                    one["name"] == name and one["cmd"] == "blpop" and "b" in one["flags"]
                    for one in client.client_list()
                )
            def release():
                client.rpush(key, *range(8))
            works = [blocking, blocking_in_a_coroutine, waits, awaits_in_plain_code] * 2
            assert sorted(await all_held(works, waiting, release)) == [b"%d" % n for n in range(8)]
        async with redis.asyncio.Redis.from_url(url) as client:
            try:
                async with asyncio.timeout(0.2):
                    await client.blpop([key], 20)
            except TimeoutError:
                print("timeout", await client.ping())
            task = asyncio.create_task(client.blpop([key], 20))
            await asyncio.sleep(0.1)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                print("cancelled", await client.ping())
            async with client.pubsub() as pubsub:
                await pubsub.subscribe(key)
                await pubsub.get_message(timeout=20)  # that it has subscribed
                redis.Redis.from_url(url).publish(key, "hello")
                print((await pubsub.get_message(timeout=20))["data"])
    asyncio.run(main())
    """
    assert program(code, redis) == ["timeout True", "cancelled True", "b'hello'"]
