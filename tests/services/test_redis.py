"""redis-py against Redis."""

import pytest

from .conftest import need


@pytest.fixture(autouse=True)
def client():
    need("redis")


def test_ten_at_once(redis, program):
    code = """
        import os, sys
        import redis
        from at_once import all_held, at_once
        client = redis.Redis.from_url(sys.argv[1])
        name = f"greenroom-{os.getpid()}-"
        assert at_once(lambda number: client.blpop([name + str(number)], 0.3), 0.3) == [None] * 10
        def work(number):
            with redis.Redis.from_url(sys.argv[1], client_name=name + "c") as own:
                return own.blpop([name + str(number)], 20)[1]
        def waiting():
            return sum(
                one["name"] == name + "c" and one["cmd"] == "blpop" and "b" in one["flags"]
                for one in client.client_list()
            )
        def release():
            for number in range(10):
                client.rpush(name + str(number), number)
        assert all_held(work, waiting, release) == [str(number).encode() for number in range(10)]
    """
    program(code, redis)


def test_publish_and_subscribe_in_threads(redis, program):
    code = """
        import os, sys, threading
        import redis
        client = redis.Redis.from_url(sys.argv[1], decode_responses=True)
        channel = f"greenroom-{os.getpid()}"
        got, here = [], threading.Barrier(11)
        def listen(number):
            with client.pubsub(ignore_subscribe_messages=False) as pubsub:
                pubsub.subscribe(channel)
                for message in pubsub.listen():
                    if message["type"] == "subscribe":
                        here.wait(20)
                    else:
                        got.append((number, message["data"]))
                        return
        threads = [threading.Thread(target=listen, args=(number,)) for number in range(10)]
        for thread in threads:
            thread.start()
        here.wait(20)
        print(client.publish(channel, "hello"))
        for thread in threads:
            thread.join(20)
        assert sorted(got) == [(number, "hello") for number in range(10)], got
    """
    assert program(code, redis) == ["10"]


def test_timeouts_errors_and_a_kill(redis, script):
    code = """
        import greenroom
        greenroom.patch_all()
        import os, sys
        import redis
        client = redis.Redis.from_url(
            sys.argv[1], socket_timeout=0.2, retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0)
        )
        name = f"greenroom-{os.getpid()}"
        try:
            client.blpop([name], 20)
        except redis.exceptions.TimeoutError:
            print("timeout")
        try:
            client.execute_command("NONSENSE")
        except redis.exceptions.ResponseError:
            print("error")
        client = redis.Redis.from_url(sys.argv[1], max_connections=1)
        try:
            with greenroom.timeout(0.1):
                client.blpop([name], 20)
        except TimeoutError as error:
            print(type(error).__name__)
        # The answer to BLPOP must not be taken for the answer to PING.
        print(client.ping())
        task = greenroom.spawn(client.blpop, [name], 20)
        greenroom.sleep(0.1)
        task.kill()
        assert task.join(5)
        print(type(task.exception).__name__, client.ping())
    """
    assert script(code, redis) == ["timeout", "error", "Timeout", "True", "TaskKilled True"]
