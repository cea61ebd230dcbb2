"""GETs by `requests` in blocking code, ten tasks at once: CPU per GET on the client's side.

    python requests_get.py PEER N --url URL

The program after the patching is the same for every peer: plain `threading` and `requests`, which
under greenroom and gevent are green. Each task keeps one Session, and so one connection alive.
"""

import sys

if sys.argv[1] == "greenroom":
    import greenroom

    greenroom.patch_all()
elif sys.argv[1] == "gevent":
    from gevent import monkey

    monkey.patch_all()
elif sys.argv[1] != "threads":
    sys.exit(f"no peer {sys.argv[1]!r}: greenroom, gevent or threads")

import argparse
import json
import threading

import requests
from common import cpu_ns

TASKS = 10
BODY = b"green room!\n"


def get_all(url: str, total: int) -> int:
    """GET url `total` times, spread over the tasks; return how many answers were right."""
    right: list[int] = []

    def get_some() -> None:
        count = 0
        with requests.Session() as session:
            session.trust_env = False
            for _ in range(total // TASKS):
                count += session.get(url, timeout=10).content == BODY
        right.append(count)

    threads = [threading.Thread(target=get_some) for _ in range(TASKS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(right)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("peer")
    parser.add_argument("n", type=int)
    parser.add_argument("--url", required=True)
    args = parser.parse_args()
    get_all(args.url, TASKS)
    start = cpu_ns()
    right = get_all(args.url, args.n)
    used = cpu_ns() - start
    if right != args.n // TASKS * TASKS:
        sys.exit(f"only {right} of {args.n} GETs brought the right answer")
    print(json.dumps({"case": "requests_get", "n": args.n, "value": used / right}), flush=True)


main()
