"""Go on with some of a batch's examples: which tensors have a row for each, and their rows.

Examples are rows of tensors. In the state of our loop the batch is the first dimension of every
tensor. In what a host of another library hands to its layers (masks, rotations, positions) it may
be any dimension, or missing, and the sizes do not tell: a matrix (N, N) looks like a batch when
there are N examples. A :class:`Layout` therefore compares the tensors for n and n + 1 examples.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from autocompress.checks import rows_of
from autocompress.errors import ConfigError

__all__ = ["Compactable", "Layout", "layout_of", "layouts_of", "take_rows"]

S = TypeVar("S")

#: Types of values that are the same for any number of examples if they compare equal.
_PLAIN = (bool, int, float, complex, str, bytes, torch.dtype, torch.device, type(None))


def take_rows(state: S, rows: Tensor) -> S:
    """Return the state of the examples at ``rows``: of all tensors (B, ...) in it, at any level.

    A tensor that occurs several times is copied once.

    Example:
        >>> take_rows((torch.tensor([1, 2, 3]), None), torch.tensor([2, 0]))
        (tensor([3, 1]), None)
    """
    leaves, form = tree_flatten(state)
    taken: dict[int, Tensor] = {}
    for leaf in leaves:
        if isinstance(leaf, Tensor) and id(leaf) not in taken:
            taken[id(leaf)] = leaf.index_select(0, rows)
    return cast(S, tree_unflatten([taken.get(id(leaf), leaf) for leaf in leaves], form))


class Layout(NamedTuple):
    """The places of the examples in a nested structure of tensors.

    Attributes:
        form: The structure.
        dimensions: Dimension of the batch in each leaf; None for a leaf without one.
    """

    form: TreeSpec
    dimensions: tuple[int | None, ...]

    def take(self, tree: S, rows: Tensor, size: int) -> S:
        """Return the structure with the examples at ``rows`` of ``size``.

        A dimension that holds several entries for each example (windows) keeps them together.
        """
        leaves = self.form.flatten_up_to(tree)
        taken: dict[int, Any] = {}
        for leaf, dimension in zip(leaves, self.dimensions, strict=True):
            if dimension is not None and id(leaf) not in taken:
                taken[id(leaf)] = _take(leaf, dimension, rows, size)
        return cast(S, tree_unflatten([taken.get(id(leaf), leaf) for leaf in leaves], self.form))

    def first(self, tree: S, size: int) -> S:
        """Return the structure for the first example alone, as views."""
        leaves = self.form.flatten_up_to(tree)
        one = [
            leaf if d is None else leaf.narrow(d, 0, leaf.shape[d] // size)
            for leaf, d in zip(leaves, self.dimensions, strict=True)
        ]
        return cast(S, tree_unflatten(one, self.form))


def _take(leaf: Tensor, dimension: int, rows: Tensor, size: int) -> Tensor:
    each = leaf.shape[dimension] // size
    if each > 1:
        within = torch.arange(each, device=rows.device)
        rows = (rows[:, None] * each + within).flatten()
    return leaf.index_select(dimension, rows)


def layout_of(tree: Any, larger: Any, size: int) -> Layout:
    """Return where the examples are, from the structures for ``size`` and ``size`` + 1 of them.

    Raises:
        ConfigError: A leaf depends on the number of examples in another way, so a part of the
            batch cannot be taken from it.
    """
    leaves, form = tree_flatten(tree)
    others, other_form = tree_flatten(larger)
    if form != other_form:
        raise ConfigError(
            "examples cannot leave this network early: what it hands to its layers has another "
            "structure for another number of examples"
        )
    found = [_dimension(a, b, size) for a, b in zip(leaves, others, strict=True)]
    return Layout(form, tuple(found))


def _dimension(leaf: Any, other: Any, size: int) -> int | None:
    if isinstance(leaf, Tensor) and isinstance(other, Tensor) and leaf.dim() == other.dim():
        shapes = list(zip(leaf.shape, other.shape, strict=True))
        differ = [d for d, (a, b) in enumerate(shapes) if a != b]
        if not differ:
            return None
        a, b = shapes[differ[0]]
        if len(differ) == 1 and a % size == 0 and b * size == a * (size + 1):
            return differ[0]
    elif isinstance(leaf, _PLAIN):
        if type(leaf) is type(other) and leaf == other:
            return None
    elif type(leaf) is type(other) and not _holds_tensors(leaf):
        return None
    shape = f"a tensor {tuple(leaf.shape)}" if isinstance(leaf, Tensor) else type(leaf).__name__
    raise ConfigError(
        f"examples cannot leave this network early: it hands its layers {shape}, from which the "
        "part of some examples cannot be taken"
    )


def _holds_tensors(value: Any) -> bool:
    held = vars(value).values() if hasattr(value, "__dict__") else ()
    return any(isinstance(leaf, Tensor) for leaf in tree_flatten(list(held))[0])


class Layouts:
    """The layouts of one network, each found once."""

    def __init__(self) -> None:
        self.known: dict[Any, Layout] = {}

    def of(self, tree: Any, size: int, larger: Callable[[], Any]) -> Layout:
        """Return the layout of a structure for ``size`` examples.

        Args:
            tree: The structure.
            size: The number of examples.
            larger: Function that makes the structure for one more.
        """
        leaves, form = tree_flatten(tree)
        key = (str(form), tuple(_signature(leaf, size) for leaf in leaves))
        if key not in self.known:
            self.known[key] = layout_of(tree, larger(), size)
        return self.known[key]


def _signature(leaf: Any, size: int) -> Any:
    """Return what tells a leaf from others of another layout, for any number of examples."""
    if not isinstance(leaf, Tensor):
        return type(leaf)
    return tuple({1: 1, size: "size"}.get(n, "other") for n in leaf.shape)


_LAYOUTS: WeakKeyDictionary[object, Layouts] = WeakKeyDictionary()


def layouts_of(net: object) -> Layouts:
    """Return the layouts that are known of a network."""
    return _LAYOUTS.setdefault(net, Layouts())


class Compactable:
    """The methods of a network with which some examples of a pass go on without the others."""

    context: Callable[..., dict[str, Any]]
    read: Callable[[Any], Tensor]

    def compacted(self, state: Any, rows: Tensor, x: Any, size: int) -> Any:
        """Return the pass of some of its examples, for ``onwards`` and ``read``.

        Args:
            state: A pass.
            rows: Indices (R,) of examples in it, int64, on its device.
            x: The batch with which the pass began.
            size: Number of examples in ``state``.

        Raises:
            ConfigError: The part of some examples cannot be taken from what the blocks are given.
        """
        layout = layouts_of(self).of(
            state.context, size, lambda: self.context(rows_of(x, range(size + 1)))
        )
        context = layout.take(state.context, rows, size)
        return state._replace(inner=take_rows(state.inner, rows), context=context)

    def read_early(self, state: Any) -> Tensor:
        """Return the same as ``read``, sooner where a network knows a shorter way."""
        return self.read(state)
