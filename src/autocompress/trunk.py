"""Branch, Block, Trunk: the layers of a network, and the one loop over depth in this library.

Shapes: x is (batch, tokens, width), or (batch, width) in an MLP; every block keeps its shape.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Literal, Protocol, cast, runtime_checkable

from torch import Tensor, nn

from autocompress.connectivity import BlockCall, Gate, Spec, resolve
from autocompress.errors import ConfigError

__all__ = ["Block", "BlockLike", "Branch", "EndStage", "NormPlacement", "Trunk", "add_skip"]

NormPlacement = Literal["pre", "post"]


class Branch(nn.Module):
    """One sub-layer with its norm: ``post(skip * x + body(pre(x)))``.

    A branch knows nothing of the network's skips; it is told the strength of the one beside it.

    Args:
        body: the sub-layer itself, (batch, ..., width) to the same shape.
        norm: the norm, e.g. ``nn.LayerNorm(width)``.
        placement: ``"pre"`` (before the body, as in ViT) or ``"post"`` (after the sum, as in
            BERT; when the skip goes, the norm stays: paper section 3).
        dropout: share of the body's outputs dropped in training.
        takes: names of the context that the body is called with, where it is given (a cache, say).

    Raises:
        ConfigError: a placement that is neither.
    """

    def __init__(
        self,
        body: nn.Module,
        norm: nn.Module,
        placement: NormPlacement = "pre",
        dropout: float = 0.0,
        takes: Sequence[str] = (),
    ) -> None:
        super().__init__()
        if placement not in ("pre", "post"):
            raise ConfigError(f"norm placement {placement!r} is neither 'pre' nor 'post'")
        self.pre = norm if placement == "pre" else nn.Identity()
        self.body = body
        self.dropout = nn.Dropout(dropout)
        self.takes = tuple(takes)
        self.post = norm if placement == "post" else nn.Identity()

    def forward(self, x: Tensor, skip: Gate = 1.0, **context: Any) -> Tensor:
        taken = {name: context[name] for name in self.takes if name in context}
        out = self.dropout(self.body(self.pre(x), **taken))
        return cast(Tensor, self.post(add_skip(out, x, skip)))


def add_skip(out: Tensor, x: Tensor, skip: Gate) -> Tensor:
    """``skip * x + out``; nothing is computed for the constant 0, one addition for 1.

    Example:
        >>> import torch
        >>> add_skip(torch.tensor(2.0), torch.tensor(10.0), 0.5)
        tensor(7.)
    """
    if isinstance(skip, float):
        if skip == 0.0:
            return out
        if skip == 1.0:
            return x + out
    return skip * x + out


class EndStage(nn.Module):
    """LN(ReLU(W h + x)) after a block whose input was x and whose branches made h.

    The extra stage of the authors' Mixer code, which the paper does not mention: one short skip
    stays inside the block whatever the connectivity (docs/blocks.md has what it does).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, h: Tensor, x: Tensor) -> Tensor:
        return cast(Tensor, self.norm(nn.functional.relu(self.linear(h) + x)))


@runtime_checkable
class BlockLike(Protocol):
    """What a trunk needs of a block: a call with skip strengths, and its branches to look at."""

    @property
    def branches(self) -> Iterable[Callable[..., Tensor]]: ...

    def __call__(
        self, x: Tensor, short: Gate = 1.0, inner: Gate | None = None, **context: Any
    ) -> Tensor: ...


class Block(nn.Module):
    """The branches of one layer, in order. Called without strengths it is a residual block.

    Args:
        branches: at least one :class:`Branch`.
        end: called with (branches' output, block's input) last, e.g. :class:`EndStage`.
    """

    def __init__(self, branches: Sequence[nn.Module], end: nn.Module | None = None) -> None:
        super().__init__()
        if not branches:
            raise ConfigError("a block needs at least one branch")
        self.branches = nn.ModuleList(branches)
        self.end = end

    def forward(
        self, x: Tensor, short: Gate = 1.0, inner: Gate | None = None, **context: Any
    ) -> Tensor:
        """f(x) with its last skip at ``short`` and the others at ``inner`` (None: the same)."""
        inner = short if inner is None else inner
        last = len(self.branches) - 1
        h = x
        for i, branch in enumerate(self.branches):
            h = branch(h, short if i == last else inner, **context)
        return h if self.end is None else self.end(h, x)


class Trunk(nn.Module):
    """The blocks of a network and the loop that runs them.

    Args:
        blocks: L blocks, called in this order.
        connectivity: the rule, by name, mapping or object (:func:`connectivity.resolve`).

    Raises:
        ConfigError: a rule that does not fit L blocks.

    Example:
        >>> import torch
        >>> layer = lambda: Block([Branch(nn.Linear(8, 8), nn.LayerNorm(8))])
        >>> trunk = Trunk([layer() for _ in range(3)], "acn")
        >>> x = torch.randn(2, 8)
        >>> len(list(trunk.readouts(x)))  # depths 0..3
        4
    """

    def __init__(self, blocks: Sequence[nn.Module], connectivity: Spec = "acn") -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.connectivity = resolve(connectivity, len(blocks))

    @property
    def depth(self) -> int:
        """L, the number of blocks."""
        return len(self.blocks)

    def states(
        self,
        x: Tensor,
        depth: int | None = None,
        mediated: float = 1.0,
        dropped: Collection[int] = (),
        **context: Any,
    ) -> Iterator[Any]:
        """The connectivity's state at depth 0, 1, .. ``depth``, each block run when asked for.

        Args:
            x: the stem's output x_0.
            depth: where to stop; None runs all blocks.
            mediated: weight of the gradient that reaches a block through the blocks after it; at 0
                a block is trained by its own long connection only (the paper's direct gradient).
            dropped: indices (from 0) of layers that this pass leaves out (layer dropout).
            context: keyword arguments for every block (masks and the like).
        """
        return self.onwards(self.connectivity.begin(x), 0, depth, mediated, dropped, **context)

    def onwards(
        self,
        state: Any,
        first: int,
        depth: int | None = None,
        mediated: float = 1.0,
        dropped: Collection[int] = (),
        **context: Any,
    ) -> Iterator[Any]:
        """The states from one at depth ``first`` on, itself included; see :meth:`states`.

        This is the only loop over depth in the library: forward, readouts, probe and cut networks
        are all this loop, run to different ends, and generation verifies a draft by going on.
        """
        depth = self.depth if depth is None else self.connectivity.check_depth(depth)
        yield state
        for index in range(first, depth):
            if index in dropped:
                state = self.connectivity.skip(state, index)
            else:
                block = self.call(index, context)
                state = self.connectivity.step(state, index, weigh_gradient(block, mediated))
            yield state

    def call(self, index: int, context: dict[str, Any]) -> BlockCall:
        """Block ``index`` as the rule calls it: the context is bound, the skips are still open."""
        block: nn.Module = self.blocks[index]
        return cast(BlockCall, partial(block, **context) if context else block)

    def forward(
        self, x: Tensor, depth: int | None = None, mediated: float = 1.0, **context: Any
    ) -> Tensor:
        """The readout at ``depth`` (None: all blocks). Arguments as in :meth:`states`."""
        state = None
        for state in self.states(x, depth, mediated, **context):  # noqa: B007 - the last one counts
            pass
        return self.connectivity.readout(state)

    def readouts(
        self, x: Tensor, depth: int | None = None, mediated: float = 1.0, **context: Any
    ) -> Iterator[Tensor]:
        """The readout of every depth 0..``depth``, from one pass, each made when asked for."""
        for state in self.states(x, depth, mediated, **context):
            yield self.connectivity.readout(state)

    def cut(self, depth: int) -> Trunk:
        """A trunk of the first ``depth`` blocks; it shares them with this one.

        Raises:
            DepthError: ``depth`` is not in 0..L.
        """
        return Trunk(list(self.blocks[:depth]), self.connectivity.cut(depth))


def weigh_gradient(block: BlockCall, share: float) -> BlockCall:
    """``block`` with the gradient of its input multiplied by ``share``; its output stays the same.

    Raises:
        ConfigError: a share outside 0..1.
    """
    if not 0 <= share <= 1:
        raise ConfigError(f"mediated {share} must be a share between 0 and 1")
    return block if share == 1 else cast(BlockCall, partial(_call_weighed, block, share))


def _call_weighed(
    block: BlockCall, share: float, x: Tensor, short: Gate = 1.0, inner: Gate | None = None
) -> Tensor:
    # x + share * 0: exactly x, with the gradient's share on the second term. An autograd.Function
    # would say the same with one operation less, but dynamo warns about every one of them.
    still = x.detach()
    return block(still + share * (x - still) if share else still, short, inner)
