"""The content of report.html as plain data for its template: words, numbers and figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from autocompress.report.against_theory import theory_rows
from autocompress.report.conclusion import standard_error, verdict
from autocompress.report.figures import cost_figure, depth_figure, search_figure
from autocompress.report.schema import DepthScore, Report, shallow_origin
from autocompress.report.tables import before_after, search_cost
from autocompress.report.units import MISSING, count, per_cent, points, ratio, seconds, si

__all__ = ["context"]


def context(
    report: Report, config: Mapping[str, Any] | None, commands: Sequence[str]
) -> dict[str, Any]:
    """Return the variables of templates/page.html; arguments as in :func:`render_html`."""
    first, colon, rest = verdict(report).partition(":")
    kept, deepest = report["selected"], report["model"]["depth"]
    seed = "not recorded" if report["seed"] is None else str(report["seed"])
    times = [(f"time: {stage}", seconds(value)) for stage, value in report["seconds"].items()]
    heads, rows = theory_rows(report)
    return {
        "title": f"{report['task']['dataset']}: {kept} of {deepest} layers kept",
        "eyebrow": _eyebrow(report),
        "headline": (first, colon + rest),
        "tiles": _tiles(report, config),
        "before_after": _before_after(report),
        "depth_svg": depth_figure(report),
        "cost_svg": cost_figure(report),
        "search": _search(report, config),
        "depths": _depths(report),
        "kept": kept,
        "theory": {"heads": [_head(text) for text in heads], "rows": rows},
        "method": _method(report),
        "run": [("seed", seed), *times],
        "machine": [(name, _plain(value)) for name, value in report["environment"].items()],
        "commands": commands,
        "config": None if config is None else _yaml(config),
        "schema": report["schema"],
    }


def _head(text: str, kind: str = "") -> dict[str, str]:
    return {"text": text, "kind": kind, "key": ""}


def _eyebrow(report: Report) -> list[str]:
    """Return the subject of the report."""
    model, task = report["model"], report["task"]
    seed = "seed not recorded" if report["seed"] is None else f"seed {report['seed']}"
    rule = _plain(model["connectivity"])
    return ["autocompress", task["dataset"], f"{model['name']}, {rule}", seed]


def _tiles(report: Report, config: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Return the five or six key numbers."""
    full, small = report["full"], report["small"]
    epochs = _epochs(config)
    searched = None if epochs is None else search_cost(report, epochs)["ratio"]
    shown = [
        ("layers", f"{full['depth']} \N{RIGHTWARDS ARROW} {small['depth']}"),
        (f"test {report['task']['metric']}", per_cent(small["test"])),
        ("against full depth", points(full["test"], small["test"])),
        ("parameters", ratio(full["parameters"], small["parameters"])),
        ("time at batch 256", ratio(full["latency_ms"]["256"], small["latency_ms"]["256"])),
    ]
    return [*shown, *([] if searched is None else [("a search would cost", f"{searched:.1f}x")])]


def _before_after(report: Report) -> dict[str, Any]:
    """Return the table of the full network, the small one and the rivals."""
    rivals = {
        "baseline": {"key": "control", "first": "residual", "rest": "control", "kind": ""},
        "shallow": {
            "key": "shallow",
            "first": "shallow,",
            "rest": shallow_origin(report),
            "kind": "",
        },
    }
    here = [key for key in rivals if report.get(key) is not None]
    rows = []
    for row in before_after(report):
        cells = {"baseline": row.control, "shallow": row.shallow}
        rows.append([row.label, row.full, row.small, row.change, *(cells[key] for key in here)])
    heads = [_head(""), _head("full"), _head("small", "small"), _head("change", "change")]
    return {
        "heads": [*heads, *(rivals[key] for key in here)],
        "rows": rows,
        "note": _table_note(report, len(here) < len(rivals)),
    }


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
    return words + (" A rival without a column was not trained." if lonely else "")


def _search(report: Report, config: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what finding this depth by training every depth would have cost."""
    epochs = _epochs(config)
    if epochs is None:
        reason = "Left out: the run's config, with its number of epochs, was not at hand."
        return {"missing": reason}
    cost = search_cost(report, epochs)
    if cost["ratio"] is None:
        return {"missing": "Left out: the FLOPs of some depth were not counted."}
    runs, note = len(cost["by_depth"]), cost["rule"]
    if runs > 2:
        note += (
            f" A search that halves the range each time would do with about "
            f"{runs.bit_length()} of the {runs} runs, if the scores rise steadily with depth."
        )
    return {
        "missing": None,
        "runs": runs,
        "one_run": si(cost["one_run"]),
        "every_depth": si(cost["every_depth"]),
        "ratio": f"{cost['ratio']:.1f}",
        "note": note,
        "svg": search_figure(cost),
    }


def _depths(report: Report) -> dict[str, Any]:
    """Return the table of every depth of the network, with its control beside it."""
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
    return {"heads": [_head(text) for text in heads], "rows": rows}


def _method(report: Report) -> list[tuple[str, str]]:
    """Return the rule, the data and the checks."""
    task, checks = report["task"], report["checks"]
    exact = checks["small_vs_probe_max_abs_difference"]
    return [
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


def _yaml(config: Mapping[str, Any]) -> str:
    import yaml

    plain = json.loads(json.dumps(config, default=str, allow_nan=False))
    return yaml.safe_dump(plain, sort_keys=False)


def _both(point: DepthScore) -> list[str]:
    return [per_cent(point["validation"]), per_cent(point["test"])]


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
