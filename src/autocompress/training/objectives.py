"""Objectives: the loss, the score of an example, and the labels that go with them.

The network chooses its objective (:attr:`autocompress.Network.objective`); for a converted network
the host's config decides, as in the host's own library. No other code asks which objective it is.

| objective | labels | loss | score |
|---|---|---|---|
| classification | whole numbers (B,), of tokens (B, N); one-hot | cross-entropy | accuracy |
| multi-label | 0 and 1, (B, K) | binary cross-entropy, mean of K | exact match |
| regression | numbers (B,) or (B, J) | mean squared error | R^2 |

The score of a data set is the mean over its examples, so intervals, rules and tolerances mean the
same for all three. For R^2 an example's score is 1 - (error / deviation)^2, where the deviation is
that of all labels of the set.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from autocompress.errors import DataError, UnknownNameError
from autocompress.network import Network
from autocompress.training.objective import IGNORED, Objective, Wanted

__all__ = ["Classification", "MultiLabel", "Regression", "objective_of"]

#: Number of logits whose loss is computed at a time; it bounds the memory for a large vocabulary.
AT_ONCE = 2**22


class Classification(Objective):
    """One of K classes for each example, or for each token.

    Args:
        open_: Whether the host lets the first labels decide between classes and multiple labels.
            Whole numbers mean classes; rows of 0 and 1 leave the question open.
    """

    metric, unit = "accuracy", "nats"

    def __init__(self, open_: bool = False) -> None:
        self.open = open_

    def targets(
        self, labels: Any, shape: Sequence[int], what: str, *, values: bool = True
    ) -> Tensor:
        given = _tensor(labels, what)
        tokens, classes = len(shape) > 2, int(shape[-1])
        if not tokens and tuple(given.shape) == tuple(shape) and classes > 1:
            given = self._from_rows(given, what)
        if given.is_floating_point() or given.is_complex():
            raise DataError(
                f"{what} labels are {_dtype(given)}{_first(given)}; a network of {classes} "
                "classes takes whole numbers from 0 on (labels.long()); for numbers to predict, "
                "convert a network of transformers with problem_type 'regression'"
            )
        if not tokens and given.dim() == 2 and given.shape[1] == 1:
            given = given[:, 0]
        if tuple(given.shape) != tuple(shape[:-1]):
            raise DataError(
                f"{what} labels of shape {tuple(given.shape)} do not fit outputs of shape "
                f"{tuple(shape)}; expected {tuple(shape[:-1])}"
            )
        given = given.long()
        if values:
            self._check_range(given, classes, what)
        return given

    def _from_rows(self, labels: Tensor, what: str) -> Tensor:
        """Return class numbers from one-hot rows."""
        if self.open:
            raise DataError(
                f"{what} labels are rows of {labels.shape[1]} numbers, and the config of this "
                "network leaves open what they mean: set problem_type to "
                "'multi_label_classification', 'regression' or 'single_label_classification' "
                "(then rows are one-hot) in the host's config before it is converted"
            )
        ones = (labels == 1).sum(1)
        if not bool(((labels == 0) | (labels == 1)).all()) or not bool((ones == 1).all()):
            bad = int((ones != 1).nonzero()[0]) if bool((ones != 1).any()) else 0
            raise DataError(
                f"{what} labels are rows of {labels.shape[1]} numbers that are not one-hot (row "
                f"{bad}: {_listed(labels[bad])}); this network chooses one class. For several "
                "labels at once convert a network of transformers with problem_type "
                "'multi_label_classification'"
            )
        return (labels == 1).long().argmax(1)

    def _check_range(self, labels: Tensor, classes: int, what: str) -> None:
        if not labels.numel():
            return
        if int(labels.min()) >= 0 and int(labels.max()) < classes:  # the common case, and faster
            return
        given = labels[labels != IGNORED]
        if len(given) and not 0 <= int(given.min()) <= int(given.max()) < classes:
            raise DataError(
                f"{what} labels run from {int(given.min())} to {int(given.max())}; outputs of "
                f"{classes} classes take 0..{classes - 1}, and {IGNORED} for none: number the "
                "classes from 0 on (labels - 1, if they begin at 1)"
            )

    def loss(self, logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        if logits.ndim > 2:
            logits, targets = logits.flatten(0, -2), targets.flatten()
        if targets.is_floating_point():  # shares of classes, which all count
            return F.cross_entropy(logits.float(), targets, label_smoothing=smoothing)
        some = (targets != IGNORED).any()
        targets = torch.where(some, targets, 0)  # a mean over no label would be NaN
        return F.cross_entropy(logits.float(), targets, label_smoothing=smoothing) * some

    def wanted(self, targets: Tensor) -> Wanted:
        flat = targets.flatten()
        kept = (flat != IGNORED).nonzero()[:, 0]
        # avoid a copy if all rows count
        return Wanted(flat) if len(kept) == len(flat) else Wanted(flat[kept], kept)

    def judge(self, logits: Tensor, wanted: Wanted) -> tuple[Tensor, Tensor]:
        rows = logits.flatten(0, -2)
        hits, nats = [], []
        step = max(1, AT_ONCE // rows.shape[1])
        for start in range(0, max(1, len(wanted.targets)), step):
            part = slice(start, start + step)
            some = rows[part] if wanted.rows is None else rows[wanted.rows[part]]
            hits.append(_hits(some, wanted.targets[part]))
            nats.append(F.cross_entropy(some.float(), wanted.targets[part], reduction="none"))
        return torch.cat(hits), torch.cat(nats)

    def constant(self, targets: Tensor) -> float:
        return float(targets.bincount().max()) / len(targets)

    def imitation(
        self, logits: Tensor, teacher: Tensor, temperature: float, tokens: Tensor | None = None
    ) -> Tensor:
        """Return T^2 KL(teacher || logits), averaged over examples or over the labelled tokens."""
        student = F.log_softmax(logits / temperature, -1)
        target = F.log_softmax(teacher / temperature, -1)
        rows = F.kl_div(student, target, reduction="none", log_target=True).sum(-1)
        if tokens is None:
            return temperature**2 * rows.mean()
        scored = (tokens.flatten() != IGNORED).float()
        return temperature**2 * (rows * scored).sum() / scored.sum().clamp(min=1)

    def check_mixing(self) -> None:
        """Accept: classes can be mixed."""

    def check_entropy(self) -> None:
        """Accept: the logits of classes are a distribution."""


class MultiLabel(Objective):
    """Any number of K labels for each example, which is correct if all K are."""

    metric, unit = "exact match", "nats"

    def targets(
        self, labels: Any, shape: Sequence[int], what: str, *, values: bool = True
    ) -> Tensor:
        given = _tensor(labels, what)
        if tuple(given.shape) != tuple(shape):
            raise DataError(
                f"{what} labels of shape {tuple(given.shape)} do not fit {shape[-1]} outputs, "
                f"each of which says yes or no: expected 0 and 1 of shape {tuple(shape)}"
            )
        if values:
            wrong = given[(given != 0) & (given != 1)]
            if len(wrong):
                raise DataError(
                    f"{what} labels hold {wrong[0].item()}; a multi-label network takes 0 and 1"
                )
        return given.float()

    def loss(self, logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits.float(), targets)

    def imitation(
        self, logits: Tensor, teacher: Tensor, temperature: float, tokens: Tensor | None = None
    ) -> Tensor:
        """Return T^2 KL(teacher || logits) of one label, averaged over labels and examples."""
        sure = (teacher / temperature).sigmoid()
        cross = F.binary_cross_entropy_with_logits(logits / temperature, sure)
        own = F.binary_cross_entropy_with_logits(teacher / temperature, sure)
        return temperature**2 * (cross - own)

    def judge(self, logits: Tensor, wanted: Wanted) -> tuple[Tensor, Tensor]:
        targets = wanted.targets
        losses = F.binary_cross_entropy_with_logits(logits.float(), targets, reduction="none")
        return ((logits > 0) == (targets > 0)).all(1), losses.mean(1)

    def constant(self, targets: Tensor) -> float:
        _, counts = torch.unique(targets, dim=0, return_counts=True)
        return float(counts.max()) / len(targets)


class Regression(Objective):
    """One or several numbers for each example."""

    metric, unit = "R^2", "squared error"

    def targets(
        self, labels: Any, shape: Sequence[int], what: str, *, values: bool = True
    ) -> Tensor:
        given = _tensor(labels, what)
        if given.dim() == 1 and shape[-1] == 1:
            given = given[:, None]
        if tuple(given.shape) != tuple(shape):
            raise DataError(
                f"{what} labels of shape {tuple(given.shape)} do not fit outputs of shape "
                f"{tuple(shape)}; a regression takes a number for each of {shape[-1]} outputs"
            )
        if values and not bool(torch.isfinite(given).all()):
            row = int((~torch.isfinite(given)).any(1).nonzero()[0])
            raise DataError(f"{what} labels are not finite: {_listed(given[row])}")
        return given.float()

    def loss(self, logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        return F.mse_loss(logits.float(), targets)

    def imitation(
        self, logits: Tensor, teacher: Tensor, temperature: float, tokens: Tensor | None = None
    ) -> Tensor:
        """Return the mean squared distance; the temperature plays no part."""
        return F.mse_loss(logits, teacher)

    def judge(self, logits: Tensor, wanted: Wanted) -> tuple[Tensor, Tensor]:
        errors = (logits.float() - wanted.targets).square()
        return errors, errors.mean(1)

    def check_varied(self, batches: Iterable[Any]) -> None:
        """Raise DataError if all labels of a set are equal.

        Args:
            batches: Labels, batch by batch.
        """
        rows = torch.cat([torch.as_tensor(labels).cpu().float() for labels in batches])
        self._variances(rows.reshape(len(rows), -1))

    def scores(self, worth: Tensor, targets: Tensor) -> Tensor:
        return (1 - worth.double() / self._variances(targets)).mean(-1)

    def _variances(self, targets: Tensor) -> Tensor:
        variances = targets.double().var(0, correction=0)
        if not bool((variances > 0).all()):
            output = int((variances <= 0).nonzero()[0])
            raise DataError(
                f"every label of output {output} is {targets[0, output].item():g}: R^2 is the "
                "share of the labels' variance that is explained, and they have none"
            )
        return variances

    def constant(self, targets: Tensor) -> float:
        return 0.0  # the score of always answering the mean, by definition


_OBJECTIVES: dict[str, Objective] = {
    "classification": Classification(),
    "next token": Classification(),
    "open": Classification(open_=True),
    "multi-label": MultiLabel(),
    "regression": Regression(),
}


def objective_of(net: Network) -> Objective:
    """Return the objective of a network.

    Raises:
        UnknownNameError: The network names an unknown objective.

    Example:
        >>> import autocompress as ac
        >>> objective_of(ac.models.MLP(depth=1, width=4)).metric
        'accuracy'
    """
    name = getattr(net, "objective", "classification")  # any module may be passed as a network
    if name not in _OBJECTIVES:
        raise UnknownNameError("objective", name, _OBJECTIVES)
    return _OBJECTIVES[name]


def _hits(rows: Tensor, wanted: Tensor) -> Tensor:
    """Return ``rows.argmax(-1) == wanted`` in a third of argmax's time on a CPU."""
    places = wanted[:, None]
    own = rows.gather(-1, places)[:, 0]
    best_other = rows.scatter(-1, places, -torch.inf).amax(-1)
    hits, tied = own > best_other, own == best_other
    if bool(tied.any()):  # argmax takes the first of equal values
        hits[tied] = rows[tied].argmax(-1) == wanted[tied]
    return hits


def _tensor(labels: Any, what: str) -> Tensor:
    if isinstance(labels, Tensor):
        return labels
    shown = labels[0] if isinstance(labels, (list, tuple)) and labels else labels
    if isinstance(shown, str):
        raise DataError(
            f"{what} labels are texts, e.g. {shown!r}: number the classes from 0 on and keep their "
            "names beside them"
        )
    raise DataError(
        f"{what} labels are of type {type(labels).__name__}, not a tensor with one row per example"
    )


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _first(labels: Tensor) -> str:
    return f", e.g. {labels.flatten()[0].item():g}" if labels.numel() else ""


def _listed(row: Tensor) -> str:
    shown = ", ".join(f"{value:g}" for value in row.double().tolist()[:6])
    return f"[{shown}{', ...' if row.numel() > 6 else ''}]"
