"""Split a network between depths into modules that run one after another.

The first maps the user's arrays to the state at its depth, each later one continues from there, and
the head maps the readout of any depth to logits. What passes between two of them has names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from autocompress.conversion import Converted
from autocompress.data import ImageInput
from autocompress.errors import ConfigError, ExportError
from autocompress.network import Network, Pass
from autocompress.training.objectives import MultiLabel, Regression, objective_of

__all__ = [
    "Entrance",
    "Head",
    "Packing",
    "NetworkParts",
    "Segment",
    "Whole",
    "entrance_of",
    "parts_of",
]

#: Arrays by name, as every module here takes and returns them.
Named = dict[str, Tensor]

#: Names of the inputs.
IMAGES, IDS, MASK = "images", "input_ids", "attention_mask"
#: Names of the outputs.
READOUT, LOGITS, PROBABILITIES = "readout", "logits", "probabilities"


# -- what the user gives ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Entrance:
    """The arrays that a user gives to an exported network.

    Attributes:
        example: A batch of two, by name.
        make: Function from such arrays to what the network takes.
    """

    example: Named
    make: Callable[[Mapping[str, Tensor]], Any]


def entrance_of(net: Network, example: Any, raw: bool) -> Entrance:
    """Return the arrays that stand for ``example``, a batch that the network takes.

    Texts get a mask beside their tokens wherever the network knows padding.

    Args:
        net: The network.
        example: A batch of two: a tensor, or a mapping of the network's arguments.
        raw: Whether pictures are given as bytes (B, H, W, C).

    Raises:
        ConfigError: ``raw`` is asked of pictures without a record of their preparation.
    """
    if isinstance(example, Mapping):
        return Entrance(dict(example), dict)
    if example.is_floating_point():
        return _raw_pictures(net, example) if raw else Entrance({IMAGES: example}, _only(IMAGES))
    ones = torch.ones_like(example)
    if isinstance(net, Converted):
        host: Any = net.model
        main = getattr(host, "main_input_name", None)
        if main and {main, MASK} <= (net.arguments or frozenset()):
            return Entrance({IDS: example, MASK: ones}, lambda x: {main: x[IDS], MASK: x[MASK]})
    pad = net.config.get("pad")
    if pad is not None and not isinstance(net, Converted):
        return Entrance(
            {IDS: example, MASK: ones}, lambda x: x[IDS].masked_fill(x[MASK] == 0, int(pad))
        )
    return Entrance({IDS: example}, _only(IDS))


def _only(name: str) -> Callable[[Mapping[str, Tensor]], Any]:
    return lambda given: given[name]


def _raw_pictures(net: Network, example: Tensor) -> Entrance:
    said = net.preprocess
    if not said or "mean" not in said:
        raise ConfigError(
            "raw export puts the preparation of pictures into the graph, and this network records "
            "none: set net.preprocess = ac.data.ImageInput(mean=.., std=..).to_json()"
        )
    prepare = ImageInput.of(said)
    shape = example.shape[0], *example.shape[2:], example.shape[1]
    pixels = torch.arange(shape[1] * shape[2] * shape[3] * shape[0]) * 37 % 256

    def make(given: Mapping[str, Tensor]) -> Tensor:
        return prepare(given[IMAGES].permute(0, 3, 1, 2)).to(example.dtype)

    return Entrance({IMAGES: pixels.byte().view(shape)}, make)


# -- the parts of a network ------------------------------------------------------------------------


class NetworkParts(Protocol):
    """A network whose stem, layers and head can be called apart."""

    net: Network
    #: Whether the head needs the user's arrays beside the readout.
    head_reads_inputs: bool

    def head_key(self, depth: int) -> int:
        """Return a number that depths with the same head share."""
        ...

    def start(self, x: Any) -> tuple[Any, Any]:
        """Return the connectivity's state at depth 0, and what every layer takes besides."""
        ...

    def onwards(self, state: Any, context: Any, first: int, depth: int) -> Any:
        """Return the state at ``depth``, continued from the one at depth ``first``."""
        ...

    def readout(self, state: Any) -> Tensor:
        """Return what the head reads."""
        ...

    def head(self, depth: int, readout: Tensor, x: Any) -> Tensor:
        """Return the logits of a readout at ``depth``."""
        ...


def parts_of(net: Network) -> NetworkParts:
    """Return the parts of ``net``.

    Raises:
        ExportError: The network has several trunks.
    """
    if len(net.trunks) > 1:
        raise ExportError(
            f"a stage-wise network has {len(net.trunks)} lists of layers and cannot be split at "
            "depths: cut it, and export each depth as one graph (NAME.onnx)"
        )
    return _Hosted(net) if isinstance(net, Converted) else _Own(net)


class _Own:
    """The parts of one of our own networks."""

    head_reads_inputs = False

    def __init__(self, net: Network) -> None:
        self.net = net

    def head_key(self, depth: int) -> int:
        return id(self.net.head_at(depth))

    def start(self, x: Any) -> tuple[Any, Any]:
        begun = self.net.begin(x)
        return begun.inner, begun.context

    def onwards(self, state: Any, context: Any, first: int, depth: int) -> Any:
        *_, last = self.net.onwards(Pass(first, state, context), first, depth)
        return last.inner

    def readout(self, state: Any) -> Tensor:
        return self.net.trunk.connectivity.readout(state)

    def head(self, depth: int, readout: Tensor, x: Any) -> Tensor:
        return cast(Tensor, self.net.head_at(depth)(readout))


class _Hosted:
    """The parts of a converted network: its host's own code around our trunk."""

    head_reads_inputs = True

    def __init__(self, net: Converted) -> None:
        self.net: Network = net
        self._net = net

    def head_key(self, depth: int) -> int:
        return 0

    def start(self, x: Any) -> tuple[Any, Any]:
        begun = self._net.begin(x)
        return begun.inner, begun.context

    def onwards(self, state: Any, context: Any, first: int, depth: int) -> Any:
        *_, last = self._net.trunk.onwards(state, first, depth, **context)
        return last

    def readout(self, state: Any) -> Tensor:
        return self._net.trunk.connectivity.readout(state)

    def head(self, depth: int, readout: Tensor, x: Any) -> Tensor:
        return self._net.head(readout, x)


# -- what passes between segments ------------------------------------------------------------------


class Packing:
    """The tensors in a nested value, by name; the rest of it is kept as it was in an example.

    Args:
        value: The example.
        prefix: Beginning of the names.

    Example:
        >>> x = torch.zeros(2)
        >>> packing = Packing((x, None, {"again": x, "flag": True}), "state.")
        >>> packing.names
        ['state.0']
        >>> packing.unpack({"state.0": torch.ones(1)})
        (tensor([1.]), None, {'again': tensor([1.]), 'flag': True})
    """

    def __init__(self, value: Any, prefix: str) -> None:
        leaves, self.spec = pytree.tree_flatten(value)
        first: dict[int, int] = {}
        self.places: list[int] = []  # of one leaf for each name
        self.slots: list[int | None] = []  # number of the name of each leaf
        for place, leaf in enumerate(leaves):
            if not isinstance(leaf, Tensor):
                self.slots.append(None)
                continue
            if id(leaf) not in first:
                first[id(leaf)] = len(self.places)
                self.places.append(place)
            self.slots.append(first[id(leaf)])
        self.rest = [None if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        self.names = [f"{prefix}{number}" for number in range(len(self.places))]

    def pack(self, value: Any) -> Named:
        """Return the tensors of another value of the same structure."""
        leaves = pytree.tree_leaves(value)
        return {name: leaves[place] for name, place in zip(self.names, self.places, strict=True)}

    def unpack(self, named: Mapping[str, Tensor]) -> Any:
        """Return the value with these tensors."""
        leaves = [
            rest if slot is None else named[self.names[slot]]
            for slot, rest in zip(self.slots, self.rest, strict=True)
        ]
        return pytree.tree_unflatten(leaves, self.spec)


# -- the modules -----------------------------------------------------------------------------------


class Segment(nn.Module):
    """The layers from one depth to another; the first segment also has the stem.

    Args:
        parts: The network.
        entrance: The user's arrays.
        first, depth: Depths before and after.
        state: Packing of the state before; None for the first segment.
        context: Packing of what every layer takes besides; for the first segment None.
    """

    def __init__(
        self,
        parts: NetworkParts,
        entrance: Entrance,
        first: int,
        depth: int,
        state: Packing | None = None,
        context: Packing | None = None,
    ) -> None:
        super().__init__()
        self.net = parts.net  # a child, so that its weights are found
        self.parts, self.entrance, self.first, self.depth = parts, entrance, first, depth
        self.state, self.context = state, context
        self.after: Packing | None = None
        self.carried: Packing | None = None

    def forward(self, given: Named) -> Named:
        state, context = self._before(given)
        state = self.parts.onwards(state, context, self.first, self.depth)
        if self.after is None:  # the first call, which shows the structure
            self.after = Packing(state, f"state{self.depth}.")
            self.carried = Packing(context, "context.") if self.state is None else None
        out = {READOUT: self.parts.readout(state), **self.after.pack(state)}
        if self.carried is not None:
            out |= self.carried.pack(context)
        # an output must be computed here: a graph cannot return one of its inputs, or one tensor
        # under two names
        return {name: tensor.clone() for name, tensor in out.items()}

    def _before(self, given: Named) -> tuple[Any, Any]:
        if self.state is None or self.context is None:
            return self.parts.start(self.entrance.make(given))
        return self.state.unpack(given), self.context.unpack(given)


class Head(nn.Module):
    """The head: from the readout of any depth to logits, and to probabilities if asked.

    Args:
        parts: The network.
        entrance: The user's arrays, which a host's head may read as well.
        depth: A depth that it reads.
        raw: Whether it also returns probabilities.
    """

    def __init__(self, parts: NetworkParts, entrance: Entrance, depth: int, raw: bool) -> None:
        super().__init__()
        self.net = parts.net
        self.parts, self.entrance, self.depth, self.raw = parts, entrance, depth, raw

    def forward(self, given: Named) -> Named:
        x = self.entrance.make(given) if self.parts.head_reads_inputs else None
        return outputs(self.net, self.parts.head(self.depth, given[READOUT], x), self.raw)


class Whole(nn.Module):
    """A whole network as one graph."""

    def __init__(self, net: Network, entrance: Entrance, raw: bool) -> None:
        super().__init__()
        self.net, self.entrance, self.raw = net, entrance, raw

    def forward(self, given: Named) -> Named:
        return outputs(self.net, self.net(self.entrance.make(given)), self.raw)


def outputs(net: Network, logits: Tensor, raw: bool) -> Named:
    """Return the outputs by name; ``raw`` adds probabilities (B, K) to the logits (B, K)."""
    if not raw:
        return {LOGITS: logits}
    objective = objective_of(net)
    if isinstance(objective, Regression):
        return {LOGITS: logits}
    several = isinstance(objective, MultiLabel)
    shares = logits.sigmoid() if several else logits.softmax(-1)
    return {LOGITS: logits, PROBABILITIES: shares}
