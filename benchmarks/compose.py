"""Cut, quantise and prune: accuracy against size and against latency, on digits.

Three arms: an ACN, its residual baseline, and a shallow residual network of the kept depth that is
trained from scratch. Each is full or cut, with or without half of its weights pruned at once, and
in float32, int8 (onnxruntime's dynamic quantisation) or with only weights in int8. Scores are those
of the ONNX file on test data; the depth was selected on validation data. All files of one table are
timed in turns.

    python benchmarks/compose.py [--table]

It writes benchmarks/results/compose.json, docs/pictures/compose.svg and the table of
docs/deploy.md; ``--table`` writes the last two from the results.
"""

from __future__ import annotations

import argparse
import copy
import gzip
import json
import tempfile
from pathlib import Path
from typing import Any

import torch

import autocompress as ac
from autocompress.deploy.benchmark import FORMATS, Speedup
from autocompress.deploy.checking import LOADERS, score_of
from autocompress.deploy.quantising import quantise_dynamic, quantise_weights
from autocompress.deploy.segments import LOGITS, entrance_of
from autocompress.measurement.timing import compare
from autocompress_studies.page import between

ROOT = Path(__file__).parents[1]
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
SIZES = {"width": 32, "classes": 10, "image_size": 8, "patch_size": 2, "channels": 1}


def trained(depth: int, connectivity: str, data: Any, epochs: int, seed: int) -> ac.Network:
    torch.manual_seed(seed)
    net = ac.models.Mixer(depth=depth, connectivity=connectivity, **SIZES)
    fit = ac.FitConfig(epochs=epochs, lr=4e-3, batch_size=64, seed=seed)
    ac.fit(net, data.train, data.validation, fit)
    return net.eval()


def networks(data: Any, depth: int, epochs: int, seed: int) -> dict[str, ac.Network]:
    """Return the networks by the name of their row."""
    net = trained(depth, "acn", data, epochs, seed)
    kept = ac.probe(net, data.validation).select(tolerance=0.01).depth
    found = {
        f"ACN, full ({depth})": net,
        f"ACN, cut ({kept})": ac.cut(net, kept),
        f"residual, full ({depth})": trained(depth, "residual", data, epochs, seed),
        f"residual, shallow ({kept})": trained(kept, "residual", data, epochs, seed),
    }
    for name in list(found):
        pruned = copy.deepcopy(found[name])
        ac.prune(pruned, 0.5)
        found[f"{name}, half pruned"] = pruned
    return found


def measured(nets: dict[str, ac.Network], data: Any, seconds: float) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    calls: dict[int, dict[str, Any]] = {1: {}, 256: {}}
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, net) in enumerate(nets.items()):
            entrance = entrance_of(net, net.example(2), False)
            path = Path(folder) / str(number)
            FORMATS["onnx"](net, entrance, path)
            for kind in KINDS:
                file = path.with_suffix(".onnx" if kind == "onnx" else f".{kind}.onnx")
                if kind != "onnx":
                    QUANTISE[kind](path.with_suffix(".onnx"), file)
                graph = LOADERS["onnxruntime"][1](file)
                run = lambda given, graph=graph: graph(given)[LOGITS]  # noqa: E731
                (score,) = score_of(net, entrance, data.test, False, lambda x, r=run: iter([r(x)]))
                label = name + KINDS[kind]
                rows.append(
                    {
                        "name": label,
                        "bytes": file.stat().st_size,
                        "gzip_bytes": len(gzip.compress(file.read_bytes(), mtime=0)),
                        "score": score,
                    }
                )
                for batch in calls:
                    given = {"images": net.example(batch).numpy()}
                    calls[batch][label] = lambda r=run, g=given: r(g)
        first = rows[0]["name"]
        for batch, some in calls.items():
            timings = compare(some, repeats=40, limit_s=seconds)
            for row in rows:
                timing = timings[row["name"]]
                row[f"batch_{batch}"] = {
                    "p50_ms": timing.median_ms,
                    "p90_ms": timing.high_ms,
                    "speedup": Speedup.of(timings[first], timing).to_json(),
                }
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| network | file, kB | zipped, kB | accuracy, % | batch 1, ms | speed |"
        " batch 256, ms | speed |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [row["name"], f"{row['bytes'] / 1e3:.0f}", f"{row['gzip_bytes'] / 1e3:.0f}"]
        cells.append(f"{100 * row['score']:.1f}")
        for batch in ("batch_1", "batch_256"):
            said = row[batch]["speedup"]
            cells.append(f"{row[batch]['p50_ms']:.3f} (p90 {row[batch]['p90_ms']:.3f})")
            spread = f"{said['low']:.2f} to {said['high']:.2f}"
            cells.append(
                f"noisy ({spread})" if said["noisy"] else f"{said['ratio']:.2f} ({spread})"
            )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def marked(page: str) -> str:
    """Return docs/deploy.md with the table of the committed results."""
    return between(page, "compose", table(json.loads(RESULT.read_text())["rows"]))


def picture(rows: list[dict[str, Any]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    colours = {
        "ACN, full": "C0",
        "ACN, cut": "C2",
        "residual, full": "C1",
        "residual, shallow": "C3",
    }
    for row in rows:
        arm = row["name"].partition(" (")[0]
        kind = next(k for k in reversed(KINDS) if row["name"].endswith(KINDS[k]))
        mark = MARKS["half pruned" in row["name"], kind][0]
        places = (row["gzip_bytes"] / 1e3, row["batch_256"]["p50_ms"])
        for axis, x in zip(axes, places, strict=True):
            axis.plot(x, 100 * row["score"], mark, color=colours[arm], markersize=8)
    axes[0].set_xlabel("zipped ONNX file, kB")
    axes[1].set_xlabel("time of a batch of 256, ms")
    axes[0].set_ylabel("test accuracy, %")
    for arm, colour in colours.items():
        axes[1].plot([], [], "o", color=colour, label=arm)
    for mark, name in MARKS.values():
        axes[1].plot([], [], mark, color="grey", label=name)
    axes[1].legend(fontsize=8)
    for axis in axes:
        axis.grid(alpha=0.3)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--depth", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--table", action="store_true", help="only write table and picture")
    args = parser.parse_args()
    if not args.table:
        data = ac.load_data(ac.DataConfig(name="digits"))
        rows = measured(networks(data, args.depth, args.epochs, args.seed), data, args.seconds)
        said = {key: value for key, value in vars(args).items() if key != "table"}
        said |= {"threads": torch.get_num_threads(), "test_examples": len(data.test)}
        RESULT.write_text(json.dumps({"settings": said, "rows": rows}, indent=1) + "\n")
    rows = json.loads(RESULT.read_text())["rows"]
    print(table(rows))
    picture(rows, ROOT / "docs" / "pictures" / "compose.svg")
    PAGE.write_text(marked(PAGE.read_text()))


if __name__ == "__main__":
    main()
