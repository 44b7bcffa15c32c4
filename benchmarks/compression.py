"""What drives compression: every way to a shallower network, side by side, on text and on images.

    python benchmarks/compression.py --data ../shared/data --task text --seed 0
    python benchmarks/compression.py --table text

One file a task and seed; a row that it holds already is not run again, so that a study that was
stopped goes on. The networks are kept in runs/compression, as other rows start from them.

Depth is selected on validation data (the shallowest within half a point of full depth), scores
are test scores. Training FLOPs are 3 x those of the forward pass, of the layers that ran and of
every head that was read.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

import autocompress as ac
from autocompress.io import write_json
from autocompress.measurement import depth_costs
from autocompress.pipeline.summary import environment
from autocompress.training.distil import taught_depths
from compression_table import table
from compression_tasks import TASKS, Task

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
KEPT = ROOT / "runs" / "compression"

INNER = {"name": "acn", "inner": 1.0}
ANNEAL = ac.PathConfig(start=0.1, stop=0.6)
DISTIL = ac.DistilConfig(weight=1.0, temperature=1.0)
LATE = replace(DISTIL, start=0.6)
HALF = replace(DISTIL, every=4)  # of 8 layers: depths 4 and 8
WEAK = replace(DISTIL, weight=0.2)
GROW = ac.GrowConfig(layers=2, until=0.5)
LIVE = ac.LiveConfig(tolerance=0.002, patience=2, start=0.4, spare=1)
LATER = replace(LIVE, start=0.6)


@dataclass(frozen=True)
class Row:
    """One way to a network.

    Args:
        connectivity: of the network.
        depth: share of the task's layers.
        epochs: share of the task's epochs; a shallow network at equal FLOPs has more of them.
        fit: what differs from the task's settings.
        start: row whose trained network this one starts from (its first ``depth`` layers).
    """

    connectivity: Any = "residual"
    depth: float = 1.0
    epochs: float = 1.0
    fit: dict[str, Any] = field(default_factory=dict)
    start: str | None = None


ROWS: dict[str, Row] = {
    "residual": Row(),
    "residual, 1/2 of the layers": Row(depth=0.5),
    "residual, 1/4 of the layers": Row(depth=0.25),
    "residual, 1/2 of the layers, equal FLOPs": Row(depth=0.5, epochs=2),
    "ACN": Row("acn"),
    "annealed": Row(fit={"path": ANNEAL}),
    "annealed, distilled": Row(fit={"path": ANNEAL, "distil": DISTIL}),
    "residual, distilled": Row(fit={"distil": DISTIL}),
    "residual, distilled x 0.2": Row(fit={"distil": WEAK}),
    "residual, distilled at temperature 3": Row(fit={"distil": replace(DISTIL, temperature=3.0)}),
    "residual, distilled late": Row(fit={"distil": LATE}),
    "annealed, distilled late": Row(fit={"path": ANNEAL, "distil": LATE}),
    "from residual: annealed": Row(epochs=0.5, fit={"path": ANNEAL}, start="residual"),
    "from residual: annealed, distilled": Row(
        epochs=0.5, fit={"path": ANNEAL, "distil": DISTIL}, start="residual"
    ),
    "from residual: distilled": Row(epochs=0.5, fit={"distil": DISTIL}, start="residual"),
    "from residual: distilled at 1/2": Row(epochs=0.5, fit={"distil": HALF}, start="residual"),
    "from residual: annealed, distilled at 1/2": Row(
        epochs=0.5, fit={"path": ANNEAL, "distil": HALF}, start="residual"
    ),
    "residual, distilled late at 1/2": Row(fit={"distil": replace(HALF, start=0.6)}),
    "from residual: cut to 1/2, healed": Row(depth=0.5, epochs=0.5, start="residual"),
    "annealed, distilled, live depth": Row(fit={"path": ANNEAL, "distil": DISTIL, "live": LIVE}),
    "residual, distilled, live depth": Row(fit={"distil": DISTIL, "live": LIVE}),
    "from residual, distilled late: cut to 1/2, healed": Row(
        depth=0.5, epochs=0.5, start="residual, distilled late"
    ),
    "from annealed: cut to 1/2, healed": Row(INNER, depth=0.5, epochs=0.5, start="annealed"),
    "from residual: annealed, cut to 1/2, healed": Row(
        INNER, depth=0.5, epochs=0.25, start="from residual: annealed"
    ),
    "from ACN: cut to 1/2, healed": Row("acn", depth=0.5, epochs=0.5, start="ACN"),
    "annealed, half as long": Row(epochs=0.5, fit={"path": ANNEAL}),
    "from annealed, half as long: cut to 1/2, healed": Row(
        INNER, depth=0.5, epochs=0.92, start="annealed, half as long"
    ),
    "residual, half as long": Row(epochs=0.5),
    "from residual, half as long: cut to 1/2, healed": Row(
        depth=0.5, epochs=0.92, start="residual, half as long"
    ),
    "residual, distilled late, live depth": Row(fit={"distil": LATE, "live": LATER}),
    "annealed, distilled late, live depth": Row(
        fit={"path": ANNEAL, "distil": LATE, "live": LATER}
    ),
    "residual, deep supervision (Aligned)": Row(
        fit={"distil": ac.DistilConfig(teacher="labels", profile="aligned")}
    ),
    "H-ACN (learned gates)": Row("hacn"),
    "ACN, gradients clipped at 1e-5": Row("acn", fit={"clip_norm": 1e-5}),
    "ACN, distilled": Row("acn", fit={"distil": DISTIL}),
    "ACN, inner skip": Row(INNER),
    "ACN, mediated gradient x 0.5": Row("acn", fit={"mediated": 0.5}),
    "ACN, direct gradient only": Row("acn", fit={"mediated": 0.0}),
    "residual, progressive start": Row(fit={"grow": GROW}),
    "annealed, progressive start": Row(fit={"path": ANNEAL, "grow": GROW}),
    "annealed, inner skip dropped": Row(fit={"path": replace(ANNEAL, inner=None)}),
    "annealed, top layer first": Row(fit={"path": replace(ANNEAL, order="top")}),
    "annealed, to (0.5, 0.5)": Row(fit={"path": replace(ANNEAL, end=(0.5, 0.5))}),
}


def run(task: Task, name: str, seed: int) -> dict[str, Any]:
    """Train one row; what it scored at every depth and what it cost."""
    row = ROWS[name]
    depth = round(task.depth * row.depth)
    torch.manual_seed(seed)
    net = task.build(depth, row.connectivity)
    if row.start is not None:
        net = trained(task, row.start, seed).cut(depth)
    epochs = max(1, round(task.fit.epochs * row.epochs))
    warmup = task.fit.warmup_epochs * min(1.0, row.epochs)
    config = replace(task.fit, epochs=epochs, warmup_epochs=warmup, seed=seed, **row.fit)
    costs = [cost.flops or 0 for cost in depth_costs(net, net.example(1))]
    heads = costs[0]
    result = ac.fit(
        net, task.train, task.validation, config, augment=task.augment, title=f"{name}, seed {seed}"
    )
    ac.save(net, _kept(task, name, seed), overwrite=True)
    validation, test = ac.probe(net, task.validation), ac.probe(net, task.test)
    flops = 3 * task.examples * sum(_forward(config, costs, heads, depth, result.history))
    return {
        "row": name,
        "seed": seed,
        "fit": {key: _plain(value) for key, value in row.fit.items()},
        "start": row.start,
        "epochs": epochs,
        "layers": depth,
        "validation": [round(score, 5) for score in validation.scores],
        "test": [round(score, 5) for score in test.scores],
        "selected": validation.select(tolerance=0.005).depth,
        "by_epoch": [record["validation"] for record in result.history if "validation" in record],
        "kept": [[r["epoch"], r["kept"]] for r in result.history if "kept" in r],
        "flops": flops,
        "seconds": round(result.seconds, 1),
    }


def trained(task: Task, name: str, seed: int) -> ac.Network:
    """The network of a row; trained now where this machine does not have it."""
    if not _kept(task, name, seed).exists():
        run(task, name, seed)
    return ac.load(_kept(task, name, seed))


def _kept(task: Task, name: str, seed: int) -> Path:
    return KEPT / f"{task.name}-{seed}-{_slug(name)}"


def _forward(
    config: ac.FitConfig,
    costs: list[int],
    head: int,
    depth: int,
    history: list[dict[str, Any]],
) -> list[float]:
    """FLOPs of one example's forward pass in every epoch, its heads included."""
    found = []
    for epoch, record in enumerate(history):
        places = [(epoch + share / 8) / config.epochs for share in range(8)]
        layers = [depth if config.grow is None else config.grow.depth(p, depth) for p in places]
        passes = sum(costs[k] for k in layers) / len(layers)
        extra = 0.0
        if config.distil is not None:
            taught = [place >= config.distil.start for place in places]
            heads = len(taught_depths(depth, config.distil.every)) - 1
            extra = heads * head * sum(taught) / len(taught)
        found.append(passes + extra)
        depth = record.get("kept", depth)
    return found


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | float | str) else asdict(value)


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--task", choices=list(TASKS), default="text")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", help="names, separated by semicolons; default all")
    parser.add_argument("--threads", type=int, help="threads of this process; default torch's own")
    parser.add_argument("--table", choices=list(TASKS), help="print a task's table and leave")
    args = parser.parse_args()
    if args.table:
        print(table(args.table))
        return
    if args.threads:
        torch.set_num_threads(args.threads)
    make: Callable[[Path], Task] = TASKS[args.task]
    task = make(args.data)
    file = RESULTS / f"compression-{args.task}-seed{args.seed}.json"
    rows = json.loads(file.read_text())["rows"] if file.exists() else []
    for name in list(ROWS) if args.rows is None else args.rows.split("; "):
        if all(done["row"] != name for done in rows):
            rows.append(run(task, name, args.seed))
            where = environment(torch.device("cpu"))
            write_json(file, {"task": task.describe(), "environment": where, "rows": rows})


if __name__ == "__main__":
    main()
