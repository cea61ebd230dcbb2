"""What the micro cases share: the command line, the repetition, the clock and the JSON line.

A file of this folder holds one peer, a function per case. `python with_X.py CASE N` runs the
function for N operations and prints one JSON line. A function returns a Sample: CPU nanoseconds
(or bytes) in all, and for how many operations. CPU time, not wall time: it counts what the
machine was kept from doing for others, and is little disturbed by what else runs on it.

Short cases are repeated, after one repetition that does not count, until they have used the
budget; those in ONE_SHOT fill the process with tasks and are run once.
"""

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

BATCH = 1000  # spawn_join: tasks that are alive together
SWITCHERS = 100  # switch100, lock100: tasks that take turns
TICKERS = 10  # scale_timer: tasks that sleep again and again
TICKS = 300  # scale_timer: how often each of them does
TICK_S = 0.001
FOR_EVER_S = 3600.0
SEED = 42

ONE_SHOT = {"sleepers", "parked_memory", "light_memory", "scale_switch", "scale_timer"}

cpu_ns = time.process_time_ns


class Sample(NamedTuple):
    total: float  # nanoseconds of CPU, or bytes
    operations: int


def delays(n: int) -> list[float]:
    """N sleeps of 0 to 1 s, the same ones for every peer."""
    rng = random.Random(SEED)
    return [rng.random() for _ in range(n)]


def laps(n: int) -> int:
    """How often each of n tasks is switched to in scale_switch: 200,000 switches, 3 laps at least.

    One of the n tasks reads the clock before and after. Between two of its turns every other task
    has had one, so a switch costs what passed / (laps * n); making the tasks does not count.
    """
    return max(3, 200_000 // n)


def rss_bytes() -> int:
    """Resident memory of this process."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main(cases: Mapping[str, Callable[[int], Sample]]) -> None:
    """Run the case named on the command line and print its JSON line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("case", choices=sorted(cases))
    parser.add_argument("n", type=int, help="operations, tasks or items, as the case has it")
    parser.add_argument("--budget-ms", type=int, default=300, help="CPU time to spend at least")
    args = parser.parse_args()
    function = cases[args.case]
    if args.case in ONE_SHOT:
        total, operations = function(args.n)
    else:
        function(args.n)
        total, operations = 0.0, 0
        while total < args.budget_ms * 1e6:
            sample = function(args.n)
            total += sample.total
            operations += sample.operations
    print(json.dumps({"case": args.case, "n": args.n, "value": total / operations}), flush=True)
    sys.stderr.flush()
    os._exit(0)  # a hundred thousand parked tasks need no orderly end
