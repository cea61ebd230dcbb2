"""A small JSON API: a to-do list, kept in memory.

    python examples/json_api.py 8000

    curl http://127.0.0.1:8000/items
    curl -d '{"title": "milk"}' http://127.0.0.1:8000/items
    curl -X PATCH -d '{"done": true}' http://127.0.0.1:8000/items/1
    curl -X DELETE http://127.0.0.1:8000/items/1
    curl 'http://127.0.0.1:8000/wait?after=1'         waits until there is an item after number 1

The last one is why green threads are pleasant here: a handler that waits is a line of plain code,
and ten thousand of them cost little. It prints where it listens (port 0 lets the system choose) and
serves until Ctrl-C. It needs greenroom[http].
"""

import itertools
import json
import re
import sys
from typing import Any
from urllib.parse import parse_qs

import greenroom
from greenroom.servers.http import Exchange, HTTPServer

MAX_BODY = 64 * 1024
LONGEST_WAIT = 30.0  # seconds


class Problem(Exception):
    """What is wrong with a request: a status and a sentence."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Items:
    """The list, and the application that serves it."""

    def __init__(self) -> None:
        self.items: dict[int, dict[str, Any]] = {}
        self.numbers = itertools.count(1)
        self.added = greenroom.Condition()

    def __call__(self, exchange: Exchange) -> None:
        try:
            status, answer = self.route(exchange)
        except Problem as problem:
            status, answer = problem.status, {"error": str(problem)}
        exchange.start(status, None, [(b"Content-Type", b"application/json")])
        exchange.finish(b"" if status == 204 else json.dumps(answer).encode() + b"\n")

    def route(self, exchange: Exchange) -> tuple[int, Any]:
        """Return the status and the answer of a request."""
        path = exchange.path.decode("latin-1")
        method = "GET" if exchange.method == "HEAD" else exchange.method
        if path == "/items" and method == "GET":
            return 200, list(self.items.values())
        if path == "/items" and method == "POST":
            return 201, self.add(self.read(exchange))
        if path == "/wait" and method == "GET":
            return 200, self.wait(exchange)
        found = re.fullmatch(r"/items/(\d{1,9})", path)
        if found is None:
            raise Problem(404 if path not in ("/items", "/wait") else 405, f"no {method} of {path}")
        number = int(found[1])
        if number not in self.items:
            raise Problem(404, f"there is no item {number}")
        if method == "GET":
            return 200, self.items[number]
        if method == "PATCH":
            self.items[number].update(self.read(exchange))
            return 200, self.items[number]
        if method == "DELETE":
            del self.items[number]
            return 204, None
        raise Problem(405, f"no {method} of {path}")

    def read(self, exchange: Exchange) -> dict[str, Any]:
        """Return the fields of a request's body."""
        body = exchange.read(MAX_BODY + 1)
        if len(body) > MAX_BODY:
            raise Problem(413, f"the body is longer than {MAX_BODY} bytes")
        try:
            fields = json.loads(body)
        except ValueError as error:
            raise Problem(400, f"the body is no JSON: {error}") from None
        if not isinstance(fields, dict) or not fields.keys() <= {"title", "done"}:
            raise Problem(400, "the body must be an object of title and done")
        if not isinstance(fields.get("title", ""), str) or not isinstance(
            fields.get("done", False), bool
        ):
            raise Problem(400, "title must be a string, and done true or false")
        return fields

    def add(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Add an item, and wake who waits for one."""
        if not fields.get("title"):
            raise Problem(400, "an item needs a title")
        number = next(self.numbers)
        item = self.items[number] = {"number": number, "done": False, **fields}
        with self.added:
            self.added.notify_all()
        return item

    def wait(self, exchange: Exchange) -> list[dict[str, Any]]:
        """Return the items after a number, as soon as there are any; [] after LONGEST_WAIT."""
        query = parse_qs(exchange.query.decode("latin-1"))
        try:
            after = int(query.get("after", ["0"])[0])
        except ValueError:
            raise Problem(400, "after must be a number") from None

        def newer() -> list[dict[str, Any]]:
            return [item for number, item in self.items.items() if number > after]

        with self.added:
            found: list[dict[str, Any]] = self.added.wait_for(newer, LONGEST_WAIT) or []
        return found


def main(port: int) -> None:
    with HTTPServer(("127.0.0.1", port), Items()) as server:
        print(f"listening on http://127.0.0.1:{server.address[1]}/", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 8000)
    except KeyboardInterrupt:
        pass
