"""The results as a document: medians, ratios and verdicts in Markdown, everything in JSON."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from cases import (
    CASES,
    ECHO_CASES,
    ECHO_PEERS,
    GREENROOM,
    MICRO_CASES,
    MICRO_PEERS,
    SERVER_CASES,
    SERVER_PEERS,
    Case,
    Peer,
    peers_of,
)
from goals import goals_of, judge, reason_of
from measure import Sample

Key = tuple[str, str]  # case name, peer name


@dataclass
class Results:
    """What one run of the benchmarks brought."""

    machine: dict[str, str]
    rounds: int
    quick: bool
    client_polls: bool
    samples: dict[Key, list[Sample]] = field(default_factory=dict)
    failures: dict[Key, str] = field(default_factory=dict)

    def medians(self) -> dict[Key, float]:
        """The median of every figure that did not fail, in the case's unit."""
        return {
            key: median(sample.value for sample in samples)
            for key, samples in self.samples.items()
            if samples and key not in self.failures
        }

    def detail(self, key: Key, name: str) -> float:
        return median(float(sample.details[name]) for sample in self.samples[key])


def as_json(results: Results) -> str:
    medians = results.medians()
    cases: list[dict[str, Any]] = []
    for case in CASES:
        peers = {
            peer.name: {
                "median": medians.get((case.name, peer.name)),
                "samples": [s.as_dict() for s in results.samples.get((case.name, peer.name), [])],
                "failure": results.failures.get((case.name, peer.name)),
            }
            for peer in peers_of(case)
            if (case.name, peer.name) in results.samples | results.failures
        }
        verdicts = [judge(goal, medians) for goal in goals_of(case.name)]
        if peers:
            goals = [
                {"goal": v.goal.text(case.unit), "measured": v.measured, "met": v.met}
                for v in verdicts
            ]
            cases.append(
                {
                    "name": case.name,
                    "title": case.title,
                    "unit": case.unit,
                    "peers": peers,
                    "goals": goals,
                }
            )
    document = {
        "machine": results.machine,
        "rounds": results.rounds,
        "quick": results.quick,
        "client_polls": results.client_polls,
        "cases": cases,
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def as_markdown(results: Results) -> str:
    parts = [_heading(results)]
    for title, cases, peers in (
        ("Echo: CPU of the server per message", ECHO_CASES, ECHO_PEERS),
        ("Servers: CPU or memory per operation", SERVER_CASES, SERVER_PEERS),
        ("Micro: CPU or memory per operation", MICRO_CASES, MICRO_PEERS),
    ):
        table = _figures(results, cases, peers)
        if table:
            parts.append(f"## {title}\n\n{table}")
    missed = _missed(results)
    if missed:
        parts.append(f"## Missed, failed, not found\n\n{missed}")
    client = _load_client(results)
    if client:
        parts.append(f"## What the load client saw\n\n{client}")
    return "\n\n".join(parts) + "\n"


def _heading(results: Results) -> str:
    pace = "quick run, figures are rough" if results.quick else "full run"
    facts = "\n".join(f"- {name}: {value}" for name, value in results.machine.items())
    return (
        "# Benchmark results\n\n"
        f"Medians of {results.rounds} interleaved round(s), {pace}. CPU time, not wall time; less "
        "is better. In brackets: greenroom's figure divided by the peer's, so below 1 greenroom is "
        "ahead. How and why: README.md in the folder above.\n\n"
        f"{facts}"
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _figures(results: Results, cases: Sequence[Case], peers: Sequence[Peer]) -> str:
    """Case, goal, a column per peer, verdict; only what this run measured."""
    known = results.samples.keys() | results.failures.keys()
    cases = [case for case in cases if any(name == case.name for name, _ in known)]
    peers = [p for p in peers if any((case.name, p.name) in known for case in cases)]
    if not cases:
        return ""
    medians = results.medians()
    rows = [
        [
            f"{case.title}, {case.unit}",
            ", ".join(goal.text(case.unit) for goal in goals_of(case.name)) or "–",
            *(_cell(results, medians, case.name, peer.name) for peer in peers),
            _verdict(case.name, medians),
        ]
        for case in cases
    ]
    return _table(["case", "goal", *(peer.name for peer in peers), "verdict"], rows)


def _cell(results: Results, medians: dict[Key, float], case: str, peer: str) -> str:
    if (case, peer) in results.failures:
        return "not found" if is_not_found(results.failures[case, peer]) else "failed"
    value = medians.get((case, peer))
    if value is None:
        return "–"
    own = medians.get((case, GREENROOM))
    if peer == GREENROOM:
        return f"**{figure(value)}**"
    return figure(value) if own is None else f"{figure(value)} ({figure(own / value)})"


def is_not_found(reason: str) -> bool:
    """Whether a case was not measured because the machine has not what it needs."""
    return reason.endswith(" not found") and not reason.startswith("cannot ")


def figure(value: float) -> str:
    """Three significant digits, never an exponent."""
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def _verdict(case: str, medians: dict[Key, float]) -> str:
    verdicts = [judge(goal, medians) for goal in goals_of(case)]
    if not verdicts:
        return "–"
    known = [v for v in verdicts if v.measured is not None]
    if not known and (case, GREENROOM) not in medians:
        return "not measured"
    unknown = len(verdicts) - len(known)
    missed = sum(not v.met for v in known)
    if missed:
        return f"missed ({missed} of {len(verdicts)})"
    return "met" if not unknown else f"met where measured ({len(known)} of {len(verdicts)})"


def _missed(results: Results) -> str:
    medians = results.medians()
    lines = []
    reasons: list[str | None] = []
    for case in CASES:
        for verdict in (judge(goal, medians) for goal in goals_of(case.name)):
            if verdict.measured is None or verdict.met:
                continue
            goal, measured = verdict.goal.text(case.unit), figure(verdict.measured)
            reasons.append(reason_of(verdict.goal))
            lines.append(f"- {case.title}: {measured}, goal {goal}.")
            if reasons[-1] is not None and reasons[-1] not in reasons[:-1]:
                lines[-1] += f" {reasons[-1]}"
    causes: dict[tuple[str, str], list[str]] = {}
    for (case_name, peer), reason in results.failures.items():
        causes.setdefault((peer, reason), []).append(case_name)
    for (peer, reason), names in causes.items():
        lines.append(f"- {peer} in {', '.join(names)}: {reason}")
    return "\n".join(lines)


def _load_client(results: Results) -> str:
    """Throughput, latency, and whether the load client had time to spare."""
    medians = results.medians()
    rows = [
        [
            case.title,
            peer.name,
            f"{results.detail((case.name, peer.name), 'msgs_per_s'):,.0f}",
            figure(results.detail((case.name, peer.name), "p50_us")),
            figure(results.detail((case.name, peer.name), "p99_us")),
            f"{results.detail((case.name, peer.name), 'cpu_fraction'):.0%}",
        ]
        for case in (*ECHO_CASES, *SERVER_CASES)
        for peer in peers_of(case)
        if (case.name, peer.name) in medians and results.samples[case.name, peer.name][0].details
    ]
    if not rows:
        return ""
    habit = "polls" if results.client_polls else "sleeps"
    return (
        f"It {habit} when it has nothing to do. Its own CPU stands in the last column: the share "
        "of the time in which it had work. Below 100 % the server was the bottleneck.\n\n"
        + _table(["case", "peer", "messages or requests/s", "p50 µs", "p99 µs", "client CPU"], rows)
    )


# The servers that docs/servers.md compares, and what goes before and after the figures there.
SERVER_PAGE_PEERS = ("greenroom", "gevent", "gunicorn", "uvicorn", "granian")
SERVER_PAGE_MARKS = ("<!-- written by make bench -->\n", "<!-- end -->\n")


def update_server_page(results: Results, page: Path) -> None:
    """Put this run's figures into the comparison of servers in the docs.

    Raises  ValueError: the page has no place for them
    """
    before, begin, rest = page.read_text(encoding="utf-8").partition(SERVER_PAGE_MARKS[0])
    _, end, after = rest.partition(SERVER_PAGE_MARKS[1])
    if not end:
        raise ValueError(f"{page.name} has no {SERVER_PAGE_MARKS[0].strip()} and its end")
    peers = [peer for peer in SERVER_PEERS if peer.name in SERVER_PAGE_PEERS]
    medians = results.medians()
    rows = [
        [
            f"{case.title}, {case.unit}",
            *(_cell(results, medians, case.name, peer.name) for peer in peers),
        ]
        for case in SERVER_CASES
        if len({peer.name for peer in peers_of(case)} & set(SERVER_PAGE_PEERS)) > 1
    ]
    versions = [f"{peer.name} {results.machine.get(peer.name, 'not found')}" for peer in peers]
    text = (
        f"{_table(['', *(peer.name for peer in peers)], rows)}\n\n"
        f"({', '.join(versions)}; {results.machine['date']}, {results.machine['cpu']})\n"
    )
    page.write_text(before + begin + "\n" + text + "\n" + end + after, encoding="utf-8")


def write(results: Results, folder: Path) -> str:
    """Write latest.md and latest.json; return the Markdown."""
    folder.mkdir(exist_ok=True)
    text = as_markdown(results)
    (folder / "latest.md").write_text(text, encoding="utf-8")
    (folder / "latest.json").write_text(as_json(results), encoding="utf-8")
    return text
