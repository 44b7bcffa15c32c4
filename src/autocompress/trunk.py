"""Define Branch, Block and Trunk: the layers of a network and the library's only loop over depth.

Shapes: x is (batch, tokens, width), or (batch, width) in an MLP; every block preserves its shape.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Literal, Protocol, cast, runtime_checkable

from torch import Tensor, nn

from autocompress.connectivity import BlockCall, Gate, Spec, make_rule
from autocompress.errors import ConfigError

__all__ = ["Block", "BlockLike", "Branch", "EndStage", "NormPlacement", "Trunk", "add_skip"]

NormPlacement = Literal["pre", "post"]


class Branch(nn.Module):
    """One sub-layer with its norm: ``post(skip * x + body(pre(x)))``.

    A branch knows nothing about the network's skips; the caller passes the strength of the skip
    around this branch.

    Args:
        body: The sub-layer itself, mapping (batch, ..., width) to the same shape.
        norm: The norm, e.g. ``nn.LayerNorm(width)``.
        placement: ``"pre"`` (before the body, as in ViT) or ``"post"`` (after the sum, as in
            BERT; the norm stays when the skip is removed: paper section 3).
        dropout: Dropout rate on the body's output during training.
        takes: Names of the context entries passed to the body when present (e.g. a cache).

    Raises:
        ConfigError: ``placement`` is neither ``"pre"`` nor ``"post"``.
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
        parts: dict[str, Any] = self._modules  # in small batches each ``self.part`` would show
        pre, body, dropout, post = parts["pre"], parts["body"], parts["dropout"], parts["post"]
        taken = {name: context[name] for name in self.takes if name in context} if context else {}
        out: Tensor = body(x if _idle(pre) else pre(x), **taken)
        if not _idle(dropout):
            out = dropout(out)
        out = add_skip(out, x, skip)
        return out if _idle(post) else cast(Tensor, post(out))


def _idle(part: Any) -> bool:
    """Return whether a part does nothing now: in small batches calling it would show."""
    kind = type(part)
    if kind is nn.Dropout:
        return not (part.training and part.p)
    return kind is nn.Identity


def add_skip(out: Tensor, x: Tensor, skip: Gate) -> Tensor:
    """Return ``skip * x + out``; a constant 0 costs nothing and a constant 1 a single addition.

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
    """The final stage of a block: LN(ReLU(W h + x)) for the block's input x and branch output h.

    This extra stage is in the authors' Mixer code but not in the paper: it keeps one short skip
    inside the block whatever the connectivity (docs/blocks.md describes its effect).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, h: Tensor, x: Tensor) -> Tensor:
        return cast(Tensor, self.norm(nn.functional.relu(self.linear(h) + x)))


@runtime_checkable
class BlockLike(Protocol):
    """The interface that a trunk needs from a block: a call with skip strengths, its branches."""

    @property
    def branches(self) -> Iterable[Callable[..., Tensor]]: ...

    def __call__(
        self, x: Tensor, short: Gate = 1.0, inner: Gate | None = None, **context: Any
    ) -> Tensor: ...


class Block(nn.Module):
    """The branches of one layer, run in order; without strengths it is a residual block.

    Args:
        branches: At least one :class:`Branch`.
        end: A final module called with (branches' output, block's input), e.g. :class:`EndStage`.
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
        """Return f(x), with the last skip at ``short`` and the others at ``inner``.

        ``inner=None`` uses ``short`` for all of them.
        """
        inner = short if inner is None else inner
        parts: dict[str, Any] = self._modules
        *before, last = parts["branches"]
        h: Tensor = x
        for branch in before:
            h = branch(h, inner, **context)
        h = last(h, short, **context)
        return h if self.end is None else cast(Tensor, self.end(h, x))


class Trunk(nn.Module):
    """The blocks of a network and the loop that runs them.

    Args:
        blocks: The L blocks, in the order they run.
        connectivity: The rule, given by name, mapping or object (:func:`connectivity.make_rule`).

    Raises:
        ConfigError: The rule does not fit L blocks.

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
        self.connectivity = make_rule(connectivity, len(blocks))

    @property
    def depth(self) -> int:
        """Return L, the number of blocks."""
        blocks: Any = self._modules["blocks"]
        return len(blocks._modules)

    def states(
        self,
        x: Tensor,
        depth: int | None = None,
        mediated: float = 1.0,
        dropped: Collection[int] = (),
        **context: Any,
    ) -> Iterator[Any]:
        """Yield the connectivity's state at depths 0, 1, .. ``depth``, running blocks lazily.

        Args:
            x: The stem's output x_0.
            depth: The depth to stop at; None runs all blocks.
            mediated: Weight of the gradient that reaches a block through later blocks; at 0 a
                block is trained only through its own long connection (the paper's direct gradient).
            dropped: Indices (from 0) of the layers that this pass skips (layer dropout).
            context: Keyword arguments passed to every block (e.g. masks).
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
        """Yield the given state at depth ``first`` and all later ones; see :meth:`states`.

        This is the only loop over depth in the library: forward, readouts, probe and cut networks
        all run this loop to different depths, and generation continues it to verify a draft.
        """
        rule = self.connectivity  # looked up once: in small batches each look-up would show
        depth = self.depth if depth is None else rule.check_depth(depth)
        yield state
        for index in range(first, depth):
            if index in dropped:
                state = rule.skip(state, index)
            else:
                block = self.call(index, context)
                whole = block if mediated == 1 else weigh_gradient(block, mediated)
                state = rule.step(state, index, whole)
            yield state

    def call(self, index: int, context: dict[str, Any]) -> BlockCall:
        """Return block ``index`` as the rule calls it: context bound, skip strengths left open."""
        parts: dict[str, Any] = self._modules
        block: nn.Module = parts["blocks"]._modules[str(index)]
        return cast(BlockCall, partial(block, **context) if context else block)

    def forward(
        self, x: Tensor, depth: int | None = None, mediated: float = 1.0, **context: Any
    ) -> Tensor:
        """Return the readout at ``depth`` (None: all blocks); arguments as in :meth:`states`."""
        state = None
        for state in self.states(x, depth, mediated, **context):  # noqa: B007 - the last one counts
            pass
        return self.connectivity.readout(state)

    def readouts(
        self, x: Tensor, depth: int | None = None, mediated: float = 1.0, **context: Any
    ) -> Iterator[Tensor]:
        """Yield the readout at every depth 0..``depth``, lazily and from a single pass."""
        for state in self.states(x, depth, mediated, **context):
            yield self.connectivity.readout(state)

    def cut(self, depth: int) -> Trunk:
        """Return a trunk of the first ``depth`` blocks, shared with this one.

        Raises:
            DepthError: ``depth`` is not in 0..L.
        """
        return self.only(range(self.connectivity.check_depth(depth)))

    def only(self, layers: Sequence[int]) -> Trunk:
        """Return a trunk of these blocks (from 0, ascending), shared with this one.

        Raises:
            ConfigError: The rule does not allow to leave out blocks before the last.
            DepthError: There is no such block.
        """
        rule = self.connectivity.only(layers)  # which refuses blocks that there are not
        trunk = Trunk([self.blocks[i] for i in layers], rule)
        trunk.training = trunk.blocks.training = self.training
        return trunk


def weigh_gradient(block: BlockCall, share: float) -> BlockCall:
    """Return ``block`` with its input's gradient scaled by ``share`` and its output unchanged.

    Raises:
        ConfigError: ``share`` is outside 0..1.
    """
    if not 0 <= share <= 1:
        raise ConfigError(f"mediated {share} must be a share between 0 and 1")
    return cast(BlockCall, partial(_call_weighed, block, share))


def _call_weighed(
    block: BlockCall, share: float, x: Tensor, short: Gate = 1.0, inner: Gate | None = None
) -> Tensor:
    # This is x + share * 0: exactly x, with the gradient's share on the second term. An
    # autograd.Function would save one operation, but dynamo warns about every one of them.
    still = x.detach()
    return block(still + share * (x - still) if share else still, short, inner)
