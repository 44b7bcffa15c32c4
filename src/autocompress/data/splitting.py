"""Assign examples to splits.

Draws come from numpy's RandomState: its stream is frozen, so a split never changes with a version.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from autocompress.data.meaning import Meaning, explain
from autocompress.data.sources import Labelled
from autocompress.errors import DataError

__all__ = ["apart", "balanced", "chosen", "of_classes", "stratified"]

L = TypeVar("L", bound=Labelled)


def stratified(labels: Tensor, share: float, seed: int, what: str) -> tuple[Tensor, Tensor]:
    """Split the indices of ``labels`` in two, with each class in the same proportion.

    Args:
        labels: Labels, int64 (n,).
        share: Share of the second part, between 0 and 1; it gets ceil(share * n) examples.
        seed: Seed of the draw.
        what: Name of the second part, for the error message.

    Returns:
        Indices of the first and of the second part, each in ascending order.

    Raises:
        DataError: One of the parts would be empty.

    Example:
        >>> stratified(torch.tensor([0, 0, 0, 0, 1, 1]), 0.5, seed=0, what="validation")[1].numel()
        3
    """
    total = math.ceil(round(share * len(labels), 6))
    if not 0 < total < len(labels):
        raise DataError(
            f"train has {len(labels)} example{'s' * (len(labels) != 1)}, too few to split off "
            f"{what} (share {share:g}) and keep some"
        )
    random = np.random.RandomState(seed)
    numbers = labels.numpy()
    members = [random.permutation(np.flatnonzero(numbers == c)) for c in np.unique(numbers)]
    exact = np.array([len(rows) * total / len(numbers) for rows in members])
    quota = np.floor(exact).astype(int)
    largest_remainders = np.argsort(-(exact - quota), kind="stable")
    quota[largest_remainders[: total - quota.sum()]] += 1
    carved = np.sort(np.concatenate([r[:q] for r, q in zip(members, quota, strict=True)]))
    kept = np.setdiff1d(np.arange(len(numbers)), carved)
    return torch.from_numpy(kept), torch.from_numpy(carved)


def apart(
    labels: Tensor, copies: Tensor | None, share: float, seed: int, what: str
) -> tuple[Tensor, Tensor]:
    """Split the indices as :func:`stratified` does, with equal content always on the same side.

    Args:
        labels: Labels, int64 (n,).
        copies: A number for each example, shared by those of equal content and ascending by their
            first (n,); None means that all differ.
        share: Share of the second part, counted in different contents.
        seed: Seed of the draw.
        what: Name of the second part, for the error message.

    Example:
        >>> copies = torch.tensor([0, 0, 0, 3, 4])
        >>> [part.tolist() for part in apart(torch.zeros(5).long(), copies, 0.3, 0, "test")]
        [[0, 1, 2, 3], [4]]
    """
    if copies is None:
        return stratified(labels, share, seed, what)
    contents, content = torch.unique(copies, return_inverse=True)
    first = torch.full_like(contents, len(copies))
    first.scatter_reduce_(0, content, torch.arange(len(copies)), "amin")
    try:
        _, carved = stratified(labels[first], share, seed, what)
    except DataError as error:
        if len(contents) == len(copies):
            raise
        raise DataError(
            f"{error}; copies of one image stay in one split, and only {len(contents)} of "
            f"{len(copies)} images are different"
        ) from None
    theirs = torch.isin(content, carved)
    return (~theirs).nonzero()[:, 0], theirs.nonzero()[:, 0]


def chosen(labels: Tensor, classes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return the examples of the given classes.

    Args:
        labels: Labels, int64 (n,).
        classes: Labels to keep; the first of them becomes 0, and so on.

    Returns:
        Indices in ascending order, and the new labels at these indices.

    Example:
        >>> chosen(torch.tensor([2, 0, 1, 2]), [2, 1])
        (tensor([0, 2, 3]), tensor([0, 1, 0]))
    """
    matches = labels.unsqueeze(1) == torch.tensor(list(classes), device=labels.device)
    rows = matches.any(1).nonzero().squeeze(1)
    return rows, matches[rows].long().argmax(1)


def of_classes(source: L, classes: Sequence[int]) -> L:
    """Return the examples of the given classes, relabelled in the order of ``classes``."""
    rows, labels = chosen(source.labels, classes)
    meaning: Meaning | None = getattr(source, "meaning", None)
    found = source.select(rows).relabelled(labels)
    return explain(found, None if meaning is None else meaning.of(classes))


def balanced(labels: Tensor, count: int, seed: int) -> Tensor:
    """Return ``count`` random indices, balanced over the classes as far as possible.

    Args:
        labels: Labels, int64 (n,).
        count: Number of indices; all if there are fewer.
        seed: Seed of the draw.

    Returns:
        Indices in ascending order.

    Raises:
        DataError: There would be less than one example of each class.
    """
    random = np.random.RandomState(seed)
    numbers = labels.numpy()
    members = [random.permutation(np.flatnonzero(numbers == c)) for c in np.unique(numbers)]
    if count < len(members):
        raise DataError(
            f"data.train_limit {count} is less than one image of each of the {len(members)} classes"
        )
    # Deal the examples in rounds, one of each class per round, until there are enough.
    rounds = np.concatenate([np.arange(len(rows)) for rows in members])
    dealt = np.concatenate(members)[np.argsort(rounds, kind="stable")]
    return torch.from_numpy(np.sort(dealt[:count]))
