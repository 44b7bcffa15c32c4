"""Print the table of runs in README.md, from the reports in benchmarks/results/runs.

python benchmarks/results_table.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autocompress.report import load_report

RUNS = Path(__file__).parent / "results" / "runs"


def table() -> str:
    """Return a row per run, named after its file: RECIPE-seedN.json ran recipes/RECIPE.yaml."""
    heads = (
        "recipe, seed",
        "layers",
        "test, all layers",
        "test, cut",
        "residual, all layers",
        "residual of that depth, from scratch",
        "residual, cut to that depth",
        "latency, batch 256",
    )
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(_row(path)) + " |" for path in sorted(RUNS.glob("*.json"))]
    return "\n".join(lines)


def _row(path: Path) -> tuple[str, ...]:
    report: Any = load_report(path)
    full, small = report["full"], report["small"]
    control = report["baseline"]
    name, seed = path.stem.split("-seed")
    times = small["latency_ms"]["256"] / full["latency_ms"]["256"]
    return (
        f"{name}, {seed}",
        f"{full['depth']} → {small['depth']}",
        *(_percent(part["test"]) for part in (full, small, control, report["shallow"])),
        _percent(control["depths"][report["selected"]]["test"]),
        f"{times:.2f} x",
    )


def _percent(score: float) -> str:
    return f"{100 * score:.1f}"


if __name__ == "__main__":
    print(table())
