"""Collect what the report shows of every depth: costs, classes, examples whose answer changes.

All of it is read from the one probe of the test data; the depth is chosen on validation data.
"""

from __future__ import annotations

import base64
import io
import math
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from autocompress.data import Splits
from autocompress.depth import DepthCurve

__all__ = ["changing_examples", "class_tables", "intervals"]

#: Bounds of what a report holds: classes with a score by depth, classes of a confusion matrix,
#: entries of all matrices, examples, pixels of a picture's longer side, characters of a text.
_CLASSES, _MATRIX, _ENTRIES, _EXAMPLES, _PIXELS, _LETTERS = 500, 50, 40_000, 24, 64, 280


def intervals(curve: DepthCurve) -> list[list[float]]:
    """Return the 95 % bootstrap interval of the score at every depth, within 0..1."""
    return [[round(min(1.0, max(0.0, v)), 6) for v in pair] for pair in curve.interval()]


def class_tables(data: Splits, curve: DepthCurve, kept: int) -> dict[str, Any] | None:
    """Return the test score of each class and the confusion matrix, at every depth.

    Args:
        data: The data.
        curve: Probe of the test data with its answers.
        kept: The depth that was chosen.

    Returns:
        Names, number of examples by split, accuracy by depth and class, and confusion matrices
        (row: class, column: answer) of at most 50 classes, those with the most errors at the chosen
        depth. None if the answers are not classes, or there are too many of them.
    """
    found = _answers_and_labels(data, curve)
    if found is None or not 1 < len(data.classes) <= _CLASSES:
        return None
    answers, labels = found
    number = len(data.classes)
    counts = {
        split: torch.bincount(getattr(data, split).labels, minlength=number).tolist()
        for split in data.sizes
    }
    tests = torch.tensor(counts["test"])
    hits = answers == labels[:, None]
    by_class = torch.zeros(number, hits.shape[1], dtype=torch.float64)
    by_class.index_add_(0, labels, hits.double())
    accuracy = [
        [round(float(h / n), 6) if n else None for h, n in zip(row, tests, strict=True)]
        for row in by_class.T
    ]
    errors = tests - by_class[:, kept]
    most = min(_MATRIX, math.isqrt(_ENTRIES // hits.shape[1]))
    shown = torch.arange(number)
    if number > most:
        shown = errors.argsort(descending=True, stable=True)[:most].sort().values
    return {
        "names": [str(name) for name in data.classes],
        "counts": counts,
        "accuracy": accuracy,
        "shown": shown.tolist(),
        "confusion": [
            _matrix(labels, answers[:, k], number)[shown][:, shown].tolist()
            for k in range(hits.shape[1])
        ],
    }


def _matrix(labels: Tensor, answers: Tensor, number: int) -> Tensor:
    return (labels * number + answers).bincount(minlength=number * number).view(number, number)


def changing_examples(data: Splits, curve: DepthCurve, kept: int) -> list[dict[str, Any]]:
    """Return test examples whose answer changes between depths, the most telling first.

    These are examples that only the chosen depth or only full depth gets right, in turns, then
    those whose answer changes most often.

    Args:
        data: The data.
        curve: Probe of the test data with its answers.
        kept: The depth that was chosen.

    Returns:
        At most 24 mappings: the example's ``index`` in the test data, its ``label``, the
        ``answers`` and ``probabilities`` by depth, and its ``picture`` (a data URI) or ``text``.
    """
    found = _answers_and_labels(data, curve)
    if found is None or curve.answers is None:
        return []
    answers, labels = found
    chosen = _telling(answers, labels, kept)
    if not chosen:
        return []
    views = _views(data, torch.tensor(chosen))
    return [
        {
            "index": n,
            "label": int(labels[n]),
            "answers": answers[n].tolist(),
            "probabilities": [round(float(p), 4) for p in curve.answers.probabilities[n]],
            **view,
        }
        for n, view in zip(chosen, views, strict=True)
    ]


def _answers_and_labels(data: Splits, curve: DepthCurve) -> tuple[Tensor, Tensor] | None:
    """Return the answers (n, L + 1) and labels (n,) as int64; None where they are not classes."""
    labels = getattr(data.test, "labels", None)
    if curve.answers is None or not isinstance(labels, Tensor) or labels.ndim != 1:
        return None
    answers = curve.answers.classes.long()
    within = len(labels) == len(answers) and int(answers.max()) < len(data.classes)
    return (answers, labels.cpu().long()) if within else None


def _telling(answers: Tensor, labels: Tensor, kept: int) -> list[int]:
    hits = answers == labels[:, None]
    changes = (answers[:, 1:] != answers[:, :-1])[:, 1:].sum(1)  # from depth 1 on
    order = changes.argsort(descending=True, stable=True).tolist()
    lost = [n for n in order if hits[n, -1] and not hits[n, kept]]
    won = [n for n in order if hits[n, kept] and not hits[n, -1]]
    third = _EXAMPLES // 3
    first = [n for pair in zip(lost[:third], won[:third], strict=False) for n in pair]
    rest = [n for n in order if changes[n]]
    return list(dict.fromkeys([*first, *lost[:third], *won[:third], *rest]))[:_EXAMPLES]


def _views(data: Splits, chosen: Tensor) -> list[dict[str, str | None]]:
    """Return each example as a small picture or a short text."""
    inputs = [row for batch, _ in data.test.batches(len(chosen), chosen) for row in batch]
    tokenizer = getattr(data, "tokenizer", None)
    if tokenizer is not None:
        texts = [" ".join(tokenizer.decode(row.tolist()).split()) for row in inputs]
        return [{"picture": None, "text": _shortened(text)} for text in texts]
    return [{"picture": _data_uri(row), "text": None} for row in inputs]


def _shortened(text: str) -> str:
    return text if len(text) <= _LETTERS else text[: _LETTERS - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _data_uri(image: Tensor) -> str | None:
    """Return bytes (C, H, W) as a PNG or JPEG of at most 64 pixels in a data URI."""
    if image.dtype != torch.uint8 or image.shape[0] not in (1, 3):
        return None
    pixels = image.permute(1, 2, 0).cpu().numpy()
    picture = Image.fromarray(pixels[:, :, 0] if image.shape[0] == 1 else pixels)
    large = max(picture.size) > 32
    picture.thumbnail((_PIXELS, _PIXELS))
    file, form = io.BytesIO(), "jpeg" if large else "png"
    picture.save(file, form.upper(), quality=85)
    return f"data:image/{form};base64,{base64.b64encode(file.getvalue()).decode()}"
