"""Part ``speed`` of benchmarks/gpu.py: the time of a step, a probe and an early exit."""

from __future__ import annotations

import statistics
import time
from functools import partial
from typing import Any

import torch

import autocompress as ac
from autocompress.data import TensorSource
from autocompress.depth.exit_rule import entropy
from autocompress.io import write_json
from autocompress.measurement import Timing, compare, ratio
from autocompress.measurement.modes import evaluating
from autocompress.training.inputs import network_batches
from gpu_setup import Clock, Setup, StepClock

__all__ = ["exits_on_the_clock", "fastest", "inputs_of", "rounded", "speed", "step"]

#: Seconds after which no further mode of compilation is timed.
LIMIT_S = 100


def speed(setup: Setup, clock: Clock) -> dict[str, Any]:
    """Return step time and memory by connectivity and mode, and the costs of probe and exit."""
    begun = time.monotonic()
    limit = min(LIMIT_S, 0.3 * max(0.0, clock.left()))
    found: dict[str, Any] = {"peak_tflops": peak_tflops(setup), "steps": {}}
    flops = _forward_flops(setup)
    found["forward_flops_per_image"] = flops
    for mode in setup.settings.modes:
        for rule in ("acn", "residual"):
            if time.monotonic() - begun > limit and found["steps"]:
                found["steps"][f"{rule}, {mode}"] = {"skipped": "no time left for it"}
                continue
            row = step(setup, rule, mode)
            if "ms" in row and found["peak_tflops"]:
                done = 3 * flops * setup.settings.batch_size / (row["ms"] / 1000) / 1e12
                row["share_of_peak"] = round(done / found["peak_tflops"], 4)
            found["steps"][f"{rule}, {mode}"] = row
            setup.progress(found)
    found["auto_augment"] = _auto_augment(setup, found["steps"])
    net = setup.network("acn").to(setup.device).eval()
    found["probe"] = _probe(setup, net)
    found["exit"] = exits_on_the_clock(setup, net, shares=(0.25, 0.5, 0.75))
    write_json(setup.work / "speed.json", found)  # part train is sized by it
    return found


def step(setup: Setup, rule: str, mode: str, **augment: Any) -> dict[str, Any]:
    """Return milliseconds and peak memory of a step of the library's own training loop.

    If the mode does not work on this machine, the result has only the reason, as ``failed``.
    """
    steps = setup.settings.timed_steps
    warmup = max(2, steps // 3)
    window = max(1, steps // 6)
    rows = torch.arange((warmup + steps) * setup.settings.batch_size) % len(setup.train)
    data = setup.train.select(rows)
    hook = StepClock(setup.device, warmup, window)
    if setup.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    torch.compiler.reset()
    begun = time.perf_counter()
    try:
        ac.fit(
            setup.network(rule),
            data,
            config=setup.fit_config(1, mode),
            augment=setup.augment(**augment),
            hooks=[hook],
            progress=False,
        )
    except Exception as error:  # the compiler may not work here; the other parts should still run
        return {"failed": f"{type(error).__name__}: {str(error)[:300]}"}
    times = sorted(1000 * s for s in hook.seconds)
    memory = torch.cuda.max_memory_allocated() if setup.device.type == "cuda" else None
    return {
        "ms": round(statistics.median(times), 4),
        "ms_lowest": round(times[0], 4),
        "ms_highest": round(times[-1], 4),
        "windows": len(times),
        "peak_memory_bytes": memory,
        "seconds_with_compilation": round(time.perf_counter() - begun, 1),
    }


def fastest(steps: dict[str, Any], rule: str = "acn") -> tuple[str, float]:
    """Return the mode of compilation with the shortest step, and its milliseconds."""
    timed = {
        name.partition(", ")[2]: row["ms"]
        for name, row in steps.items()
        if name.startswith(f"{rule},") and "ms" in row
    }
    if not timed:
        raise RuntimeError(f"no training step of {rule} worked: {steps}")
    mode = min(timed, key=timed.__getitem__)
    return mode, timed[mode]


def peak_tflops(setup: Setup) -> float:
    """Return the device's peak TFLOP/s in bf16: the best of ten products of square matrices."""
    side = 256 if setup.settings.tiny or setup.device.type == "cpu" else 8192
    a, b = (torch.randn(side, side, device=setup.device, dtype=torch.bfloat16) for _ in range(2))
    times = compare({"": partial(torch.mm, a, b)}, setup.device, repeats=10)[""]
    return round(2 * side**3 / (min(times.samples_ms) / 1000) / 1e12, 3)


def _forward_flops(setup: Setup) -> int:
    net = setup.network("acn")
    return int(ac.measure(net, net.example(1), latency=False).flops)


def _auto_augment(setup: Setup, steps: dict[str, Any]) -> dict[str, Any]:
    """Return the cost of AutoAugment in a step; part train uses it if it is below 10 %."""
    mode, plain = fastest(steps)
    row = step(setup, "acn", mode, auto_augment=True)
    if "ms" in row:
        row["ratio"] = round(row["ms"] / plain, 4)
    return row | {"mode": mode, "taken": row.get("ratio", 9.9) < 1.1}


def _probe(setup: Setup, net: ac.Network) -> dict[str, Any]:
    """Compare probing in one pass with one forward pass, and with L + 1 of them."""
    x = inputs_of(setup, net)
    calls = {
        "forward": partial(net, x),
        "probe": lambda: [logits.argmax(-1) for logits in net.readouts(x)],
        "passes": lambda: [net(x, depth=k).argmax(-1) for k in range(net.depth + 1)],
    }
    with evaluating(net), torch.autocast(setup.device.type, torch.bfloat16):
        times = compare(calls, setup.device, limit_s=5)
    return {
        "batch": len(x),
        **{f"{name}_ms": round(t.median_ms, 4) for name, t in times.items()},
        "probe_over_forward": rounded(times["probe"], times["forward"]),
        "passes_over_probe": rounded(times["passes"], times["probe"]),
    }


def exits_on_the_clock(setup: Setup, net: ac.Network, shares: tuple[float, ...]) -> dict[str, Any]:
    """Compare the FLOPs that early exit saves with the time that it saves, at batch 256.

    Args:
        setup: Data and device.
        net: The network.
        shares: Shares of the examples that may exit at half the depth; each gives a threshold.
    """
    x = inputs_of(setup, net)
    with evaluating(net):
        unsure = entropy(net(x, depth=net.depth // 2)).float().cpu()
    found = {}
    depths = sorted({max(1, net.depth * k // 4) for k in (1, 2, 3, 4)})
    for share in shares:
        threshold = float(unsure.quantile(share))
        exits = ac.early_exit(net, x, threshold, depths=depths)
        full = ac.early_exit(net, x, 0.0, depths=[net.depth])
        calls = {
            "full": partial(net, x),
            "exit": partial(ac.early_exit, net, x, threshold, depths=depths, count=False),
        }
        with evaluating(net):
            times = compare(calls, setup.device, limit_s=5)
        assert exits.flops is not None
        assert full.flops is not None
        found[f"{share:g}"] = {
            "threshold_nats": round(threshold, 6),
            "mean_depth": round(float(exits.depths.float().mean()), 3),
            "flops_ratio": round(float(full.flops.mean() / exits.flops.mean()), 4),
            "clock_ratio": rounded(times["full"], times["exit"]),
            "full_ms": round(times["full"].median_ms, 4),
            "exit_ms": round(times["exit"].median_ms, 4),
        }
    return {"batch": len(x), "depths": depths, "by_share": found}


def inputs_of(setup: Setup, net: ac.Network, batch: int = 256) -> torch.Tensor:
    few = TensorSource(setup.test.images[:batch], setup.test.labels[:batch])
    inputs, _ = next(network_batches(net, few, batch))
    return inputs


def rounded(over: Timing, under: Timing) -> float:
    """Return the ratio of two timings, rounded to four places."""
    return round(float(ratio(over, under)), 4)
