"""Run the benchmarks: greenroom beside its peers, interleaved, medians, ratios, verdicts.

    python benchmarks/bench.py [--quick] [--only CASE,...] [--peers NAME,...] [--rounds N]

Every round runs every case, and every case each peer once before the next: a slow minute of the
machine falls on all of them. The order of the peers moves on by one each round. Writes latest.md,
latest.json, chart.svg and chart.png: a whole run to results/, one that is --quick or leaves cases
or peers out to build/results/, so that it never takes the place of the whole table. A whole run
also writes the figures of docs/servers.md.

Exits with 1 when greenroom failed in a case, with 2 when the set-up failed. A goal that is missed
is a line in the report, no failure; so is a case for which the machine has not what it needs.
"""

import argparse
import os
import subprocess
import sys
from dataclasses import replace

from cases import ALL_COLUMNS, CASES, GREENROOM, Case, Peer, ServerCase, peers_of
from environment import (
    BENCH_DIR,
    PARTIAL_RESULTS_DIR,
    RESULTS_DIR,
    SERVER_PAGE,
    VENV_PYTHON,
    SetupError,
    compile_programs,
    describe_machine,
    find_tools,
    install,
    raise_file_limit,
    without_paths,
)
from measure import FULL, QUICK, MeasureError, Sample, Settings, measure
from measure_servers import measure_server
from report import Results, figure, is_not_found, update_server_page, write


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="greenroom beside its peers; see README.md")
    parser.add_argument("--quick", action="store_true", help="one short round: does it all run?")
    parser.add_argument("--only", metavar="CASE,...", help="cases by name or first letters")
    parser.add_argument("--peers", metavar="NAME,...", help="these alone, e.g. greenroom,uvloop")
    parser.add_argument("--client-polls", action="store_true", help="never sleeps; see loadgen.c")
    parser.add_argument("--rounds", type=int, help="5, with --quick 1")
    args = parser.parse_args()
    if args.rounds is None:
        args.rounds = 1 if args.quick else 5
    if args.rounds < 1:
        parser.error(f"--rounds takes 1 or more, not {args.rounds}")
    args.whole = not args.quick and args.only is None and args.peers is None
    args.cases = list(CASES) if args.only is None else cases_named(names(args.only))
    if not args.cases:
        parser.error(f"no case {args.only!r}: {', '.join(case.name for case in CASES)}")
    known = {name for p in ALL_COLUMNS for name in (p.name, p.family)}
    args.peers = set(known if args.peers is None else names(args.peers))
    if not args.peers <= known:
        parser.error(f"no peer {sorted(args.peers - known)}: {', '.join(sorted(known))}")
    return args


def names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def cases_named(wanted: tuple[str, ...]) -> list[Case]:
    """The cases of these names; a name that is none chooses all that begin with it."""
    exact = {case.name for case in CASES if case.name in wanted}
    prefixes = tuple(name for name in wanted if name not in exact)
    return [c for c in CASES if c.name in exact or (prefixes and c.name.startswith(prefixes))]


def chosen(case: Case, wanted: set[str]) -> list[Peer]:
    return [peer for peer in peers_of(case) if peer.name in wanted or peer.family in wanted]


def prepare() -> dict[str, str]:
    """Install and compile. Returns program -> why there is nothing to run."""
    missing: dict[str, str] = {}
    if os.environ.get("BENCH_NO_INSTALL") != "1":
        say("installing the peers and greenroom into benchmarks/.venv")
        reason = install()
        if reason is not None:
            say(reason)
            missing |= {p.program: reason for p in ALL_COLUMNS if p.family == GREENROOM}
    elif not VENV_PYTHON.exists():
        raise SetupError("BENCH_NO_INSTALL=1 is set, and there is no benchmarks/.venv")
    return missing | compile_programs() | find_tools()


def run(args: argparse.Namespace, results: Results, missing: dict[str, str]) -> None:
    """Fill in the results. A peer that failed in a case is not tried again in it."""
    settings = replace(QUICK if args.quick else FULL, polling_client=args.client_polls)
    for number in range(args.rounds):
        for case in args.cases:
            peers = chosen(case, args.peers)
            for i in range(len(peers)):
                peer = peers[(i + number) % len(peers)]
                key = (case.name, peer.name)
                if key in results.failures:
                    continue
                where = f"round {number + 1}/{args.rounds}  {case.name:20} {peer.name:17}"
                try:
                    for need in (peer.program, *getattr(case, "needs", ())):
                        if need in missing:
                            raise MeasureError(missing[need])
                    sample = measured(case, peer, settings)
                except MeasureError as error:
                    results.failures[key] = without_paths(str(error))
                    say(f"{where} {results.failures[key]}")
                else:
                    results.samples.setdefault(key, []).append(sample)
                    say(f"{where} {figure(sample.value)} {case.unit}")


def measured(case: Case, peer: Peer, settings: Settings) -> Sample:
    if isinstance(case, ServerCase):
        return measure_server(case, peer, settings)
    return measure(case, peer, settings)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    args = parse_arguments()
    raise_file_limit()
    try:
        missing = prepare()
    except SetupError as error:
        say(str(error))
        return 2
    results = Results(describe_machine(), args.rounds, args.quick, args.client_polls)
    try:
        run(args, results, missing)
    except KeyboardInterrupt:
        say("stopped; nothing is written")
        return 130
    folder = RESULTS_DIR if args.whole else PARTIAL_RESULTS_DIR
    print(write(results, folder))
    if args.whole:
        update_server_page(results, SERVER_PAGE)
    chart = subprocess.run([str(VENV_PYTHON), str(BENCH_DIR / "chart.py"), str(folder)])
    if chart.returncode != 0:
        say("the chart could not be drawn; the tables are written")
    failed = [key for key, reason in results.failures.items() if not is_not_found(reason)]
    return 1 if any(peer == GREENROOM for _, peer in failed) else 0


if __name__ == "__main__":
    sys.exit(main())
