"""The content of report.html as plain data for its template: words, numbers and figures."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from autocompress.printing import figures, layer_words
from autocompress.report.against_theory import theory_rows
from autocompress.report.breakdown import (
    class_rows,
    classes_by_depth,
    exit_part,
    gradient_map,
    legend,
)
from autocompress.report.conclusion import findings, headline, standard_error_of
from autocompress.report.curves import (
    cost_curve,
    depth_curve,
    learning_map,
    loss_curve,
    score_curve,
)
from autocompress.report.files import RunFiles
from autocompress.report.schema import DepthScore, Report, shallow_origin
from autocompress.report.states import example_states, state_of, use_snippets
from autocompress.report.tables import before_after, search_cost
from autocompress.report.terms import TERMS
from autocompress.report.units import MISSING, count, per_cent, point_words, seconds, si

__all__ = ["context"]

#: Stages of a run in words, by their names in report.json.
_STAGES = {
    "train": "time: training the network",
    "probe": "time: scoring every depth",
    "train healed": "time: training after the cut",
    "train baseline": "time: training the baseline",
    "train shallow": "time: training the shallow one",
    "measure": "time: measuring",
    "ship": "time: saving and exporting",
}


def context(
    report: Report,
    config: Mapping[str, Any] | None,
    commands: Sequence[str],
    run: str,
    files: RunFiles,
) -> dict[str, Any]:
    """Return the variables of templates/page.html; arguments as in :func:`render_html`."""
    kept, deepest = report["selected"], report["model"]["depth"]
    seed = "not recorded" if report["seed"] is None else str(report["seed"])
    times = [(_STAGES.get(s, f"time: {s}"), seconds(v)) for s, v in report["seconds"].items()]
    heads, rows = theory_rows(report)
    states = [state_of(report, run, depth) for depth in range(deepest + 1)]
    examples = example_states(report)
    classes = class_rows(report)
    return {
        "title": f"{report['task']['dataset']}: {kept} of {layer_words(deepest)} kept",
        "eyebrow": _eyebrow(report, config),
        "headline": headline(report),
        "findings": [text.replace(" %", "\u00a0%") for text in findings(report)],
        "metric": report["task"]["metric"],
        "states": states,
        "now": states[kept],
        "kept": kept,
        "deepest": deepest,
        "curves": _curves(report),
        "classes": classes,
        "examples": examples,
        "learning": _learning(files, kept),
        "gradients": gradient_map(files.gradients),
        "exits": exit_part(files.exits, deepest),
        "notes": files.notes,
        "use": use_snippets(run, _asked(report, config)),
        "terms": TERMS,
        "before_after": _before_after(report),
        "search": _search(report, config),
        "depths": _depths(report),
        "theory": {"heads": [_head(text) for text in heads], "rows": rows},
        "method": _method(report),
        "run": [("seed", seed), *times],
        "machine": [(name, _plain(value)) for name, value in report["environment"].items()],
        "commands": commands,
        "config": None if config is None else _yaml(config),
        "schema": report["schema"],
        "data": {
            "states": states,
            "kept": kept,
            "examples": [example["said"] for example in examples],
            **classes_by_depth(report),
        },
    }


def _curves(report: Report) -> dict[str, Any]:
    return {
        "depth": depth_curve(report),
        "near": depth_curve(report, near=True),
        "cost": cost_curve(report),
        "legend": legend(report),
    }


def _learning(files: RunFiles, kept: int) -> dict[str, Any]:
    if not files.learning:
        return {}
    drawn, colours = learning_map(files.learning["network"])
    return {
        "score": score_curve(files.learning, kept),
        "loss": loss_curve(files.learning),
        "map": drawn,
        "colours": colours,
        "rivals": [key for key in ("baseline", "shallow") if key in files.learning],
    }


def _asked(report: Report, config: Mapping[str, Any] | None) -> str:
    """Return an input for the example commands: a text of the test data, or a file's name.

    Args:
        report: The report; its examples are those whose answer changes between depths, maybe none.
        config: Settings of the run, which say whether its data are texts.
    """
    texts = [example["text"] for example in report.get("examples") or [] if example["text"]]
    data = (config or {}).get("data")
    task = str(data.get("task")) if isinstance(data, Mapping) else ""
    other = "picture.png" if "text" not in task else "a text"
    return min(texts, key=len) if texts else other


def _head(text: str, kind: str = "") -> dict[str, str]:
    return {"text": text, "kind": kind, "key": ""}


def _eyebrow(report: Report, config: Mapping[str, Any] | None) -> list[str]:
    """Return the subject of the report; a converted network by the name of its host."""
    said = (config or {}).get("model")
    given = said if isinstance(said, Mapping) else {}
    source = given.get("source") or given.get("init")
    model, task = report["model"], report["task"]
    seed = "seed not recorded" if report["seed"] is None else f"seed {report['seed']}"
    rule = _rule_words(model["connectivity"])
    return [
        "autocompress",
        task["dataset"],
        f"{source if source and model['name'] == 'converted' else model['name']}, {rule}",
        seed,
    ]


def _rule_words(connectivity: str | Mapping[str, Any]) -> str:
    """Return a connectivity as a reader says it: its name, and its options in brackets.

    Those of an ACN stand in the config alone, as it is the network that the page is about.

    >>> _rule_words({"name": "plane", "short": [0.51234]}), _rule_words({"name": "acn", "inner": 1})
    ('plane (short [0.512])', 'ACN')
    """
    name = connectivity if isinstance(connectivity, str) else connectivity.get("name", "own rule")
    if name == "acn":
        return "ACN"
    if isinstance(connectivity, str):
        return connectivity
    options = [f"{key} {_plain(_rounded(v))}" for key, v in connectivity.items() if key != "name"]
    return f"{name} ({', '.join(options)})" if options else str(name)


def _before_after(report: Report) -> dict[str, Any]:
    """Return the table of the full network, the small one and the rivals."""
    rivals = {
        "baseline": {"key": "baseline", "first": "residual", "rest": "baseline", "kind": ""},
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
    words = "Latency is the median of repeated forward passes, which take turns, and below it the "
    words += 'range of 8 passes of 10; "noisy" stands where a ratio is too uncertain to tell. '
    words += "Peak memory is that of the largest batch. FLOPs count a multiply-add as two. "
    words += "One run with one seed."
    if score is not None and examples:
        error = standard_error_of(report, score)
        if error is not None:
            words += (
                f" One standard error of {examples:,} test examples is {point_words(error)}: "
                "smaller differences of test scores are ties."
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
        "bar": f"{100 / cost['ratio']:.2f}" if cost["ratio"] else "100",
    }


def _depths(report: Report) -> dict[str, Any]:
    """Return the table of every depth of the network, with its control beside it."""
    control: Sequence[DepthScore] = (
        () if report["baseline"] is None else report["baseline"]["depths"]
    )
    heads = ["depth", "validation", "test", "parameters", "FLOPs"]
    heads += ["baseline, validation", "baseline, test"] if control else []
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
        ("depth chosen", _without_exponents(report["rule"])),
        (
            "data",
            f"{task['dataset']}: {task['train']:,} training, {task['validation']:,} validation, "
            f"{task['test']:,} test examples. Depth is chosen on validation data only; test data "
            "are read once, for this page.",
        ),
        ("small network against the probe", _difference(exact)),
        ("ONNX file against the network", _exported(checks["onnx_max_abs_difference"])),
    ]


def _without_exponents(text: str) -> str:
    """Return text whose large numbers are written out, as earlier versions did not.

    >>> _without_exponents("at most 8e+06 FLOPs")
    'at most 8,000,000 FLOPs'
    """
    return re.sub(r"\b\d+(?:\.\d+)?e\+\d{1,2}\b", lambda m: f"{float(m[0]):,.0f}", text)


def _yaml(config: Mapping[str, Any]) -> str:
    import yaml

    plain = json.loads(json.dumps(config, default=str, allow_nan=False))
    return yaml.safe_dump(plain, sort_keys=False)


def _both(point: DepthScore) -> list[str]:
    return [per_cent(point["validation"]), per_cent(point["test"])]


def _difference(value: float | None) -> str:
    if value is None:
        return "not checked"
    if 0 < value < 1e-6:
        return "differs by less than a millionth"
    return "equal bit for bit" if value == 0 else f"differs by at most {figures(value, 2)}"


def _exported(value: float | None) -> str:
    if value is None:
        return "no file; acn export RUN/small --output FILE says why"
    return _difference(value)


def _rounded(value: Any) -> Any:
    """Return a gate, or the gates of all layers, with the decimals that a reader needs."""
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return round(value, 3) if isinstance(value, float) else value


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str, allow_nan=False)


def _epochs(config: Mapping[str, Any] | None) -> int | None:
    fit = None if config is None else config.get("fit")
    epochs = fit.get("epochs") if isinstance(fit, Mapping) else None
    return epochs if isinstance(epochs, int) and not isinstance(epochs, bool) else None
