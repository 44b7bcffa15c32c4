"""The tables of docs/compression.md, from the committed results of benchmarks/compression.py.

python benchmarks/compression_table.py writes them into the page.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from pages import between

__all__ = ["TASKS", "marked", "results", "table"]

RESULTS = Path(__file__).parent / "results"


PAGE = Path(__file__).parents[1] / "docs" / "compression.md"
TASKS = ("text", "image", "text-long")


def marked(page: str, task: str) -> str:
    """The page with the table of a task between its marks."""
    return between(page, task, table(task))


def results(task: str) -> list[dict[str, Any]]:
    """All rows of all committed seeds of a task."""
    files = sorted(RESULTS.glob(f"compression-{task}-seed*.json"))
    return [row for file in files for row in json.loads(file.read_text())["rows"]]


def table(task: str) -> str:
    """Means over seeds, as Markdown; differences are paired by seed with the residual control."""
    heads = (
        "network",
        "seeds",
        "test, full",
        "layers kept",
        "test, cut",
        "cut against residual control",
        "training FLOPs",
        "with its start",
        "time",
        "epochs to control - 0.5",
    )
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    rows = results(task)
    whole = {(row["row"], row["seed"]): row for row in rows}
    control = {row["seed"]: row for row in rows if row["row"] == "residual"}
    for name in dict.fromkeys(row["row"] for row in rows):
        runs = [row for row in rows if row["row"] == name and row["seed"] in control]
        if runs:
            lines.append("| " + " | ".join(_cells(name, runs, control, whole)) + " |")
    return "\n".join(lines)


def _cells(
    name: str,
    runs: list[dict[str, Any]],
    control: dict[int, dict[str, Any]],
    whole: dict[tuple[str, int], dict[str, Any]],
) -> tuple[str, ...]:
    pairs = [(run, control[run["seed"]]) for run in runs]
    cut = [100 * run["test"][run["selected"]] for run in runs]
    reached = [_reached(run, base) for run, base in pairs]
    return (
        name,
        str(len(runs)),
        _mean([100 * run["test"][-1] for run in runs]),
        ", ".join(f"{run['selected']}" for run in runs) + f" of {runs[0]['layers']}",
        _mean(cut),
        _mean([c - 100 * base["test"][-1] for c, (_, base) in zip(cut, pairs, strict=True)], "+"),
        f"{statistics.mean([run['flops'] / base['flops'] for run, base in pairs]):.2f} x",
        f"{statistics.mean([_total(run, whole) / base['flops'] for run, base in pairs]):.2f} x",
        f"{statistics.mean([run['seconds'] / base['seconds'] for run, base in pairs]):.2f} x",
        ", ".join("never" if epoch is None else str(epoch) for epoch in reached),
    )


def _total(run: dict[str, Any], whole: dict[tuple[str, int], dict[str, Any]]) -> float:
    """FLOPs of a row, and of the one that it starts from, and so on."""
    start = whole.get((run["start"], run["seed"]))
    return float(run["flops"]) + (0.0 if start is None else _total(start, whole))


def _reached(run: dict[str, Any], control: dict[str, Any]) -> int | None:
    """The first epoch whose validation score is within half a point of the control's last."""
    goal = control["by_epoch"][-1] - 0.005
    return next((i + 1 for i, score in enumerate(run["by_epoch"]) if score >= goal), None)


def _mean(values: list[float], sign: str = "") -> str:
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):{sign}.1f}{spread}"


if __name__ == "__main__":
    text = PAGE.read_text()
    for name in TASKS:
        text = marked(text, name)
    PAGE.write_text(text)
