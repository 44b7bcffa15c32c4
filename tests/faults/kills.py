"""Kill runs again and again, many within a write; going on, they must end as one nobody killed.

    python tests/faults/kills.py --kills 50 --out tests/faults/results/kills.json

Each round takes one verb, kills it a few times at moments drawn from the seed, either inside a call
that writes, half of it done, or some time after one, and lets it come to its end. Then its folder
is compared with that of a run that nobody touched: networks bit for bit, metrics epoch by epoch,
the report but for what a clock says, and no name that is not there too.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from children import import_noted, note_imports, run

import autocompress.io.atomic
import autocompress.io.weights
import autocompress.training.progress
from autocompress.errors import ExportError

SMALL = [
    *("--model.name", "mlp", "--model.depth", "3", "--model.width", "8"),
    *("--fit.warmup_epochs", "0", "--fit.batch_size", "32", "--data.train_limit", "200"),
]
VERBS: dict[str, list[str]] = {
    "train": [*SMALL, "--fit.epochs", "8", "--fit.ema", "0.9"],
    "stream": [*SMALL, "--fit.epochs", "2", "--stream.tasks", "5", "--stream.protect", "ewc"],
    "compress": [*SMALL, "--fit.epochs", "4", "--heal", "1", "--select.layers", "2"],
}
CONFIGS = {"stream": "stream.yaml"}

#: Keys of JSON that a clock or the machine decides.
TIMED = {
    "seconds",
    "latency_ms",
    "latency_spread_ms",
    "latency_ratio",
    "environment",
    "peak_memory_bytes",
    "train",
}


# -- killing inside a write ------------------------------------------------------------------------


def _halves() -> dict[str, tuple[Any, str, Callable[..., None]]]:
    """Calls that write, by name: where they stand, and how to do half of each."""

    def half_a_checkpoint(state: Any, path: Path) -> None:
        whole = io.BytesIO()
        save(state, whole)
        Path(path).write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])

    def half_the_weights(tensors: Any, path: Path, metadata: Any = None) -> None:
        save_file(tensors, path, metadata)
        os.truncate(path, os.path.getsize(path) // 2)

    def half_a_line(metrics: Any, record: dict[str, Any]) -> None:
        text = json.dumps(record)
        with metrics.path.open("a") as file:
            file.write(text[: len(text) // 2])

    def half_a_tree(path: Path, **_: Any) -> None:
        for file in sorted(Path(path).rglob("*"))[:1]:
            if file.is_file():
                file.unlink()

    def nothing(*_: Any, **__: Any) -> None:
        pass

    save, save_file = torch.save, autocompress.io.weights.save_file
    return {
        "torch.save": (torch, "save", half_a_checkpoint),
        "save_file": (autocompress.io.weights, "save_file", half_the_weights),
        "metrics line": (autocompress.training.progress.MetricsFile, "write", half_a_line),
        "rmtree": (shutil, "rmtree", half_a_tree),
        "fsync": (os, "fsync", nothing),
        "replace": (os, "replace", nothing),
        "rename": (Path, "rename", nothing),
        "exchange": (autocompress.io.atomic, "exchange", nothing),
        "write_text": (Path, "write_text", lambda path, text, **_: path.write_bytes(b"half")),
        "mkdir": (Path, "mkdir", nothing),
    }


def trap(at: int, counted: Path | None = None, late: float = 0.0) -> Callable[[], None]:
    """A trap for a child: die in its ``at``-th call that writes.

    Args:
        at: from 1; 0 never.
        late: die as many seconds later instead, wherever that is.
        counted: file for the names of all such calls, one a line.
    """

    def set_it() -> None:
        seen = 0
        for name, (place, attribute, half) in _halves().items():
            original = getattr(place, attribute)

            def dying(
                *args: Any, _name: str = name, _call: Any = original, _half: Any = half, **more: Any
            ) -> Any:
                nonlocal seen
                seen += 1
                if counted is not None:
                    with open(counted, "a") as file:
                        file.write(f"{_name}\n")
                if seen == at and late:
                    threading.Timer(late, os.kill, (os.getpid(), signal.SIGKILL)).start()
                elif seen == at:
                    _half(*args, **more)
                    os.kill(os.getpid(), signal.SIGKILL)
                return _call(*args, **more)

            setattr(place, attribute, dying)

    return set_it


def no_export(*_: Any, **__: Any) -> None:
    raise ExportError("left out")


# -- comparing -------------------------------------------------------------------------------------


def timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: timeless(item) for key, item in value.items() if key not in TIMED}
    return [timeless(item) for item in value] if isinstance(value, list) else value


def differences(whole: Path, found: Path) -> list[str]:
    """Return in what a finished run differs from one that nobody touched."""
    wrong = []
    names, theirs = (
        {str(path.relative_to(folder)) for path in folder.rglob("*")} for folder in (found, whole)
    )
    wrong += [f"left over: {name}" for name in sorted(names - theirs)]
    wrong += [f"missing: {name}" for name in sorted(theirs - names)]
    for name in sorted(names & theirs):
        ours, other = found / name, whole / name
        if name.endswith((".safetensors", "config.json", "config.yaml", "stream.yaml")):
            if ours.read_bytes() != other.read_bytes():
                wrong.append(f"not the same bytes: {name}")
        elif name.endswith(("report.json", "stream.json")):
            if timeless(json.loads(ours.read_text())) != timeless(json.loads(other.read_text())):
                wrong.append(f"another result: {name}")
        elif name.endswith("metrics.jsonl"):
            lines, others = (
                [json.loads(s) for s in p.read_text().splitlines()] for p in (ours, other)
            )
            if [r["epoch"] for r in lines] != list(range(1, len(lines) + 1)):
                wrong.append(f"epochs {[r['epoch'] for r in lines]}: {name}")
            if timeless(lines) != timeless(others):
                wrong.append(f"other metrics: {name}")
    return wrong


# -- the campaign ----------------------------------------------------------------------------------


class Campaign:
    """Rounds of kills.

    Args:
        folder: for the runs.
        seed: of the moments.
        quick: without ONNX, which takes as long as all the rest.
    """

    def __init__(self, folder: Path, seed: int, quick: bool = False) -> None:
        self.folder, self.random, self.quick = folder, random.Random(seed), quick
        self.calls: dict[str, int] = {}
        self.kills: list[dict[str, Any]] = []
        self.faults: list[str] = []

    def _words(self, verb: str, folder: Path, resume: bool) -> list[str]:
        return [verb, *VERBS[verb], "--output", str(folder), "--resume", str(resume).lower()]

    def _trap(self, at: int, counted: Path | None = None, late: float = 0.0) -> Callable[[], None]:
        def set_it() -> None:
            if self.quick:
                autocompress.io.export_file = no_export
            trap(at, counted, late)()

        return set_it

    def untouched(self, verb: str) -> Path:
        """Return the run of a verb that nobody kills; it is made once."""
        whole = self.folder / f"{verb}-whole"
        if not whole.exists():
            counted, names = self.folder / f"{verb}-calls", self.folder / "modules"
            words, log = self._words(verb, whole, False), self.folder / "log"
            before, after = self._trap(0, counted), partial(note_imports, names)
            ended = run(words, log, before=before, after=after)
            assert ended.status == 0, ended.said
            import_noted(names)
            self.calls[verb] = len(counted.read_text().splitlines())
        return whole

    def round(self, verb: str, kills: int) -> int:
        """Kill one run up to ``kills`` times, then let it end; how often it was killed."""
        whole, folder = self.untouched(verb), self.folder / f"{verb}-{len(self.kills)}"
        done = 0
        for _ in range(kills):
            inside = self.random.random() < 0.6
            at = self.random.randint(1, self.calls[verb])
            late = 0.0 if inside else self.random.uniform(0.001, 0.5)
            counted = self.folder / "calls"
            counted.unlink(missing_ok=True)
            log = self.folder / "log"
            words = self._words(verb, folder, done > 0)
            ended = run(words, log, before=self._trap(at, counted, late))
            if ended.status != -signal.SIGKILL:
                if ended.status != 0:
                    self.faults.append(f"{verb}: status {ended.status}: {ended.said[-500:]}")
                break  # it has ended before its moment came
            done += 1
            call = counted.read_text().splitlines()[-1] if inside and counted.exists() else None
            self.kills.append({"verb": verb, "inside": call})
        ended = run(self._words(verb, folder, True), self.folder / "log", before=self._trap(0))
        if ended.status != 0:
            self.faults.append(f"{verb}: status {ended.status}: {ended.said[-500:]}")
        else:
            self.faults += [f"{verb}: {what}" for what in differences(whole, folder)]
        if "Traceback" in ended.said:
            self.faults.append(f"{verb}: {ended.said[-500:]}")
        shutil.rmtree(folder)
        return done

    def result(self, seed: int, start: float) -> dict[str, Any]:
        """Return what came of it, as JSON."""
        inside = Counter(kill["inside"] for kill in self.kills if kill["inside"])
        return {
            "kind": "kills",
            "seed": seed,
            "kills": len(self.kills),
            "by_verb": dict(Counter(kill["verb"] for kill in self.kills)),
            "inside_a_write": sum(inside.values()),
            "by_call": dict(sorted(inside.items())),
            "calls_that_write": self.calls,
            "faults": len(self.faults),
            "first_faults": self.faults[:20],
            "seconds": round(time.monotonic() - start, 1),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--a_round", type=int, default=3, help="kills of one run, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbs", nargs="*", default=list(VERBS), choices=list(VERBS))
    parser.add_argument("--quick", action="store_true", help="export nothing")
    parser.add_argument("--out", type=Path, default=None, help="file for the result")
    args = parser.parse_args()
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="acn-kills-") as folder:
        campaign = Campaign(Path(folder), args.seed, args.quick)
        turn = 0
        while len(campaign.kills) < args.kills:
            left = args.kills - len(campaign.kills)
            campaign.round(args.verbs[turn % len(args.verbs)], min(args.a_round, left))
            turn += 1
        found = campaign.result(args.seed, start)
    text = json.dumps(found, indent=1) + "\n"
    print(text, end="")
    if args.out is not None:
        args.out.write_text(text)
    sys.exit(1 if found["faults"] else 0)


if __name__ == "__main__":
    main()
