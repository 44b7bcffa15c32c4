"""Part ``train`` of benchmarks/gpu.py: train the paper's networks, each in its own process.

They are trained at the same time if a measurement shows that this is faster, otherwise one after
the other. A worker uses the library's own loop and resumes from its checkpoint.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import autocompress as ac
from autocompress.io import save, write_json
from autocompress.measurement import latency
from autocompress.measurement.modes import evaluating
from gpu_setup import ARMS, Clock, Setup, load_setup, read_json
from gpu_speed import fastest

__all__ = ["run_worker", "train", "worker"]

#: Seconds for loading, compiling and saving, and the share of the time that is kept in reserve.
START_S, RESERVE = 60.0, 0.08
#: Share of the remaining time that part ``after`` needs.
AFTER = 0.12
#: Training at the same time must take at most this share of the time of training in turn.
FASTER = 0.95


def train(setup: Setup, clock: Clock) -> dict[str, Any]:
    """Train all arms for the same number of epochs: as many as fit into the time."""
    plan = read_json(setup.work / "plan.json") or _planned(setup, clock)
    write_json(setup.work / "plan.json", plan)
    found: dict[str, Any] = {"plan": plan, "arms": {}}
    running: dict[str, subprocess.Popen[str]] = {}
    waiting = list(plan["arms"])
    while waiting or running:
        while waiting and (plan["together"] or not running):
            arm = waiting.pop(0)
            running[arm] = _start(setup, f"train:{arm}")
        time.sleep(0.2 if setup.settings.tiny else 2.0)
        for arm in [arm for arm, process in running.items() if process.poll() is not None]:
            if running.pop(arm).returncode:
                found["arms"][arm] = {"failed": _last_words(setup, f"train:{arm}")}
        found["arms"] |= {arm: _so_far(setup, arm) for arm in plan["arms"] if _log(setup, arm)}
        setup.progress(found)
    if not any("curve" in arm for arm in found["arms"].values()):
        raise RuntimeError(f"no network was trained: {found['arms']}")
    return found


def run_worker(setup: Setup, job: str) -> None:
    """Run one job, and raise RuntimeError with the end of its log if it fails."""
    if _start(setup, job).wait():
        raise RuntimeError(_last_words(setup, job))


# -- how many epochs, and how many networks at once ------------------------------------------------


def _planned(setup: Setup, clock: Clock) -> dict[str, Any]:
    spent = read_json(setup.work / "speed.json")
    speed = spent["steps"] if spent else _timed(setup)
    mode, alone_ms = fastest(speed)
    auto_augment = bool(spent and spent.get("auto_augment", {}).get("taken"))
    arms = list(setup.settings.arms)
    plan: dict[str, Any] = {"mode": mode, "auto_augment": auto_augment, "step_ms_alone": alone_ms}
    write_json(setup.work / "plan-clock.json", plan)
    together = _together(setup, arms)
    plan["step_ms_of_all_at_once"] = together
    plan["together"] = together is not None and together < FASTER * len(arms) * alone_ms
    every = 1 if setup.settings.tiny else 5
    evaluation = _evaluation_seconds(setup) / every
    seconds = clock.left() * (1 - AFTER) * (1 - RESERVE)
    for count in range(len(arms), 0, -1):
        step_ms = together * count / len(arms) if plan["together"] else count * alone_ms
        starts = START_S if plan["together"] else count * START_S / 2
        epoch = setup.steps * step_ms / 1000 + count * evaluation
        epochs = int((seconds - (0 if setup.settings.tiny else starts)) / epoch)
        if epochs >= setup.settings.fewest_epochs or count == 1 or setup.settings.tiny:
            break
    plan |= {"arms": arms[:count], "epochs": max(1, epochs), "evaluate_every": every}
    if setup.settings.tiny:
        plan["epochs"] = setup.settings.fewest_epochs
    plan["fewer_epochs_than_wanted"] = plan["epochs"] < setup.settings.fewest_epochs
    return plan


def _timed(setup: Setup) -> dict[str, Any]:
    from gpu_speed import step

    return {f"acn, {mode}": step(setup, "acn", mode) for mode in setup.settings.modes[:2]}


def _together(setup: Setup, arms: list[str]) -> float | None:
    """Return milliseconds of a step when all arms run at the same time; None if a process fails."""
    folder = setup.work / "barrier"
    for old in folder.glob("*"):
        old.unlink()
    folder.mkdir(exist_ok=True)
    processes = {arm: _start(setup, f"clock:{arm}") for arm in arms}
    codes = [process.wait() for process in processes.values()]
    times = [read_json(folder / f"{arm}.json") for arm in arms]
    if any(codes) or not all(times):
        return None
    return round(max(t["ms"] for t in times if t), 4)


def _evaluation_seconds(setup: Setup) -> float:
    """Return the seconds of one evaluation at every depth."""
    net = setup.network("acn").to(setup.device).eval()
    x = net.example(256)
    with evaluating(net), torch.autocast(setup.device.type, torch.bfloat16):
        once = latency(lambda: list(net.readouts(x)), setup.device, repeats=5, limit_s=3)
    return 1.3 * once.median_ms / 1000 * -(-len(setup.validation) // 256)


# -- a worker process ------------------------------------------------------------------------------


def worker(job: str, work: Path) -> None:
    """Run ``--worker KIND:ARM`` in a process of its own."""
    torch.set_num_threads(max(1, (os.cpu_count() or 2) // 4))
    kind, _, arm = job.partition(":")
    setup = load_setup(work)
    if kind == "clock":
        _clock_job(setup, arm)
    elif kind == "train":
        _train_job(setup, arm)
    else:
        raise ValueError(f"no such job: {job}")


def _clock_job(setup: Setup, arm: str) -> None:
    """Measure an epoch of a few steps while the other arms do the same."""
    plan = read_json(setup.work / "plan-clock.json") or {}
    hook = _Barrier(setup, arm)
    rows = torch.arange(setup.settings.timed_steps * setup.settings.batch_size) % len(setup.train)
    how = ARMS[arm]
    distil = how.distil and replace(how.distil, start=0.0)  # a graph compiled later would be timed
    ac.fit(
        setup.network(how.connectivity),
        setup.train.select(rows),
        config=setup.fit_config(2, plan["mode"], distil=distil),
        path=how.path,
        augment=setup.augment(auto_augment=plan["auto_augment"]),
        hooks=[hook],
        progress=False,
    )


class _Barrier(ac.training.Hook):
    """A hook that waits for all arms before the second epoch, and measures that epoch."""

    def __init__(self, setup: Setup, arm: str) -> None:
        self.setup, self.arm, self.begun = setup, arm, 0.0
        self.folder = setup.work / "barrier"

    def before_epoch(self, net: ac.Network, epoch: int, epochs: int, steps: int) -> None:
        if epoch == 2:
            (self.folder / f"{self.arm}.here").touch()
            until = time.monotonic() + 180
            while len(list(self.folder.glob("*.here"))) < len(self.setup.settings.arms):
                if time.monotonic() > until:
                    raise RuntimeError("the processes of the other networks did not start in time")
                time.sleep(0.01)
            self._wait()
            self.begun = time.perf_counter()
        self.steps = steps

    def after_epoch(self, net: ac.Network, epoch: int, epochs: int) -> None:
        if epoch == 2:
            self._wait()
            ms = 1000 * (time.perf_counter() - self.begun) / self.steps
            write_json(self.folder / f"{self.arm}.json", {"ms": ms})

    def _wait(self) -> None:
        if self.setup.device.type == "cuda":
            torch.cuda.synchronize()


def _train_job(setup: Setup, arm: str) -> None:
    """Train an arm, or ``residual-K``, a residual network of K layers from scratch."""
    plan = read_json(setup.work / "plan.json") or {}
    name, _, layers = arm.partition("-")
    how = ARMS[name]
    net = setup.network(how.connectivity, depth=int(layers) if layers else None)
    folder = setup.work / "runs" / arm
    folder.mkdir(parents=True, exist_ok=True)
    run = ac.fit(
        net,
        setup.train,
        setup.validation,
        setup.fit_config(
            plan["epochs"],
            plan["mode"],
            evaluate_every=plan["evaluate_every"],
            checkpoint_every=max(1, plan["epochs"] // 20),
            distil=how.distil,
        ),
        path=how.path,
        augment=setup.augment(auto_augment=plan["auto_augment"]),
        run=folder,
        resume=True,
        progress=False,
    )
    write_json(folder / "seconds.json", {"seconds": run.seconds})
    save(net.cpu(), folder / "model", overwrite=(folder / "model").exists())


def _start(setup: Setup, job: str) -> subprocess.Popen[str]:
    script = Path(__file__).with_name("gpu.py")
    command = [sys.executable, str(script), "--worker", job, "--work", str(setup.work)]
    log = (setup.work / f"{job.replace(':', '-')}.log").open("w")
    return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, text=True)


def _last_words(setup: Setup, job: str) -> str:
    text = (setup.work / f"{job.replace(':', '-')}.log").read_text()
    return text.strip()[-400:]


def _log(setup: Setup, arm: str) -> list[dict[str, Any]]:
    path = setup.work / "runs" / arm / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    records = []
    for line in lines:
        try:
            records.append(json.loads(line))
        except ValueError:  # the last line is being written
            break
    return records


def _so_far(setup: Setup, arm: str) -> dict[str, Any]:
    """Return the epochs of an arm so far: training loss, and validation scores by depth."""
    records = _log(setup, arm)
    scored = [r for r in records if "depths" in r]
    ended = read_json(setup.work / "runs" / arm / "seconds.json")
    return {
        "epochs": len(records),
        "seconds": records[-1]["seconds"],
        "ended": ended is not None,
        "loss": [round(r["loss"], 5) for r in records],
        "curve": {str(r["epoch"]): [round(d, 4) for d in r["depths"]] for r in scored},
    }
