"""Malformed and truncated requests, made from a corpus by mutation and by a grammar.

Run as a script it sends 20,000 of them to a real server (another number: its argument). The law:
every byte string is answered by responses of which the last may be a refusal, 4xx (or 501, 505 for
what is well-formed but not supported), or the connection is closed; the server lives, and no task,
connection or fd is left. tests run fewer, most of them through the parser alone.
"""

import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import rawhttp

import greenroom
from greenroom.core import scheduler as _scheduler
from greenroom.servers import http1
from greenroom.servers.http import Exchange
from greenroom.servers.http1 import BadRequest

CORPUS = Path(__file__).parent / "corpus" / "requests.txt"
FOUND = CORPUS.with_name("found.txt")  # by fuzz_atheris.py

# What trips parsers, put in anywhere.
SPICES = [
    *(bytes([code]) for code in (0, 1, 9, 10, 11, 13, 32, 44, 58, 59, 127, 128, 133, 160, 255)),
    *(b"\r\n", b"\r\n\r\n", b"\n\n", b"\r", b"\r\n ", b"\r\n\t", b" :", b": ", b"\x00\r\n"),
    *(b"0\r\n\r\n", b"ffffffffffffffff\r\n", b"-1", b"+1", b"0x1", b"1e3", b"99999999999999999999"),
    *(b"Content-Length: 5\r\n", b"Content-Length: 6\r\n", b"Transfer-Encoding: chunked\r\n"),
    *(b"Transfer-Encoding: identity\r\n", b"Transfer-Encoding: chunked, identity\r\n"),
    *(
        b"Connection: close\r\n",
        b"Connection: upgrade\r\nUpgrade: x\r\n",
        b"Expect: 100-continue\r\n",
    ),
    *(b"Host: y\r\n", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/0.9", b"http://h/", b"//", b"%00", b"#"),
]


def corpus() -> list[bytes]:
    """Return the requests of the corpus files."""
    return of_lines(CORPUS.read_text("ascii") + FOUND.read_text("ascii"))


def of_lines(text: str) -> list[bytes]:
    """Return the requests in text: one a line, as Python's escapes."""
    return [
        line.encode().decode("unicode_escape").encode("latin-1")
        for line in text.splitlines()
        if line and not line.startswith("# ")
    ]


def as_line(data: bytes) -> str:
    """Return data as a line of a corpus file."""
    text = data.decode("latin-1").encode("unicode_escape").decode("ascii")
    return text.replace("#", r"\x23", 1) if text.startswith("#") else text


def mutated(seeds: list[bytes], chance: random.Random) -> bytes:
    """Return one or two seeds after some damage."""
    data = bytearray(chance.choice(seeds))
    if chance.random() < 0.3:
        data += chance.choice(seeds)
    for _ in range(chance.choice((0, 1, 1, 1, 2, 3, 8))):
        place = chance.randrange(len(data) + 1)
        kind = chance.randrange(7)
        if kind == 0:
            data[place:place] = chance.choice(SPICES)
        elif kind == 1:
            data[place : place + chance.randrange(1, 9)] = b""
        elif kind == 2:
            data[place : place + 1] = bytes([chance.randrange(256)])
        elif kind == 3:
            data[place : place + chance.randrange(1, 9)] = chance.choice(SPICES)
        elif kind == 4:
            del data[place:]
        elif kind == 5:
            start = chance.randrange(len(data) + 1)
            data[place:place] = data[start : start + chance.randrange(1, 40)]
        else:
            data[place:place] = bytes([chance.randrange(256)]) * chance.choice(
                (1, 100, 9000, 70000)
            )
    return bytes(data)


def cases(seed: int, count: int) -> Iterator[bytes]:
    """Yield count cases, the same for the same seed: first the corpus as it is, and cut off."""
    chance = random.Random(seed)
    seeds = corpus()
    made = 0
    for whole in seeds:
        for data in (whole, whole[: chance.randrange(len(whole))]):
            if made < count:
                made += 1
                yield data
    for _ in range(count - made):
        yield mutated(seeds, chance)


def parse_all(data: bytes, module: ModuleType = http1) -> list[tuple[str, bytes, bytes]]:
    """Read all requests in data with the parser alone; raises what it raises."""
    parser = module.RequestParser()
    found = []
    place = 0
    while place < len(data):
        end = parser.parse(data, place)
        if end < 0:
            break
        assert place < end <= len(data)
        place = end
        body = b""
        if parser.length < 0:
            decoder = module.ChunkDecoder()
            body = decoder.decode(data, place)
            if not decoder.done:
                break
            assert place < decoder.place <= len(data)
            place = decoder.place
        elif parser.length:
            body = data[place : place + parser.length]
            place += parser.length
        found.append((parser.method, parser.target, body))
        if not parser.keep_alive:
            break
    return found


def answer(exchange: Exchange) -> None:
    """An application that reads some bodies, and some in part."""
    if len(exchange.target) % 3 == 0:
        exchange.read()
    elif len(exchange.target) % 3 == 1:
        exchange.read(2)
    exchange.start(200, None, [])
    exchange.finish(b"ok")


def check_served(server: object, data: bytes) -> None:
    """Send data, end our side, and look at what comes."""
    got = rawhttp.ask(server, data, half_close=True)
    statuses = rawhttp.statuses(got)
    for status in statuses[:-1]:
        assert status in (100, 200), (data, got)
    for status in statuses[-1:]:
        assert status in (100, 200, 501, 505) or 400 <= status < 500, (data, got)
    assert not got or statuses, (data, got)


def run(seed: int, count: int, at_once: int = 20) -> None:
    """Send count cases to a server and check that nothing is left."""
    with rawhttp.serving(answer, header_timeout=5, body_timeout=5) as server:
        rawhttp.ask(server, rawhttp.LAST)
        fds = len(os.listdir("/proc/self/fd"))
        with greenroom.TaskGroup() as group:
            pool = greenroom.Semaphore(at_once)

            def one(data: bytes) -> None:
                try:
                    check_served(server, data)
                finally:
                    pool.release()

            for data in cases(seed, count):
                pool.acquire()
                group.spawn(one, data)
        with greenroom.timeout(60):
            while server._clients:
                greenroom.sleep(0.01)
        tasks = [task for task in _scheduler.get().tasks() if "handle" in task.name]
        assert not tasks, tasks
        assert rawhttp.statuses(rawhttp.ask(server, rawhttp.LAST)) == [200]
        with greenroom.timeout(60):
            while server._clients:
                greenroom.sleep(0.01)
        assert len(os.listdir("/proc/self/fd")) == fds


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    refused = 0
    for case in cases(1, number):
        try:
            parse_all(case)
        except BadRequest:
            refused += 1
    print(f"parser: {number} cases, {refused} refused")
    run(2, number)
    print(f"server: {number} cases, nothing left behind")
