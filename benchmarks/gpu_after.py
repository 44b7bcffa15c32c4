"""Part ``after`` of benchmarks/gpu.py: examine the trained networks without further training."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import autocompress as ac
from autocompress.data import noisy
from autocompress.measurement import compare
from autocompress.measurement.modes import evaluating
from gpu_setup import ARMS, Clock, Setup, read_json
from gpu_speed import exits_on_the_clock, inputs_of
from gpu_train import run_worker

__all__ = ["after"]

NOISES = ("gaussian:0.1", "gaussian:0.2", "gaussian:0.4")
NOISES += ("salt_pepper:0.01", "salt_pepper:0.05", "salt_pepper:0.1")
PRUNED = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
#: Accuracy that the kept depth may lose: half a point.
TOLERANCE = 0.005


def after(setup: Setup, clock: Clock) -> dict[str, Any]:
    """Return depth kept, scores under noise and pruning, latency and exits of all networks."""
    nets = {
        arm: ac.load(setup.work / "runs" / arm / "model", setup.device)
        for arm in ARMS
        if (setup.work / "runs" / arm / "model").is_dir()
    }
    if not nets:
        raise RuntimeError("there is no trained network: run part train first")
    found: dict[str, Any] = {"arms": {}}
    for arm, net in nets.items():
        found["arms"][arm] = row = _kept(setup, net)
        row["noise"] = {noise: _at_depths(setup, net, row["kept"], noise) for noise in NOISES}
        row["pruned"] = {f"{share:g}": _pruned(setup, net, share) for share in PRUNED}
        setup.progress(found)
    found["latency_ms"] = _latencies(
        setup, nets["acn"] if "acn" in nets else next(iter(nets.values()))
    )
    for arm, net in nets.items():
        found["arms"][arm]["exit"] = exits_on_the_clock(setup, net, shares=(0.25, 0.5, 0.75))
        setup.progress(found)
    kept = found["arms"].get("acn", {}).get("kept", 0)
    found["shallow"] = _shallow(setup, clock, kept)
    return found


def _kept(setup: Setup, net: ac.Network) -> dict[str, Any]:
    """Return the depth that validation data choose, and scores and costs by depth."""
    curve = ac.probe(net, setup.validation)
    chosen = curve.select(tolerance=TOLERANCE)
    test = ac.probe(net, setup.test)
    return {
        "kept": chosen.depth,
        "rule": chosen.rule,
        "validation": [round(s, 4) for s in curve.scores],
        "test": [round(s, 4) for s in test.scores],
        "parameters": [int(p) for p in curve.parameters],
        "flops": [int(f) for f in curve.flops],
    }


def _at_depths(setup: Setup, net: ac.Network, kept: int, noise: str) -> dict[str, float]:
    scores = ac.probe(net, noisy(setup.test, noise)).scores
    return {"full": round(scores[-1], 4), "kept": round(scores[kept], 4)}


def _pruned(setup: Setup, net: ac.Network, share: float) -> list[float]:
    """Return test accuracy by depth with the smallest weights set to zero."""
    sparse = copy.deepcopy(net)
    ac.prune(sparse, share)
    return [round(s, 4) for s in ac.probe(sparse, setup.test).scores]


def _latencies(setup: Setup, net: ac.Network) -> dict[str, dict[str, float]]:
    """Return milliseconds of a forward pass by batch size and by depth of the cut network."""
    found = {}
    for batch in (1, 256):
        x = inputs_of(setup, net, batch)
        cuts = {str(k): ac.cut(net, k) for k in range(net.depth + 1)}
        with evaluating(*cuts.values()):
            calls = {k: partial(small, x) for k, small in cuts.items()}
            times = compare(calls, setup.device, limit_s=5)
        found[str(batch)] = {k: round(t.median_ms, 4) for k, t in times.items()}
    return found


def _shallow(setup: Setup, clock: Clock, kept: int) -> dict[str, Any]:
    """Train a residual network of the kept depth from scratch, if there is enough time."""
    plan = read_json(setup.work / "plan.json")
    assert plan is not None
    if kept < 1:
        return {"skipped": "no layer was kept"}
    epoch = setup.steps * plan["step_ms_alone"] / 1000 * kept / setup.settings.depth
    needed = 30 + 1.2 * plan["epochs"] * epoch
    if clock.left() < needed and not setup.settings.tiny:
        return {"skipped": f"it needs {needed:.0f} s, and {clock.left():.0f} s are left"}
    arm = f"residual-{kept}"
    run_worker(setup, f"train:{arm}")
    net = ac.load(setup.work / "runs" / arm / "model", setup.device)
    return {"depth": kept, "epochs": plan["epochs"], **_kept(setup, net)}
