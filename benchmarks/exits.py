"""Early exit on the clock: the speed-up by FLOPs and the one that is measured, side by side.

    python benchmarks/exits.py [--rounds 7] [--only ROW] [--table]

Every row is written to benchmarks/results/exits.json as soon as it is there, and rows in it are
not measured again: an interrupted run goes on. Full depth and exits take turns, on one thread.
Two clocks read each turn, the wall's and the processor's; on a busy machine the second is steadier.
``--table`` only writes the tables of docs/exits.md.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

from checkout import ROOT
from rows import measure_rows

RESULT = ROOT / "benchmarks" / "results" / "exits.json"
PAGE = ROOT / "docs" / "exits.md"
#: Exits of the networks whose times count, and the share of those left that leaves at each.
DEPTHS, SHARE, SIZE = [2, 4, 6, 9, 12], 0.5, 256
GOAL = 0.92
#: A network whose layers cost less than its host's own code, with exits after every layer.
SMALL = "BERT of transformers, 4 x 64"


# -- networks of 12 layers, in which half of those that are left leave at each exit ----------------


def networks() -> dict[str, Callable[[], tuple[Any, Any]]]:
    """Networks by name, each a function that builds it and its inputs."""
    import torch

    import autocompress as ac

    image = {"classes": 10, "image_size": 8, "patch_size": 2, "channels": 1}
    text = {"vocabulary": 200, "length": 32, "classes": 10, "weight_std": 0.08}

    def bert(depth: int = 12, width: int = 128) -> Any:
        import transformers

        config = transformers.BertConfig(
            vocab_size=200,
            hidden_size=width,
            num_hidden_layers=depth,
            num_attention_heads=4,
            intermediate_size=4 * width,
            num_labels=10,
            max_position_embeddings=32,
            initializer_range=0.08,
        )
        return ac.convert(transformers.BertForSequenceClassification(config).eval(), "acn")

    def padded() -> Any:
        ids = torch.randint(1, 200, (SIZE, 32))
        ids[::2, 20:] = 0
        return ids

    def with_mask() -> Any:
        ids = padded()
        return {"input_ids": ids, "attention_mask": (ids != 0).long()}

    return {
        "Mixer, 12 x 128": lambda: (
            ac.models.Mixer(depth=12, width=128, **image),
            torch.randn(SIZE, 1, 8, 8),
        ),
        "ViT, 12 x 128": lambda: (
            ac.models.ViT(depth=12, width=128, heads=4, **image),
            torch.randn(SIZE, 1, 8, 8),
        ),
        "encoder, 12 x 128": lambda: (ac.models.Encoder(depth=12, width=128, **text), padded()),
        "BERT of transformers, 12 x 128": lambda: (bert(), with_mask()),
        SMALL: lambda: (bert(4, 64), with_mask()),
    }


def halving(net: Any, x: Any) -> Any:
    """Return exits at each of which half of the examples that are left leave."""
    import torch

    from autocompress.depth import Exit, ExitRule
    from autocompress.depth.exit_rule import entropy

    with torch.inference_mode():
        readouts = list(net.readouts(x))
    left, exits = torch.ones(SIZE, dtype=torch.bool), []
    for depth in exits_of(net)[:-1]:
        unsure = entropy(readouts[depth])
        there = unsure[left].sort().values
        exits.append(Exit(depth, float(there[int(len(there) * SHARE)])))
        left &= unsure >= exits[-1].threshold
    return ExitRule("entropy", (*exits, Exit(net.depth, None)))


def exits_of(net: Any) -> list[int]:
    """Return the depths of the exits: the usual ones, or all of a network of few layers."""
    return DEPTHS if net.depth == DEPTHS[-1] else [*range(1, net.depth + 1)]


def paying(net: Any, x: Any, rule: Any, batch_size: int) -> Any:
    """Return the exits of a rule that ``ac.exit_costs`` predicts to save time in such batches."""
    import torch

    import autocompress as ac
    from autocompress.checks import rows_of

    costs = ac.exit_costs(net, rows_of(x, range(batch_size)), depths=rule.depths)
    with torch.inference_mode():
        readouts = list(net.readouts(x))
    certain = [rule.certain(n, readouts[depth])[0] for n, depth in enumerate(rule.depths[:-1])]
    kept = costs.worth(torch.stack(certain, 1), batch_size)
    return ac.ExitRule(rule.criterion, tuple(one for one in rule.exits if one.depth in kept))


def turns(net: Any, x: Any, rule: Any, batch_size: int, rounds: int) -> dict[str, Any]:
    """Return the FLOPs' speed-up and the measured ones, full depth and exits in turns."""
    import torch
    from torch.utils._pytree import tree_leaves

    import autocompress as ac
    from autocompress.checks import rows_of

    size = min(len(tree_leaves(x)[0]), max(batch_size, 32))
    batches = [rows_of(x, range(at, at + batch_size)) for at in range(0, size, batch_size)]

    def full() -> None:
        for batch in batches:
            net(batch)

    def exits() -> None:
        for batch in batches:
            ac.early_exit(net, batch, rule, count=False)

    def flops(rule: Any) -> float:
        return float(torch.cat([ac.early_exit(net, b, rule).flops for b in batches]).mean())

    saved = flops(ac.ExitRule.uniform("entropy", [net.depth], 0.0)) / flops(rule)
    clocks = {"wall": time.perf_counter, "processor": time.process_time}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in clocks}
    net.eval()
    with torch.inference_mode():
        full(), exits()
        for _ in range(rounds):
            pair = []
            for call in (full, exits):
                start = {name: clock() for name, clock in clocks.items()}
                call()
                pair.append({name: clock() - start[name] for name, clock in clocks.items()})
            for name in clocks:
                times[name].append((pair[0][name], pair[1][name]))
    row: dict[str, Any] = {"batch_size": batch_size, "rounds": rounds, "flops": round(saved, 3)}
    for name, pairs in times.items():
        low, middle, high = statistics.quantiles([a / b for a, b in pairs], n=4, method="inclusive")
        per = 1000 / len(batches)
        row[name] = {
            "full_ms": round(per * statistics.median(a for a, _ in pairs), 2),
            "exits_ms": round(per * statistics.median(b for _, b in pairs), 2),
            "speedup": round(middle, 3),
            "quartiles": [round(low, 3), round(high, 3)],
            "kept": round(middle / saved, 3),
        }
    return row


def clock_rows(rounds: int) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """Yield each row of the first table by name, with the function that measures it."""
    import torch

    for name, build in networks().items():
        for batch_size in (32,) if name == SMALL else (256, 32, 1):

            def measure(build: Any = build, batch_size: int = batch_size) -> dict[str, Any]:
                torch.manual_seed(0)
                net, x = build()
                net.eval()
                rule = halving(net, x)
                row = turns(net, x, rule, batch_size, rounds)
                if net.depth == DEPTHS[-1]:
                    return row
                less = paying(net, x, rule, batch_size)
                after = turns(net, x, less, batch_size, rounds)
                return row | {"paying": {"exits": less.depths[:-1], **after}}

            yield f"clock: {name}, {batch_size}", measure


# -- the six rows of the paper's appendix H, on digits ---------------------------------------------

BRANCHES = {2: 0.8, 4: 0.6, 6: 0.4}
TAU, DROP = 0.7, 0.01


def trained(rule: str, kind: str) -> tuple[Any, Any, list[int]]:
    """Return a trained Mixer of 8 layers, its data, and the depths of its exits."""
    import torch

    import autocompress as ac
    from autocompress_studies.studies.early_exit import branched

    torch.manual_seed(0)
    data = ac.load_data(ac.DataConfig(name="digits"))
    options = {"width": 32, "patch_size": 2, "token_width": 16, "channel_width": 64}
    net: Any = ac.models.Mixer(depth=8, classes=10, connectivity=rule, **options)
    distil, depths = None, list(range(1, 9))
    if kind == "branches":
        net = branched(net, BRANCHES)
        distil, depths = ac.DistilConfig(teacher="labels", at=BRANCHES), net.branches
    elif kind == "shared head":
        distil = ac.DistilConfig.aligned(8)
    config = ac.FitConfig(
        epochs=15, batch_size=64, lr=3e-3, warmup_epochs=1.0, device="cpu", distil=distil
    )
    ac.fit(net, data.train, data.validation, config, progress=False)
    return net.eval(), data, depths


def paper_row(rule: str, kind: str, rounds: int) -> dict[str, Any]:
    """Return scores, FLOPs and times at the paper's threshold and at a calibrated one.

    The row "plain" is of the exits of a network that was not trained for them, and has its cut.
    """
    import autocompress as ac
    from autocompress.depth.exit_clock import examples_of

    net, data, depths = trained(rule, kind)
    validation = ac.exit_curve(net, data.validation, depths=depths)
    test = ac.exit_curve(net, data.test, depths=depths)
    x = examples_of(net, data.test, 256)
    row: dict[str, Any] = {"full_score": round(test.full_score, 4), "layers": net.depth}
    chosen = {"fixed": TAU, "calibrated": validation.calibrate(DROP).threshold}
    for name, threshold in chosen.items():
        point = test.at(threshold)
        row[name] = {
            "threshold": round(threshold, 3),
            "score": round(point.score, 4),
            "depth": round(point.depth, 2),
            **turns(net, x, test.rule(threshold), 256, rounds),
        }
    if kind == "plain":
        depth = ac.probe(net, data.validation).select(tolerance=DROP).depth
        small = ac.cut(net, depth)
        after = ac.exit_curve(small, data.validation).calibrate(DROP).threshold
        left = ac.exit_curve(small, data.test)
        row["cut"] = {
            "depth": depth,
            "score": round(left.full_score, 4),
            "flops": round(test.full_flops / left.full_flops, 3),
            "exits_of_it": {
                "score": round(left.at(after).score, 4),
                **turns(small, x, left.rule(after), 256, rounds),
            },
        }
    return row


def paper_rows(rounds: int) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """Yield the rows of appendix H by name."""
    for rule in ("residual", "acn"):
        for kind in ("plain", "branches", "shared head"):
            yield (
                f"paper: {rule}, {kind}",
                lambda rule=rule, kind=kind: paper_row(rule, kind, rounds),
            )


# -- the page --------------------------------------------------------------------------------------


def _clock_line(name: str, row: dict[str, Any]) -> tuple[str, ...]:
    cells = [name, str(row["batch_size"]), f"{row['flops']:.2f}"]
    for clock in ("wall", "processor"):
        one = row[clock]
        low, high = one["quartiles"]
        cells += [f"{one['speedup']:.2f} ({low:.2f} to {high:.2f})", f"{100 * one['kept']:.0f}"]
    return (*cells, f"{row['wall']['full_ms']:g}", f"{row['wall']['exits_ms']:g}")


def clock_table(rows: dict[str, Any]) -> str:
    """Return the first table as Markdown."""
    from autocompress.printing import markdown

    lines = []
    for key, row in rows.items():
        if not key.startswith("clock: "):
            continue
        name = key.removeprefix("clock: ").rsplit(", ", 1)[0]
        lines.append(_clock_line(name, row))
        if "paying" in row:
            kept = ", ".join(map(str, row["paying"]["exits"])) or "none"
            lines.append(_clock_line(f"{name}, exits that pay: {kept}", row["paying"]))
    headings = ["network", "batch", "by FLOPs", "by the clock", "%", "by processor time", "%"]
    return markdown([*headings, "full, ms", "exits, ms"], lines)


def paper_table(rows: dict[str, Any]) -> str:
    """Return the second table as Markdown."""
    from autocompress.printing import markdown

    lines = []
    for key, row in rows.items():
        if not key.startswith("paper: "):
            continue
        cells = [key.removeprefix("paper: "), f"{100 * row['full_score']:.1f}"]
        for name in ("fixed", "calibrated"):
            one = row[name]
            cells += [f"{100 * one['score']:.1f}", f"{one['depth']:.1f}", f"{one['flops']:.2f}"]
            cells.append(f"{one['wall']['speedup']:.2f} / {one['processor']['speedup']:.2f}")
        lines.append(tuple(cells))
        if "cut" in row:
            cut = row["cut"]
            after = cut["exits_of_it"]
            lines.append(
                (
                    f"{key.removeprefix('paper: ')}, cut at {cut['depth']}, then exits",
                    f"{100 * cut['score']:.1f} ({cut['flops']:.2f} x by the cut)",
                    *("",) * 4,
                    f"{100 * after['score']:.1f}",
                    "",
                    f"{after['flops']:.2f}",
                    f"{after['wall']['speedup']:.2f} / {after['processor']['speedup']:.2f}",
                )
            )
    headings = ["Mixer, 8 x 32, digits", "test %, full"]
    for rule in (f"{TAU:g} nats", "calibrated"):
        headings += [f"test %, {rule}", "mean depth", "by FLOPs", "by clock / processor"]
    return markdown(headings, lines)


def marked(page: str) -> str:
    """Return docs/exits.md with the tables of the committed results."""
    from autocompress_studies.page import between

    rows = json.loads(RESULT.read_text())["rows"]
    return between(between(page, "clock", clock_table(rows)), "paper", paper_table(rows))


def main() -> None:
    """Measure the rows that are missing, and write each at once."""
    measure_rows(
        __doc__, RESULT, PAGE, marked, lambda n: [*clock_rows(n), *paper_rows(n)], rounds=7
    )


if __name__ == "__main__":
    main()
