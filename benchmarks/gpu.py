"""Run the paper's CIFAR-10 experiment on one GPU, offline, within a quarter of an hour.

    python benchmarks/gpu.py --minutes 9 --data .gpu/data --out gpu-results
    python benchmarks/gpu.py --tiny --minutes 1 --out /tmp/tiny      (on any machine, without a GPU)

The most valuable parts come first. The size of each part follows from step times that are measured
on this machine and from the minutes that are left. A part writes its JSON file to ``--out`` when it
ends (the training also while it runs) and is skipped if that file exists:

    speed.json    step time and memory, the cost of probing, the time that early exit saves
    train.json    the 16-layer Mixer as ACN, residual and annealed network: scores of every depth
    after.json    the trained networks: depth kept, noise, pruning, latency, early exit

``--parts speed`` runs one of them. On a borrowed machine, run the parts in calls of their own and
fetch each file at once: a machine that is lost then costs one part.

The parts share decoded data, checkpoints and saved networks in ``--work``; a second call with the
same folders continues where the first one stopped. benchmarks/gpu_page.py generates docs/gpu.md
from the results.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # several processes share the cores

import torch

from autocompress.io import write_json
from autocompress.pipeline.summary import environment
from gpu_after import after
from gpu_setup import Clock, Setup, prepare, read_json
from gpu_speed import speed
from gpu_train import train, worker

__all__ = ["main"]

#: Function of each part, and the number of seconds that must be left for it to start.
PARTS: dict[str, tuple[Callable[[Setup, Clock], dict[str, Any]], float]] = {
    "speed": (speed, 30),
    "train": (train, 60),
    "after": (after, 10),
}


def main(argv: list[str] | None = None) -> int:
    """Run the parts that fit into the time; return the exit status, 1 if a part failed."""
    args = _parser().parse_args(argv)
    if args.worker:
        worker(args.worker, Path(args.work))
        return 0
    clock = Clock(60 * args.minutes)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    setup = prepare(args, Path(args.work))
    failed = False
    for name in args.parts or PARTS:
        part, least = PARTS[name]
        path = out / f"{name}.json"
        if (read_json(path) or {}).get("finished"):
            print(f"{name}: skipped, {path} exists", flush=True)
        elif clock.left() < least and not args.tiny:
            print(f"{name}: skipped, only {clock.left():.0f} s are left", flush=True)
        else:
            failed |= not _run(name, part, setup, clock, path)
    return int(failed)


def _run(
    name: str,
    part: Callable[[Setup, Clock], dict[str, Any]],
    setup: Setup,
    clock: Clock,
    path: Path,
) -> bool:
    """Run one part and write its results, or its error; return whether it finished."""
    print(f"{name}: started, {clock.left():.0f} s left", flush=True)
    begun = time.perf_counter()
    record: dict[str, Any] = {
        "part": name,
        "finished": False,
        "settings": asdict(setup.settings),
        "environment": environment(setup.device),
    }
    setup.progress = lambda found: write_json(path, record | {"results": found})
    try:
        record |= {"results": part(setup, clock), "finished": True}
    except Exception as error:  # the other parts should still run
        record |= {"error": f"{type(error).__name__}: {error}"}
        if (kept := (read_json(path) or {}).get("results")) is not None:
            record |= {"results": kept}
    record["seconds"] = round(time.perf_counter() - begun, 1)
    write_json(path, record)
    print(f"{name}: {record.get('error', 'done')}, {record['seconds']} s: {path}", flush=True)
    return bool(record["finished"])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=9.0, help="minutes for all parts together")
    parser.add_argument(
        "--data", help="folder with the data set, or with cifar10/ in it; unused with --tiny"
    )
    parser.add_argument("--out", default="gpu-results", help="folder for the JSON files")
    parser.add_argument("--work", default="/tmp/acn-gpu", help="folder for data and checkpoints")
    parser.add_argument(
        "--tiny", action="store_true", help="use a small network and generated images"
    )
    parser.add_argument(
        "--modes", help="modes of torch.compile, separated by commas, e.g. off,default"
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, help="parts to run; all if left out")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    torch.set_float32_matmul_precision("high")
    sys.exit(main())
