"""requests, urllib3 and httpx against a slow server on real threads."""

from textwrap import dedent

import pytest

from .conftest import need

GET = {
    "requests": """
        import requests
        session = requests.Session()
        session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=10, pool_block=True))
        def get(url, timeout=30):
            reply = session.get(url, timeout=timeout)
            reply.raise_for_status()
            return reply.text
        Timeout, Failed = requests.exceptions.ReadTimeout, requests.exceptions.HTTPError
        Refused = requests.exceptions.ConnectionError
    """,
    "urllib3": """
        import urllib3
        pool = urllib3.PoolManager(maxsize=10, block=True, retries=False)
        class Failed(Exception): pass
        def get(url, timeout=30):
            reply = pool.request("GET", url, timeout=timeout)
            if reply.status != 200:
                raise Failed(reply.status)
            return reply.data.decode()
        Timeout = urllib3.exceptions.ReadTimeoutError
        Refused = urllib3.exceptions.NewConnectionError
    """,
    "httpx": """
        import httpx
        client = httpx.Client()
        def get(url, timeout=30):
            reply = client.get(url, timeout=timeout)
            reply.raise_for_status()
            return reply.text
        Timeout, Failed, Refused = httpx.ReadTimeout, httpx.HTTPStatusError, httpx.ConnectError
    """,
}


def code(client, rest):
    return dedent(GET[client]) + dedent(rest)


@pytest.mark.parametrize("client", GET)
def test_ten_at_once(client, slow, program):
    need(client)
    rest = """
        import sys
        from concurrent.futures import ThreadPoolExecutor
        from at_once import at_once
        base = sys.argv[1]
        assert "10" in at_once(lambda number: get(base + "/slow/{client}"), 0.3)
        with ThreadPoolExecutor(10) as ten:
            assert set(ten.map(lambda number: get(base + "/hold/{client}"), range(10))) == {"done"}
    """
    program(code(client, rest.replace("{client}", client)), slow)


@pytest.mark.parametrize("client", GET)
def test_a_pool_of_two_makes_ten_wait_for_each_other(client, slow, program):
    need(client)
    if client == "httpx":
        limited = "client = httpx.Client(limits=httpx.Limits(max_connections=2))"
    elif client == "urllib3":
        limited = "pool = urllib3.PoolManager(maxsize=2, block=True)"
    else:
        limited = """session.mount(
            "http://", requests.adapters.HTTPAdapter(pool_maxsize=2, pool_block=True))"""
    rest = f"""
        import sys
        from concurrent.futures import ThreadPoolExecutor
        base = sys.argv[1]
        {limited}
        with ThreadPoolExecutor(10) as ten:
            found = list(ten.map(lambda number: get(base + "/slow/two-{client}"), range(10)))
        assert set(found) <= {{"1", "2"}} and "2" in found, found
    """
    program(code(client, rest), slow)


@pytest.mark.parametrize("client", GET)
def test_timeouts_errors_and_a_kill(client, slow, script):
    need(client)
    before = "import greenroom; greenroom.patch_all()\n"
    rest = """
        import sys
        base = sys.argv[1]
        try:
            get(base + "/hang", timeout=0.1)
        except Timeout:
            print("timeout")
        try:
            get(base + "/error")
        except Failed:
            print("error")
        try:
            get("http://127.0.0.1:1/")
        except Refused:
            print("refused")
        try:
            with greenroom.timeout(0.1):
                get(base + "/hang")
        except TimeoutError as error:
            print(type(error).__name__)
        task = greenroom.spawn(get, base + "/hang")
        greenroom.sleep(0.1)
        task.kill()
        assert task.join(5)
        print(type(task.exception).__name__)
        print(get(base + "/fine"))
    """
    assert script(before + code(client, rest), slow) == [
        "timeout",
        "error",
        "refused",
        "Timeout",
        "TaskKilled",
        "done",
    ]
