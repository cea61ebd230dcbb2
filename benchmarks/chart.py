"""Draw FOLDER/latest.json as chart.svg and chart.png; runs in the peers' environment (matplotlib).

Left: CPU of an echo server per message, 100 connections × 64 B. Right: the micro cases, each peer's
cost as a multiple of greenroom's, on a logarithmic axis, since they span three orders.
"""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

ECHO_CASE = "echo_100"
MICRO_CASES = {
    "spawn_join": "spawn + join",
    "switch100": "switch",
    "queue3": "Queue(3)",
    "pingpong": "ping-pong",
    "lock100": "contended lock",
    "sleepers": "sleep",
    "requests_get": "requests GET",
    "parked_memory": "memory, parked",
}
# One colour a project, in both panels; the two uvloop and asyncio bars of the left share theirs.
COLOURS = {
    "greenroom": "#1b7f4b",
    "gevent": "#8fbf6a",
    "asyncio": "#3b6fb6",
    "uvloop": "#7fb2e5",
    "trio": "#8b6bb5",
    "threads": "#b0b0b0",
    "go": "#37b6c4",
    "c": "#555555",
}
LABELS = {"c": "C epoll", "go": "Go, 1 processor"}
INK, FAINT = "#222222", "#888888"

Medians = dict[str, dict[str, float]]  # case -> peer -> figure


def load(path: Path) -> tuple[Medians, dict[str, Any]]:
    document = json.loads(path.read_text(encoding="utf-8"))
    medians = {
        case["name"]: {
            name: peer["median"]
            for name, peer in case["peers"].items()
            if peer["median"] is not None
        }
        for case in document["cases"]
    }
    return medians, document


def colour(peer: str) -> str:
    return COLOURS[peer.partition("-")[0]]


def label(peer: str) -> str:
    return LABELS.get(peer, peer.replace("-", " "))


def clean(axes: Axes) -> None:
    axes.spines[["top", "right", "left", "bottom"]].set_visible(False)
    axes.tick_params(length=0, colors=INK)
    axes.set_xticks([])
    axes.minorticks_off()


def draw_echo(axes: Axes, figures: dict[str, float]) -> None:
    peers = sorted(figures, key=figures.__getitem__)
    widest = max(figures.values())
    for row, peer in enumerate(peers):
        value = figures[peer]
        axes.barh(row, value, height=0.68, color=colour(peer))
        weight = "bold" if peer == "greenroom" else "normal"
        axes.text(value + widest * 0.015, row, f"{value:.1f}", va="center", weight=weight)
    axes.set_yticks(range(len(peers)), [label(peer) for peer in peers])
    for tick, peer in zip(axes.get_yticklabels(), peers, strict=True):
        tick.set_fontweight("bold" if peer == "greenroom" else "normal")
    axes.set_ylim(len(peers) - 0.4, -0.6)
    axes.set_xlim(0, widest * 1.12)
    clean(axes)
    axes.set_title(
        "TCP echo, 100 connections × 64 B\nserver CPU per message, µs; less is better", loc="left"
    )


def draw_micro(axes: Axes, medians: Medians) -> None:
    """A group of bars per case, from 1 (as greenroom) outwards; left of 1 the peer costs less."""
    peers = [p for p in COLOURS if p not in ("greenroom", "c")]
    cases = [c for c in MICRO_CASES if "greenroom" in medians.get(c, {})]
    ticks, row, shown = [], 0.0, set()
    low, high = 1.0, 1.0
    for case in cases:
        first = row
        for peer in (p for p in peers if p in medians[case]):
            ratio = medians[case][peer] / medians[case]["greenroom"]
            axes.barh(row, ratio - 1, left=1, height=0.86, color=colour(peer))
            beyond, side = (ratio * 1.08, "left") if ratio >= 1 else (ratio / 1.08, "right")
            text = f"{ratio:.0f}×" if ratio >= 10 else f"{ratio:.2g}×"
            axes.text(beyond, row, text, va="center", ha=side, fontsize=8, color=INK)
            low, high = min(low, ratio), max(high, ratio)
            shown.add(peer)
            row += 1
        ticks.append((first + row - 1) / 2)
        row += 0.8
    axes.set_xscale("log")
    axes.set_xlim(low / 2.2, high * 2.2)
    axes.set_ylim(row - 0.8, -0.8)
    axes.set_yticks(ticks, [MICRO_CASES[case] for case in cases])
    clean(axes)
    axes.axvline(1, color=COLOURS["greenroom"], linewidth=2)
    axes.set_title(
        "One operation, as a multiple of greenroom's cost (the line)\n"
        "right of it the peer costs more; log scale",
        loc="left",
    )
    handles = [Rectangle((0, 0), 1, 1, color=colour(p)) for p in peers if p in shown]
    names = [label(p) for p in peers if p in shown]
    axes.legend(
        handles,
        names,
        frameon=False,
        loc="upper center",
        bbox_to_anchor=(0.4, 0.0),
        ncols=len(names),
        fontsize=9,
        columnspacing=1.2,
        handlelength=1.2,
    )


def main() -> None:
    folder = Path(sys.argv[1])
    medians, document = load(folder / "latest.json")
    echo = medians.get(ECHO_CASE, {})
    micro = any("greenroom" in medians.get(case, {}) for case in MICRO_CASES)
    panels = [name for name, present in (("echo", bool(echo)), ("micro", micro)) if present]
    if not panels:
        print("chart: nothing to draw in this run")
        return
    pyplot.rcParams.update({"font.family": "DejaVu Sans", "font.size": 10, "text.color": INK})
    pyplot.rcParams.update({"axes.titlesize": 11, "svg.hashsalt": "greenroom"})
    figure, axes = pyplot.subplots(
        1, len(panels), figsize=(6.2 * len(panels), 9 if micro else 4.6), squeeze=False
    )
    for panel, name in zip(axes[0], panels, strict=True):
        if name == "echo":
            draw_echo(panel, echo)
        else:
            draw_micro(panel, medians)
    machine = document["machine"]
    figure.text(
        0.01,
        0.008,
        f"{machine['date']} · {machine['python']} · {machine['cpu']} · "
        f"medians of {document['rounds']} interleaved round(s)",
        fontsize=8,
        color=FAINT,
    )
    figure.tight_layout(rect=(0, 0.025, 1, 1), w_pad=3)
    figure.savefig(folder / "chart.svg", metadata={"Date": None})
    figure.savefig(folder / "chart.png", dpi=150)


if __name__ == "__main__":
    main()
