"""The sections of report.html, top to bottom. Every text that comes from outside is escaped."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from autocompress.report.against_theory import theory_rows
from autocompress.report.conclusion import standard_error
from autocompress.report.figures import cost_figure, depth_figure, search_figure
from autocompress.report.schema import DepthScore, Report, shallow_origin
from autocompress.report.tables import before_after, search_cost
from autocompress.report.units import MISSING, count, per_cent, points, ratio, seconds, si

_KEYS = {kind: f'<span class="key {kind}"></span>' for kind in ("network", "control", "shallow")}


def eyebrow(report: Report) -> str:
    """What this is a report of, on one line."""
    model, task = report["model"], report["task"]
    rule = model["connectivity"]
    rule = rule if isinstance(rule, str) else json.dumps(rule, allow_nan=False)
    seed = "seed not recorded" if report["seed"] is None else f"seed {report['seed']}"
    parts = ("autocompress", task["dataset"], f"{model['name']}, {rule}", seed)
    return " &middot; ".join(escape(part) for part in parts)


def headline(sentence: str) -> str:
    """The verdict, its first clause in bold."""
    first, colon, rest = sentence.partition(":")
    return f"<strong>{escape(first)}</strong>{colon}{escape(rest)}"


def tiles(report: Report, config: Mapping[str, Any] | None) -> str:
    """The four or five numbers that a hurried reader takes along."""
    full, small = report["full"], report["small"]
    epochs = _epochs(config)
    searched = None if epochs is None else search_cost(report, epochs)["ratio"]
    shown = [
        ("layers", f"{full['depth']} &rarr; {small['depth']}"),
        (f"test {escape(report['task']['metric'])}", per_cent(small["test"])),
        ("against full depth", points(full["test"], small["test"])),
        ("parameters", ratio(full["parameters"], small["parameters"])),
        ("time at batch 256", ratio(full["latency_ms"]["256"], small["latency_ms"]["256"])),
    ]
    if searched is not None:
        shown.append(("a search would cost", f"{searched:.1f}x"))
    items = "".join(
        f"<li><span>{name}</span><strong>{_typeset(value)}</strong></li>" for name, value in shown
    )
    return f'<ul class="tiles">{items}</ul>'


def before_after_section(report: Report) -> str:
    """The table of the full network, the small one and the rivals."""
    heads = ["", "full", "small", "change"]
    kinds = ["", "", "small", "change"]
    rivals = {
        "baseline": f"<span>{_KEYS['control']}residual</span> control",
        "shallow": f"<span>{_KEYS['shallow']}shallow,</span> {shallow_origin(report)}",
    }
    here = [key for key in rivals if report.get(key) is not None]
    rows = []
    for row in before_after(report):
        cells = {"baseline": row.control, "shallow": row.shallow}
        rows.append([row.label, row.full, row.small, row.change, *(cells[key] for key in here)])
    table = _table([*heads, *(rivals[key] for key in here)], rows, kinds)
    return _section("Before and after", table, _table_note(report, len(here) < len(rivals)))


def _table_note(report: Report, lonely: bool) -> str:
    score, examples = report["small"]["test"], report["task"]["test"]
    words = "Latency is the median of repeated forward passes; peak memory is that of the largest "
    words += "batch. FLOPs count a multiply-add as two. One run with one seed."
    if score is not None and examples:
        error = 100 * standard_error(score, examples)
        words += (
            f" One standard error of {examples:,} test examples is {error:.2f} points: smaller "
            "differences of test scores are ties."
        )
    if lonely:
        words += " A rival without a column was not trained."
    return f'<p class="note">{words}</p>'


def figures_section(report: Report) -> str:
    """Depth curves, and cost against accuracy."""
    pair = (
        _figure(
            depth_figure(report),
            "Score by depth",
            "Score when only the first layers run; of two pictures the upper is the shaded part "
            "of the lower. Band: full depth's test score, one standard error to each side.",
        ),
        _figure(
            cost_figure(report),
            "Cost against accuracy",
            "Every depth of both networks as a network of its own: up and to the left is better.",
        ),
    )
    return f'<section><div class="pair">{"".join(pair)}</div></section>'


def search_section(report: Report, config: Mapping[str, Any] | None) -> str:
    """What finding this depth by training every depth would have cost."""
    title = "What the search would have cost"
    epochs = _epochs(config)
    if epochs is None:
        reason = "Left out: the run's config, with its number of epochs, was not at hand."
        return _section(title, f"<p>{reason}</p>")
    cost = search_cost(report, epochs)
    if cost["ratio"] is None:
        return _section(title, "<p>Left out: the FLOPs of some depth were not counted.</p>")
    runs = len(cost["by_depth"])
    words = (
        f"One run showed all {runs} depths for {si(cost['one_run'])}FLOPs. Training every depth "
        f"from scratch would have taken {si(cost['every_depth'])}FLOPs, "
        f"<strong>{cost['ratio']:.1f} times</strong> as much."
    )
    notes = escape(cost["rule"])
    if runs > 2:
        notes += (
            f" A search that halves the range each time would do with about "
            f"{runs.bit_length()} of the {runs} runs, if the scores rise steadily with depth."
        )
    picture = _figure(search_figure(cost), "", "")
    text = f'<div><p>{words}</p><p class="note">{notes}</p></div>'
    return _section(title, f'<div class="pair">{picture}{text}</div>')


def depths_section(report: Report) -> str:
    """Every depth of the network, with its control beside it."""
    control: Sequence[DepthScore] = (
        () if report["baseline"] is None else report["baseline"]["depths"]
    )
    heads = ["depth", "validation", "test", "parameters", "FLOPs"]
    heads += ["control, validation", "control, test"] if control else []
    rows = []
    for point in report["depths"]:
        k = point["depth"]
        cells = [
            str(k),
            per_cent(point["validation"]),
            per_cent(point["test"]),
            count(point["parameters"]),
            si(point["flops"]),
        ]
        if control:
            other = control[k] if k < len(control) else None
            cells += [MISSING, MISSING] if other is None else _both(other)
        rows.append(cells)
    return _section("Every depth", _table(heads, rows, [], kept=report["selected"]))


def theory_section(report: Report) -> str:
    """For each part of the task the depth that theory names, and what was kept."""
    heads, rows = theory_rows(report)
    if not rows:
        return ""
    note = (
        '<p class="note">Theory: layers that suffice. Kept: the shallowest depth within half a '
        "point of full depth on this part of the validation data. Scores in per cent.</p>"
    )
    return _section("Against theory", _table(heads, rows, []), note)


def method_section(report: Report) -> str:
    """The rule, the data, the checks."""
    task, checks = report["task"], report["checks"]
    exact = checks["small_vs_probe_max_abs_difference"]
    lines = [
        ("depth chosen", report["rule"]),
        (
            "data",
            f"{task['dataset']}: {task['train']:,} training, {task['validation']:,} validation, "
            f"{task['test']:,} test examples. Depth is chosen on validation data only; test data "
            "are read once, for this page.",
        ),
        ("small network against the probe", _difference(exact)),
        ("ONNX file against the network", _exported(checks["onnx_max_abs_difference"])),
    ]
    return _section("Rule, data and checks", _list(lines, "long"))


def run_section(report: Report) -> str:
    """Seed, times and machine."""
    seed = "not recorded" if report["seed"] is None else str(report["seed"])
    times = ((f"time: {stage}", seconds(value)) for stage, value in report["seconds"].items())
    machine = ((name, _plain(value)) for name, value in report["environment"].items())
    lists = _list([("seed", seed), *times]) + _list(machine)
    return _section("This run", f'<div class="pair">{lists}</div>')


def repeat_section(commands: Sequence[str], config: Mapping[str, Any] | None) -> str:
    """The commands that repeat the run, and its whole config."""
    parts = []
    if commands:
        parts.append(_section("Repeat it", f"<pre>{escape(chr(10).join(commands))}</pre>"))
    if config is not None:
        import yaml

        text = yaml.safe_dump(
            json.loads(json.dumps(config, default=str, allow_nan=False)), sort_keys=False
        )
        parts.append(
            "<section><details><summary>The full config</summary>"
            f"<pre>{escape(text)}</pre></details></section>"
        )
    return "\n".join(parts)


# -- parts -----------------------------------------------------------------------------------------


def _section(title: str, *body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{''.join(body)}</section>"


def _figure(svg: str, title: str, caption: str) -> str:
    head = f"<h2>{escape(title)}</h2>" if title else ""
    foot = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f"<figure>{head}{svg}{foot}</figure>"


def _table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], kinds: Sequence[str], kept: int = -1
) -> str:
    """A table; ``heads`` are markup, cells are text. ``kinds``: CSS class by column."""
    classes = [f' class="{kind}"' if kind else "" for kind in kinds]
    classes += [""] * (len(heads) - len(classes))
    top = "".join(f"<th{name}>{head}</th>" for head, name in zip(heads, classes, strict=True))
    lines = []
    for number, (label, *cells) in enumerate(rows):
        mark = ' class="kept"' if number == kept else ""
        line = "".join(
            f"<td{name}>{_typeset(escape(cell))}</td>"
            for cell, name in zip(cells, classes[1:], strict=True)
        )
        lines.append(f'<tr{mark}><th scope="row">{escape(label)}</th>{line}</tr>')
    return (
        f'<div class="scroll"><table><thead><tr>{top}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _list(lines: Iterable[tuple[str, str]], kind: str = "short") -> str:
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in lines)
    return f'<dl class="{kind}">{items}</dl>'


def _both(point: DepthScore) -> list[str]:
    return [per_cent(point["validation"]), per_cent(point["test"])]


def _typeset(text: str) -> str:
    """What the terminal's ASCII stands for: a minus, a multiplication sign, a dash."""
    if text == MISSING:
        return "&ndash;"
    if text.endswith("x") and text[:-1].replace(".", "").isdigit():
        return f"{text[:-1]}&times;"
    return f"&minus;{text[1:]}" if text.startswith("-") else text


def _difference(value: float | None) -> str:
    if value is None:
        return "not checked"
    return "equal bit for bit" if value == 0 else f"differs by at most {value:.1e}"


def _exported(value: float | None) -> str:
    if value is None:
        return "no file; acn export RUN/small --output FILE says why"
    return _difference(value)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str, allow_nan=False)


def _epochs(config: Mapping[str, Any] | None) -> int | None:
    fit = None if config is None else config.get("fit")
    epochs = fit.get("epochs") if isinstance(fit, Mapping) else None
    return epochs if isinstance(epochs, int) and not isinstance(epochs, bool) else None
