"""Write what the page shows at each depth, as text: the script only swaps these texts."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from autocompress.printing import layer_words
from autocompress.report.schema import DepthPoint, Report
from autocompress.report.times import NOISY, time_ratio
from autocompress.report.units import (
    MISSING,
    milliseconds,
    multiple,
    per_cent,
    points,
    si,
    typeset,
)

__all__ = ["cut_snippets", "example_states", "state_of", "use_snippets"]


def state_of(report: Report, run: str, depth: int) -> dict[str, str]:
    """Return the texts of one depth, by the name that the page gives to their place.

    Args:
        report: Report of the run.
        run: Folder of the run, as the commands name it.
        depth: The depth, 0..L.
    """
    point, full = report["depths"][depth], report["depths"][-1]
    deepest = report["model"]["depth"]
    command, python = cut_snippets(run, depth)
    layers = f"{depth} of {layer_words(deepest)}"
    if depth == report["selected"]:
        badge = "kept by the rule"
    elif depth == deepest:
        badge = "full depth"
    else:
        badge = "shallower than kept" if depth < report["selected"] else "deeper than kept"
    return {
        "depth": str(depth),
        "layers": layers,
        "badge": badge,
        "spoken": f"{layers}, {per_cent(point['test'])} on test",
        "score": per_cent(point["test"]),
        "interval": _interval(point.get("interval")),
        "against": _against(full["test"], point["test"]) if depth < deepest else "full depth",
        "validation": per_cent(point["validation"]),
        "parameters": si(point["parameters"]),
        "parameters_share": _share(full["parameters"], point["parameters"]),
        "flops": si(point["flops"]),
        "flops_share": _share(full["flops"], point["flops"]),
        **_measured(report, point, full),
        "command": command,
        "python": python,
    }


def _measured(report: Report, point: DepthPoint, full: DepthPoint) -> dict[str, str]:
    """Return size and latency; those of an earlier report only where it measured a network."""
    found: dict[str, Any] = dict(point)
    whole: dict[str, Any] = dict(full)
    if "latency_ms" not in point:
        known: dict[int, Any] = {report["full"]["depth"]: report["full"]}
        if not _healed(report):
            known[report["selected"]] = report["small"]
        found, whole = known.get(point["depth"], {}), known[full["depth"]]
    texts = {
        "bytes": si(found.get("bytes"), "B"),
        "bytes_share": _share(whole.get("bytes"), found.get("bytes")),
    }
    for batch in ("1", "256"):
        texts[f"latency_{batch}"] = milliseconds(found.get("latency_ms", {}).get(batch))
        texts[f"latency_{batch}_share"] = _of_full(time_ratio(whole, found, batch))
        pair = found.get("latency_spread_ms", {}).get(batch)
        texts[f"spread_{batch}"] = (
            f"{_plain_ms(pair[0])} to {milliseconds(pair[1])}" if pair else "spread not measured"
        )
    return texts


def _healed(report: Report) -> bool:
    """Return whether the small network was trained further than the full one at that depth."""
    at: Any = report["depths"][report["selected"]]
    small = report["small"]
    return (at["test"], at["validation"]) != (small["test"], small["validation"])


def _plain_ms(value: float) -> str:
    return milliseconds(value).removesuffix(" ms")


def _interval(pair: Sequence[float] | None) -> str:
    if not pair:
        return "interval not measured"
    return f"95 % interval {100 * pair[0]:.1f} to {100 * pair[1]:.1f}"


def _against(before: float | None, after: float | None) -> str:
    text = points(before, after)
    return "full depth not measured" if text == MISSING else f"{typeset(text)} against full depth"


def _share(before: float | None, after: float | None) -> str:
    return _of_full(multiple(before, after))


def _of_full(text: str) -> str:
    if text == NOISY:
        return "too noisy to compare with full depth"
    return "not measured" if text == MISSING else f"{typeset(text)} full depth"


def cut_snippets(run: str, depth: int) -> tuple[str, str]:
    """Return the command, and the three lines of Python, that cut a run's network at ``depth``.

    Example:
        >>> command, python = cut_snippets("runs/one", 6)
        >>> command
        'acn cut runs/one --depth 6 --output runs/one/depth-6'
        >>> python.splitlines()[1]
        "small = ac.load('runs/one/model', depth=6)"
    """
    folder = f"{run}/depth-{depth}"
    command = f"acn cut {shlex.quote(run)} --depth {depth} --output {shlex.quote(folder)}"
    lines = (
        "import autocompress as ac",
        f"small = ac.load({run + '/model'!r}, depth={depth})",
        f"ac.save(small, {folder!r}, overwrite=True)",
    )
    return command, "\n".join(lines)


def use_snippets(run: str, task: str) -> list[tuple[str, str]]:
    """Return what can be done with the small network: (purpose, commands or Python).

    Args:
        run: Folder of the run, as the commands name it.
        task: An example of an input: ``picture.png``, or a text.
    """
    small = shlex.quote(f"{run}/small")
    asked = shlex.quote(task)
    return [
        ("Predict", f"acn predict {small} {asked}"),
        (
            "Predict in Python",
            "import autocompress as ac\n"
            f"predict = ac.Predictor({run + '/small'!r})\n"
            f"print(predict({task!r}))",
        ),
        ("Export to ONNX", f"acn export {small} --output {shlex.quote(run + '/network.onnx')}"),
        ("Serve over HTTP", f"acn serve {small}"),
        ("Compare formats on this machine", f"acn bench {small}"),
        ("Choose a depth for each example", f"acn exit {shlex.quote(run)}"),
    ]


def example_states(report: Report) -> list[dict[str, Any]]:
    """Return the examples whose answer changes: their strip of depths and their texts by depth."""
    classes = report.get("classes")
    names: Sequence[str] = [] if classes is None else classes["names"]
    shown = []
    for example in report.get("examples") or []:
        label, answers = example["label"], example["answers"]
        said = [
            f"{_name(names, answer)} ({100 * sure:.0f} %)"
            for answer, sure in zip(answers, example["probabilities"], strict=True)
        ]
        right = [answer == label for answer in answers]
        shown.append(
            {
                "index": example["index"],
                "label": _name(names, label),
                "picture": example["picture"],
                "text": example["text"],
                "said": said,
                "right": right,
                "summary": f"right at depths {_ranges(right)}" if any(right) else "never right",
            }
        )
    return shown


def _name(names: Sequence[str], number: int) -> str:
    return names[number] if number < len(names) else str(number)


def _ranges(flags: Sequence[bool]) -> str:
    """Return where flags are set, as ranges.

    >>> _ranges([True, False, True, True, True])
    '0, 2 to 4'
    """
    found: list[list[int]] = []
    for k, flag in enumerate(flags):
        if flag and found and found[-1][1] == k - 1:
            found[-1][1] = k
        elif flag:
            found.append([k, k])
    return ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in found)
