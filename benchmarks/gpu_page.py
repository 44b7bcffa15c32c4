"""Generate docs/gpu.md and its picture from the results of benchmarks/gpu.py in the repository.

python benchmarks/gpu_page.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autocompress.io import atomic_file
from gpu_setup import read_json

__all__ = ["PAGE", "RESULTS", "draw", "page"]

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "gpu"
PAGE = ROOT / "docs" / "gpu.md"
PICTURE = ROOT / "docs" / "pictures" / "gpu.svg"

HEAD = """# The paper's experiment on a GPU

`benchmarks/gpu.py` trains the paper's CIFAR-10 Mixer (16 layers of width 128, 2,527,002
parameters) as an ACN, as a residual network, annealed from residual to ACN, and as a residual
network that is taught in the second half of the run: as many of them, in this order, and for as
many epochs as the given minutes allow. It then measures these networks at every depth. It runs
offline on one GPU:

    python benchmarks/gpu.py --minutes 9 --data FOLDER --out benchmarks/results/gpu
    python benchmarks/gpu_page.py

`FOLDER` must contain `cifar10/` with `train.parquet` and `test.parquet`. `--tiny` runs the whole
script on a small network and made-up images in under a minute, without a GPU.
"""


def page(results: Path = RESULTS) -> str:
    """Return the page for the results in a folder, which may be empty."""
    parts = {name: read_json(results / f"{name}.json") for name in ("speed", "train", "after")}
    if not any(parts.values()):
        return HEAD + "\n**Not yet run.** No run on a GPU has come to its end yet.\n"
    text = [HEAD]
    if all(part and part["finished"] for part in parts.values()):
        text.append(_summary({name: part["results"] for name, part in parts.items() if part}))
    for name, section in (("speed", _speed), ("train", _train), ("after", _after)):
        record = parts[name]
        if record is None:
            text.append(f"## {name}: not run\n")
            continue
        where = record["environment"]
        text.append(
            f"<!-- {name}: torch {where['torch']}, {where['device']}, {record['seconds']} s -->\n"
        )
        if not record["finished"]:
            text.append(f"This part did not finish: {record.get('error', 'it was stopped')}.\n")
        text.append(section(record["results"]))
    device = next(p["environment"]["device"] for p in parts.values() if p)
    seconds = sum(part["seconds"] for part in parts.values() if part)
    closing = f"Measured on: {device}, in {seconds:.0f} seconds. One seed.\n"
    return "\n".join(text) + f"\n{closing}"


def draw(results: Path = RESULTS, path: Path = PICTURE) -> None:
    """Write the picture: test accuracy by depth, and validation accuracy by epoch."""
    import matplotlib

    matplotlib.rcParams["svg.hashsalt"] = "gpu"
    from matplotlib.figure import Figure

    train, after = (read_json(results / f"{name}.json") for name in ("train", "after"))
    assert train is not None
    assert after is not None
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for arm, row in after["results"]["arms"].items():
        left.plot([100 * score for score in row["test"]], "o-", ms=3, label=arm)
        curve = train["results"]["arms"][arm]["curve"]
        epochs = sorted(curve, key=int)
        right.plot([int(e) for e in epochs], [100 * curve[e][-1] for e in epochs], label=arm)
    shallow = after["results"].get("shallow", {})
    if "test" in shallow:
        label = f"residual, {shallow['depth']} layers from scratch"
        left.plot([shallow["depth"]], [100 * shallow["test"][-1]], "k*", ms=9, label=label)
    left.set(xlabel="layers that run", ylabel="test accuracy, %")
    right.set(xlabel="epoch", ylabel="validation accuracy, all layers, %")
    left.legend(fontsize=8)
    for axes in (left, right):
        axes.grid(alpha=0.3)
    with atomic_file(path) as new:
        figure.savefig(new, format="svg", metadata={"Date": None})


def _summary(found: dict[str, Any]) -> str:
    """Return what the numbers say, in sentences, whatever it is."""
    arms = found["after"]["arms"]
    lines = ["## In short\n", "![accuracy by depth and by epoch](pictures/gpu.svg)\n"]
    for arm, row in arms.items():
        layers = len(row["test"]) - 1
        lines.append(
            f"- **{arm}**: {100 * row['test'][-1]:.1f} % on test with all {layers} layers; the "
            f"rule (half a point, on validation data) keeps {row['kept']}, which score "
            f"{100 * row['test'][row['kept']]:.1f} %; with {layers // 2} layers "
            f"{100 * row['test'][layers // 2]:.1f} %."
        )
    shallow = found["after"].get("shallow", {})
    if "test" in shallow:
        lines.append(
            f"- A residual network of {shallow['depth']} layers, from scratch and for as many "
            f"epochs: {100 * shallow['test'][-1]:.1f} %."
        )
    lines.append(
        "- The paper, for comparison, after 700 epochs and with AutoAugment: the residual network "
        "90.3 %; the ACN 92.0 %, with 75 % of its layers."
    )
    timed = {name: row["ms"] for name, row in found["speed"]["steps"].items() if "ms" in row}
    acn = {name: ms for name, ms in timed.items() if name.startswith("acn")}
    best = min(acn, key=acn.__getitem__)
    rival = timed.get(best.replace("acn", "residual"))
    if rival is not None:
        lines.append(
            f"- A training step of the ACN takes {acn[best] / rival:.2f} times the residual "
            f"network's (compile: {best.partition(', ')[2]}). In the slowest mode it takes "
            f"{max(acn.values()) / acn[best]:.1f} times as long."
        )
    clocks = [row["clock_ratio"] for row in arms["acn"]["exit"]["by_share"].values()]
    flops = [row["flops_ratio"] for row in arms["acn"]["exit"]["by_share"].values()]
    lines.append(
        f"- Early exit divides the ACN's FLOPs at batch {arms['acn']['exit']['batch']} by "
        f"{min(flops):.2f} to {max(flops):.2f}, and multiplies its time by "
        f"{1 / max(clocks):.2f} to {1 / min(clocks):.2f}."
    )
    one, many = (found["after"]["latency_ms"][batch] for batch in ("1", "256"))
    deepest = max(one, key=int)
    lines.append(
        f"- Without compilation, a pass of 256 images takes {many[deepest] / one[deepest]:.2f} "
        "times as long as a pass of one. Where that is near 1, the card waits for the CPU to "
        "launch kernels: layers that are left out save time, examples that leave early do not."
    )
    return "\n".join(lines) + "\n"


def _speed(found: dict[str, Any]) -> str:
    rows = [
        [name, row["skipped"] if "skipped" in row else row["failed"], "", "", ""]
        if "ms" not in row
        else [
            name,
            f"{row['ms']:.2f} ({row['ms_lowest']:.2f} to {row['ms_highest']:.2f})",
            _megabytes(row["peak_memory_bytes"]),
            f"{100 * row['share_of_peak']:.1f} %" if "share_of_peak" in row else "",
            f"{row['seconds_with_compilation']:.0f}",
        ]
        for name, row in found["steps"].items()
    ]
    head = ["connectivity, compile", "ms a step", "peak memory", "of bf16 peak", "seconds in total"]
    lines = [
        "## Speed\n",
        f"Measured bf16 peak: {found['peak_tflops']} TFLOP/s on square matrices. A step counts "
        f"three forward passes of {found['forward_flops_per_image'] / 1e6:.1f} MFLOPs an image.\n",
        _table(head, rows),
    ]
    if "probe" in found:
        probe = found["probe"]
        lines.append(
            f"\nProbing all depths of a batch of {probe['batch']} takes "
            f"{probe['probe_over_forward']:.2f} times a forward pass; a pass for each depth takes "
            f"{probe['passes_over_probe']:.1f} times as long as probing.\n"
        )
    if "exit" in found:
        lines.append(_exits("Early exit of an untrained network", found["exit"]))
    return "\n".join(lines)


def _train(found: dict[str, Any]) -> str:
    plan = found["plan"]
    rows = []
    for arm, row in found["arms"].items():
        if "curve" not in row:
            rows.append([arm, row["failed"], "", ""])
            continue
        last = row["curve"][max(row["curve"], key=int)] if row["curve"] else []
        by_depth = " ".join(f"{100 * score:.0f}" for score in last)
        rows.append([arm, str(row["epochs"]), f"{row['seconds']:.0f}", by_depth])
    at_once = plan["step_ms_of_all_at_once"]
    measured = "not measured" if at_once is None else f"{at_once:.2f} ms"
    how = "at the same time" if plan["together"] else "one after the other"
    return "\n".join(
        [
            "## Training\n",
            f"{plan['epochs']} epochs each, {how} ({plan['step_ms_alone']:.2f} ms a step alone, "
            f"{measured} for a step of all together).\n",
            _table(["network", "epochs", "seconds", "validation by depth, %"], rows),
            "",
        ]
    )


def _after(found: dict[str, Any]) -> str:
    rows = []
    for arm, row in found["arms"].items():
        kept = row["kept"]
        rows.append(
            [
                arm,
                f"{100 * row['test'][-1]:.2f}",
                f"{kept} of {len(row['test']) - 1}",
                f"{100 * row['test'][kept]:.2f}",
                f"{row['parameters'][kept]:,}",
                *(f"{100 * scores['full']:.1f}" for scores in row.get("noise", {}).values()),
            ]
        )
    noises = list(next(iter(found["arms"].values())).get("noise", {}))
    head = ["network", "test, %", "depth kept", "test there, %", "parameters there", *noises]
    lines = ["## Without more training\n", _table(head, rows), ""]
    shallow = found.get("shallow", {})
    if "test" in shallow:
        lines.append(
            f"A residual network of {shallow['depth']} layers from scratch, for as many epochs: "
            f"{100 * shallow['test'][-1]:.2f} % on test.\n"
        )
    elif shallow:
        lines.append(f"The shallow residual network was not trained: {shallow['skipped']}.\n")
    shares = next(iter(found["arms"].values())).get("pruned", {})
    pruned = [
        [arm, *(f"{100 * scores[-1]:.1f}" for scores in row.get("pruned", {}).values())]
        for arm, row in found["arms"].items()
    ]
    lines += ["Test accuracy at full depth with the smallest weights set to zero:\n"]
    lines += [_table(["network", *(f"{100 * float(s):.0f} %" for s in shares)], pruned), ""]
    for batch, times in found.get("latency_ms", {}).items():
        joined = ", ".join(f"{times[depth]:.2f}" for depth in sorted(times, key=int))
        lines.append(f"Milliseconds at depth 0, 1, 2, ... at batch {batch}, eager: {joined}.\n")
    lines += [
        _exits(f"Early exit, {arm}", row["exit"])
        for arm, row in found["arms"].items()
        if "exit" in row
    ]
    return "\n".join(lines)


def _exits(title: str, found: dict[str, Any]) -> str:
    rows = [
        [
            f"{float(share):.0%}",
            f"{row['mean_depth']:.2f}",
            f"{row['flops_ratio']:.2f}",
            f"{row['clock_ratio']:.2f}",
        ]
        for share, row in found["by_share"].items()
    ]
    head = ["exits at half depth", "mean depth", "FLOPs, full / exits", "time, full / exits"]
    return f"{title}, batch {found['batch']}:\n\n{_table(head, rows)}\n"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _megabytes(number: int | None) -> str:
    return "not measured" if number is None else f"{number / 1e6:,.0f} MB"


if __name__ == "__main__":
    with atomic_file(PAGE) as new:
        new.write_text(page())
    if all((RESULTS / f"{name}.json").exists() for name in ("train", "after")):
        draw()
