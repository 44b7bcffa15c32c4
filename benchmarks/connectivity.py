"""Compare the cost of an ACN with a residual network's, and of a probe with a forward pass.

    python benchmarks/connectivity.py [--quick] [--json FILE]

The script prints a table, then one line of JSON. Calls are timed in turns (A B A B ..), and each
ratio is the median over neighbouring calls, so that changes in the machine's speed cancel out.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

import autocompress as ac
from autocompress.measurement import compare, peak_memory, ratio
from autocompress.pipeline.summary import environment

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")

#: Model and batch size by name: the demo's networks, and the paper's CIFAR-10 Mixer.
NETWORKS: dict[str, tuple[Callable[..., ac.Network], int]] = {
    "digits Mixer": (partial(ac.models.Mixer, depth=16, width=48, end_stage=True), 64),
    "digits ViT": (partial(ac.models.ViT, depth=12, width=64), 64),
    "CIFAR-10 Mixer of the paper": (
        partial(
            ac.models.Mixer,
            depth=16,
            width=128,
            image_size=32,
            patch_size=4,
            channels=3,
            pool="class",
            end_stage=True,
        ),
        64,
    ),
}


def training_step(net: ac.Network, x: torch.Tensor, y: torch.Tensor, compiled: bool) -> Any:
    """Return a function that takes one AdamW step on one batch."""
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, fused=True)
    forward = torch.compile(net, fullgraph=True) if compiled else net

    def step() -> None:
        torch.nn.functional.cross_entropy(forward(x), y).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def measure_training(build: Any, batch: int, compiled: bool, seconds: float) -> dict[str, float]:
    """Return time and peak memory of a training step of an ACN, relative to a residual network."""
    steps, memory = {}, {}
    for name in ("acn", "residual"):
        torch.manual_seed(0)
        net = build(connectivity=name).to(DEVICE).train()
        c, size = net.config["channels"], net.config["image_size"]
        x = torch.randn(batch, c, size, size, device=DEVICE)
        y = torch.randint(10, (batch,), device=DEVICE)
        steps[name] = training_step(net, x, y, compiled)
        # on the CPU, memory is counted operation by operation, and a compiled graph hides those
        if not compiled or DEVICE.type == "cuda":
            memory[name] = peak_memory(steps[name], DEVICE, baseline=[net, x, y], warmup=2)
    times = compare(steps, DEVICE, repeats=500, limit_s=seconds)
    found = {
        "step_ms_residual": times["residual"].median_ms,
        "step_time_ratio": ratio(times["acn"], times["residual"]),
    }
    if memory:
        found["step_memory_ratio"] = memory["acn"] / memory["residual"]
    return found


def measure_probe(build: Any, compiled: bool, seconds: float, batch: int = 256) -> dict[str, float]:
    """Return the cost of probing all depths, relative to one forward pass plus the L + 1 heads."""
    torch.manual_seed(0)
    net = build(connectivity="acn").to(DEVICE).eval()
    c, size = net.config["channels"], net.config["image_size"]
    x = torch.randn(batch, c, size, size, device=DEVICE)

    def probe() -> list[torch.Tensor]:
        return list(net.readouts(x))

    def forward() -> torch.Tensor:
        return net(x)

    with torch.inference_mode():
        readout = net.trunk(net.stem(x))

        def heads() -> list[torch.Tensor]:
            return [net.head(readout) for _ in range(net.depth)]  # forward has one of the L + 1

        calls: dict[str, Callable[[], object]] = {"probe": probe, "forward": forward}
        if compiled:
            calls = {name: torch.compile(call, fullgraph=True) for name, call in calls.items()}

        def forward_and_heads() -> None:
            calls["forward"]()
            heads()

        times = compare(
            {"probe": calls["probe"], "base": forward_and_heads},
            DEVICE,
            repeats=500,
            limit_s=seconds,
        )
    return {"probe_time_ratio": ratio(times["probe"], times["base"])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="measure for only one second per row")
    parser.add_argument("--json", type=Path, help="also write the JSON line to this file")
    args = parser.parse_args()
    seconds = 1.0 if args.quick else 20.0
    rows = []
    for name, (build, batch) in list(NETWORKS.items())[: 1 if args.quick else None]:
        for compiled in (False,) if args.quick else (False, True):
            mode = "compiled" if compiled else "eager"
            found = measure_training(build, batch, compiled, seconds)
            found |= measure_probe(build, compiled, seconds)
            rows.append({"network": name, "batch": batch, "mode": mode, **found})
    table = Table("network", "mode", "step time", "step memory", "probe time")
    for row in rows:
        ratios = [row.get(f"{k}_ratio") for k in ("step_time", "step_memory", "probe_time")]
        cells = ["-" if ratio is None else f"{ratio:.3f}" for ratio in ratios]
        table.add_row(row["network"], row["mode"], *cells)
    console = Console(width=100)
    console.print(
        "Step: ACN / residual network. Probe: all depths / one forward pass and the heads."
    )
    console.print(table)
    line = json.dumps({"rows": rows, "environment": environment(DEVICE)})
    if args.json:
        args.json.write_text(line + "\n")
    print(line)


if __name__ == "__main__":
    main()
