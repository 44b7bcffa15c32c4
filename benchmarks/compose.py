"""Cut, quantise and prune: accuracy against size and against latency, on digits.

Three arms: an ACN, its residual baseline, and a shallow residual network of the kept depth that is
trained from scratch. Each is full or cut, with or without half of its weights pruned at once, and
in float32, int8 (onnxruntime's dynamic quantisation) or with only weights in int8. Scores are those
of the ONNX file on test data; the depth was selected on validation data.

    python benchmarks/compose.py [--seeds 3] [--time 0] [--table]

Each network and each row of a seed is kept as soon as it is there (build/compose and
benchmarks/results/compose.json), and is not made again: an interrupted run goes on. ``--time SEED``
takes the processor time of all files of that seed in turns. ``--table`` only writes the table of
docs/deploy.md and docs/pictures/compose.svg.
"""

from __future__ import annotations

import argparse
import copy
import gzip
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

import autocompress as ac
from autocompress.deploy.benchmark import FORMATS, Speedup
from autocompress.deploy.checking import LOADERS, score_of
from autocompress.deploy.quantising import quantise_dynamic, quantise_weights
from autocompress.deploy.segments import LOGITS, entrance_of
from autocompress.measurement import Timing
from autocompress.printing import markdown
from autocompress_studies.page import between

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "compose"
RESULT = ROOT / "benchmarks" / "results" / "compose.json"
PAGE = ROOT / "docs" / "deploy.md"
#: Formats, and what they add to the name of a row.
KINDS = {"onnx": "", "int8": ", int8", "int8-weights": ", int8 weights"}
QUANTISE = {"int8": quantise_dynamic, "int8-weights": quantise_weights}
#: Marks and their names in the picture, by whether the network is pruned and its format.
MARKS = {
    (False, "onnx"): ("o", "float32"),
    (False, "int8"): ("s", "int8"),
    (False, "int8-weights"): ("P", "int8 weights"),
    (True, "onnx"): ("^", "half pruned"),
    (True, "int8"): ("D", "half pruned, int8"),
    (True, "int8-weights"): ("X", "half pruned, int8 weights"),
}
COLOURS = {"ACN, full": "C0", "ACN, cut": "C2", "residual, full": "C1", "residual, shallow": "C3"}
#: Rows of a seed: arms, pruned or not, formats.
EVERY = 2 * len(COLOURS) * len(KINDS)
BATCHES = ("processor time of one picture, ms", "processor time of a batch of 256, ms")
SIZES = {"width": 32, "classes": 10, "image_size": 8, "patch_size": 2, "channels": 1}


def kept(name: str, seed: int, make: Callable[[], ac.Network]) -> ac.Network:
    """Return the network of this name and seed from build/compose, made there if it is missing."""
    folder = place_of(name, seed)
    if not folder.exists():
        ac.save(make(), folder)
    return ac.load(folder)


def place_of(name: str, seed: int) -> Path:
    return BUILD / str(seed) / name.replace(", ", "-").replace(" ", "-")


def trained(depth: int, connectivity: str, data: Any, settings: dict[str, Any]) -> ac.Network:
    torch.manual_seed(settings["seed"])
    net = ac.models.Mixer(depth=depth, connectivity=connectivity, **SIZES)
    fit = ac.FitConfig(
        epochs=settings["epochs"], lr=4e-3, batch_size=64, warmup_epochs=3.0, seed=settings["seed"]
    )
    ac.fit(net, data.train, data.validation, fit, progress=False)
    return net.eval()


def pruned(net: ac.Network) -> ac.Network:
    ac.prune(net, 0.5)
    return net


def networks(data: Any, settings: dict[str, Any]) -> Iterator[tuple[str, ac.Network]]:
    """Yield the networks of one seed with the name of their row."""
    depth, seed = settings["depth"], settings["seed"]
    train = partial(trained, data=data, settings=settings)
    net = kept("ACN, full", seed, lambda: train(depth, "acn"))
    layers = ac.probe(net, data.validation).select(tolerance=0.01).depth
    makers = {
        "ACN, full": lambda: net,
        "ACN, cut": lambda: ac.cut(net, layers),
        "residual, full": lambda: train(depth, "residual"),
        "residual, shallow": lambda: train(layers, "residual"),
    }
    for name, make in makers.items():
        found = kept(name, seed, make)
        yield name, found
        yield f"{name}, half pruned", pruned(copy.deepcopy(found))


def files(name: str, seed: int, net: ac.Network) -> Iterator[tuple[str, Path]]:
    """Yield each kind of ONNX file of a network, and its path; those that are missing are made."""
    folder = place_of(name, seed).with_suffix(".onnx")
    folder.mkdir(parents=True, exist_ok=True)
    plain = folder / "net.onnx"
    if not plain.exists():
        FORMATS["onnx"](net, entrance_of(net, net.example(2), False), folder / "net")
    for kind in KINDS:
        file = plain if kind == "onnx" else plain.with_suffix(f".{kind}.onnx")
        if not file.exists():
            QUANTISE[kind](plain, file)
        yield kind, file


def score(data: Any, settings: dict[str, Any], found: dict[str, Any]) -> None:
    """Add the rows of one seed that are missing: layers, sizes and scores, each kept at once."""
    rows = found["rows"].setdefault(str(settings["seed"]), {})
    if len(rows) == EVERY:  # the networks may be gone
        return
    for name, net in networks(data, settings):
        if all(name + words in rows for words in KINDS.values()):
            continue
        for kind, file in files(name, settings["seed"], net):
            run = runner(file)
            entrance = entrance_of(net, net.example(2), False)
            (right,) = score_of(net, entrance, data.test, False, lambda x, r=run: iter([r(x)]))
            rows[name + KINDS[kind]] = {
                "layers": net.depth,
                "bytes": file.stat().st_size,
                "gzip_bytes": len(gzip.compress(file.read_bytes(), mtime=0)),
                "score": right,
            }
        keep(found)


def runner(file: Path) -> Callable[[Any], Any]:
    """Return a function of arrays by name that returns the logits of an ONNX file."""
    graph = LOADERS["onnxruntime"][1](file)
    return lambda given: graph(given)[LOGITS]


def alone(file: Path) -> Callable[[dict[str, Any]], Any]:
    """Return a function that runs an ONNX file on one thread, whose time the processor knows."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(file), options, ["CPUExecutionProvider"])
    return lambda given: session.run(None, given)


def in_turns(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, Timing]:
    """Return the processor times of calls that take turns; other work on the machine hardly counts.

    The first three rounds, in which onnxruntime lays out its memory, are left out.
    """
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds + 3):
        for name, call in calls.items():
            start = time.process_time()
            call()
            samples[name].append(1e3 * (time.process_time() - start))
    return {name: Timing(tuple(some[3:])) for name, some in samples.items()}


def timed(data: Any, settings: dict[str, Any], found: dict[str, Any]) -> None:
    """Time all files of one seed in turns, for batches of 1 and of 256."""
    calls: dict[int, dict[str, Any]] = {1: {}, 256: {}}
    for name, net in networks(data, settings):
        for kind, file in files(name, settings["seed"], net):
            run = alone(file)
            for batch, some in calls.items():
                given = {"images": net.example(batch).numpy()}
                some[name + KINDS[kind]] = lambda r=run, g=given: r(g)
    times: dict[str, Any] = {}
    for batch, some in calls.items():
        timings = in_turns(some, 200 if batch == 1 else 20)
        first = next(iter(timings.values()))
        for name, timing in timings.items():
            times.setdefault(name, {})[f"batch_{batch}"] = {
                "p50_ms": timing.median_ms,
                "p90_ms": timing.high_ms,
                "speedup": Speedup.of(first, timing).to_json(),
            }
    found["times"] = {"seed": settings["seed"], "rows": times}
    keep(found)


def keep(found: dict[str, Any]) -> None:
    """Add the results to those that are there; another process may have written some meanwhile."""
    known = json.loads(RESULT.read_text()) if RESULT.exists() else {"rows": {}}
    for seed, rows in known["rows"].items():
        mine = found["rows"].setdefault(seed, {})  # changed in place: whoever adds rows holds it
        mine.update(rows | mine)
    found = known | found
    part = RESULT.with_suffix(".part")
    part.write_text(json.dumps(found, indent=1) + "\n")
    part.replace(RESULT)


def over_seeds(found: dict[str, Any]) -> dict[str, dict[str, list[float]]]:
    """Return the values of every row, one for each seed that has all rows."""
    rows: dict[str, dict[str, list[float]]] = {}
    for seed in found["rows"].values():
        for name, row in seed.items() if len(seed) == EVERY else ():
            for key, value in row.items():
                rows.setdefault(name, {}).setdefault(key, []).append(value)
    return rows


def table(found: dict[str, Any]) -> str:
    """Return the means over seeds, and the times of one seed, as Markdown."""
    headings = ["network", "layers", "file, kB", "zipped, kB", "accuracy, %"]
    headings += ["batch 1, ms", "speed", "batch 256, ms", "speed"]
    lines = []
    for name, row in over_seeds(found).items():
        low, high = min(row["layers"]), max(row["layers"])
        right = [100 * one for one in row["score"]]
        cells = [name, f"{low}" if low == high else f"{low} to {high}"]
        cells += [f"{fmean(row[key]) / 1e3:.0f}" for key in ("bytes", "gzip_bytes")]
        seeds = f" ({min(right):.1f} to {max(right):.1f})" if len(right) > 1 else ""
        cells.append(f"{fmean(right):.1f}{seeds}")
        timed = found["times"]["rows"].get(name, {})
        for times in timed.values():
            said = times["speedup"]
            cells.append(f"{times['p50_ms']:.3g} (p90 {times['p90_ms']:.3g})")
            spread = f"{said['low']:.2f} to {said['high']:.2f}"
            cells.append(
                f"noisy ({spread})" if said["noisy"] else f"{said['ratio']:.2f} ({spread})"
            )
        lines.append(cells)
    return markdown(headings, lines)


def marked(page: str) -> str:
    """Return docs/deploy.md with the table of the committed results."""
    return between(page, "compose", table(json.loads(RESULT.read_text())))


def picture(found: dict[str, Any], path: Path) -> None:
    """Draw accuracy, the mean and range over seeds, against size and against time."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.6), layout="constrained")
    axes = figure.subplots(1, 3, sharey=True)
    for name, row in over_seeds(found).items():
        arm = next(arm for arm in COLOURS if name.startswith(arm))
        kind = next(k for k in reversed(KINDS) if name.endswith(KINDS[k]))
        mark = MARKS["half pruned" in name, kind][0]
        times = found["times"]["rows"].get(name, {})
        places = [fmean(row["gzip_bytes"]) / 1e3, *(one["p50_ms"] for one in times.values())]
        right = [100 * one for one in row["score"]]
        middle = fmean(right)
        spread = [[middle - min(right)], [max(right) - middle]]
        for axis, x in zip(axes, places, strict=False):  # some have no times
            axis.errorbar(x, middle, spread, fmt=mark, color=COLOURS[arm], lw=0.8, alpha=0.8)
    for axis, label in zip(axes, ("zipped ONNX file, kB", *BATCHES), strict=True):
        axis.set_xlabel(label)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("test accuracy, %")
    for arm, colour in COLOURS.items():
        axes[2].plot([], [], "o", color=colour, label=arm)
    for mark, name in MARKS.values():
        axes[2].plot([], [], mark, color="grey", label=name)
    figure.legend(*axes[2].get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Measure what is missing, then write table and picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--depth", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--time", type=int, metavar="SEED", help="time the files of this seed")
    parser.add_argument("--table", action="store_true", help="only write table and picture")
    args = parser.parse_args()
    settings = {"depth": args.depth, "epochs": args.epochs}
    found: dict[str, Any] = {"settings": settings, "rows": {}}
    if RESULT.exists():
        found = json.loads(RESULT.read_text())
        if found["settings"] != settings and not args.table:
            parser.error(f"{RESULT} is of {found['settings']}: remove it, and build/compose")
    if not args.table:
        torch.set_num_threads(1)
        data = ac.load_data(ac.DataConfig(name="digits"))
        if args.time is None:
            for seed in range(args.seeds):
                score(data, {**settings, "seed": seed}, found)
        else:
            timed(data, {**settings, "seed": args.time}, found)
    if "times" in found:
        picture(found, ROOT / "docs" / "pictures" / "compose.svg")
        PAGE.write_text(marked(PAGE.read_text()))


if __name__ == "__main__":
    main()
