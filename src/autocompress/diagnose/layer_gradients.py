"""Exact direct and mediated gradients of every layer, by two backward passes on one batch.

The full gradient of a layer is a sum of two (paper, section 2). Its direct part comes from the head
along skips and long connections alone, through the map of no later layer; the mediated part is the
rest. A second backward pass, in which the input of every block is detached except for the skip past
the block, gives the direct part; the mediated part is the difference.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from typing import Any, cast

import torch
from rich.table import Table
from torch import Tensor, nn

from autocompress.bounds import Within
from autocompress.checks import blame, check_network, takes
from autocompress.connectivity import Gate
from autocompress.depth import DepthCurve
from autocompress.errors import DataError
from autocompress.measurement.modes import device_of, in_eval_mode, learning
from autocompress.network import Network
from autocompress.printing import as_text
from autocompress.training.inputs import Data, Normalise, batches, check_data, drawn
from autocompress.training.intake import Intake
from autocompress.training.objective import IGNORED, Objective
from autocompress.training.objectives import objective_of
from autocompress.training.randomness import seeded_apart
from autocompress.trunk import Branch, Trunk

__all__ = ["BATCH", "LayerGradients", "gradients", "increments", "one_batch"]

#: What a number of examples in a diagnosed batch may be.
BATCH = Within(1, words="at least 1")


@dataclass(frozen=True)
class LayerGradients:
    """L2 norms of each layer's gradient over all its weights.

    Attributes:
        full: Norms of the whole gradient.
        direct: Norms of the part that arrives along skips and long connections alone.
        mediated: Norms of the rest, the difference of the two vectors (norms do not add up).
        cosine: Cosine between direct and full gradient; 0 if one of them is zero.
    """

    full: list[float]
    direct: list[float]
    mediated: list[float]
    cosine: list[float]

    @property
    def share(self) -> list[float]:
        """Return the ratio DG / FG of the norms; 0 where there is no gradient at all."""
        return [d / f if f else 0.0 for d, f in zip(self.direct, self.full, strict=True)]

    def to_json(self) -> dict[str, list[float]]:
        """Return lists with one entry per layer, from the first."""
        return asdict(self) | {"share": self.share}

    def __str__(self) -> str:
        table = Table(title="Gradient norms by layer")
        for heading in ("layer", "full", "direct", "mediated", "direct / full", "cosine"):
            table.add_column(heading, justify="right")
        columns = (self.full, self.direct, self.mediated, self.share, self.cosine)
        for layer, row in enumerate(zip(*columns, strict=True), 1):
            sizes, ratios = row[:3], row[3:]
            table.add_row(str(layer), *(f"{v:.3g}" for v in sizes), *(f"{v:.2f}" for v in ratios))
        return as_text(table)

    def plot(self) -> Any:
        """Return a matplotlib Figure of the three norms by layer, on a logarithmic scale."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6, 4), layout="constrained")
        axes = figure.subplots()
        layers = range(1, len(self.full) + 1)
        for name in ("full", "direct", "mediated"):
            norms = [value or float("nan") for value in getattr(self, name)]
            axes.plot(layers, norms, marker="o", label=name)
        axes.set_yscale("log")
        axes.set_xlabel("layer")
        axes.set_ylabel("gradient norm")
        axes.legend()
        axes.grid(alpha=0.3)
        return figure


def gradients(net: Network, data: Data | tuple[Any, Tensor], *, batch: int = 256) -> LayerGradients:
    """Return direct, mediated and full gradient of every layer on one batch.

    The loss is that of the network's objective, without label smoothing. Frozen weights have no
    gradient; a completely frozen layer has norms of 0. The network runs in eval mode (dropout would
    differ between the two passes) and is left unchanged, including its ``.grad``.

    In a block with a norm after its sum, or with an end stage, no skip leads past the block: all of
    its gradient counts as mediated. This also applies to converted networks, of which only the long
    connections count as direct.

    Args:
        net: The network.
        data: Data from which a batch is drawn, always the same one; or a batch itself, (inputs as
            the network takes them, labels).
        batch: Number of examples; a DataLoader gives its own first batch.

    Raises:
        ConfigError: ``batch`` is below 1.
        DataError: The data are empty, labels or inputs do not fit, or no example has a label.
        NotFiniteError: The outputs are not finite.

    Example:
        >>> import autocompress as ac
        >>> data = torch.utils.data.TensorDataset(torch.randn(9, 1, 2, 2), torch.arange(9) % 3)
        >>> net = ac.models.MLP(depth=3, width=8, classes=3, image_size=2, channels=1)
        >>> found = ac.gradients(net, data)
        >>> len(found.full), found.share[-1]  # nothing comes after the last layer
        (3, 1.0)
    """
    check_network(net, "gradients")
    inputs, labels = data if isinstance(data, tuple) else one_batch(net, data, batch)
    objective = objective_of(net)
    weights = [
        [p for p in block.parameters() if p.requires_grad]
        for trunk in net.trunks
        for block in trunk.blocks
    ]
    with learning(), in_eval_mode(net):
        with takes(net, inputs):
            logits = net(inputs)
        if not bool(torch.isfinite(logits).all()):
            blame(net, inputs, "diagnosed")
        targets = objective.targets(labels, logits.shape, "diagnosed")
        if not len(objective.wanted(targets).targets):
            raise DataError(f"every label of the diagnosed batch is {IGNORED}: there is no loss")
        whole = _by_layer(objective, logits, targets, weights)
        direct = _by_layer(objective, direct_pass(net)(inputs), targets, weights)
    pairs = list(zip(whole, direct, strict=True))
    return LayerGradients(
        full=[_norm(full) for full in whole],
        direct=[_norm(straight) for straight in direct],
        mediated=[_norm(full - straight) for full, straight in pairs],
        cosine=[_cosine(full, straight) for full, straight in pairs],
    )


def increments(curve: DepthCurve) -> list[float]:
    """Return the score that each layer adds: score at depth k minus that at k - 1, k = 1..L.

    Example:
        >>> increments(DepthCurve(torch.tensor([[False, True, True]]), [1, 2, 3], [1, 2, 3]))
        [1.0, 0.0]
    """
    return [after - before for before, after in pairwise(curve.scores)]


def one_batch(net: Network, data: Data, size: int) -> tuple[Any, Tensor]:
    """Return (inputs, labels) as ``net`` takes them: always the same examples of the same data."""
    BATCH.check("batch", size)
    check_data(data, net.classes, "diagnosed")
    order = drawn(data, size, seed=0)
    device = device_of(net)
    intake = Intake(net, "diagnosed")
    with torch.inference_mode(False), seeded_apart(data):  # a DataLoader shuffles, a set augments
        images, labels = next(batches(data, size, device, order, intake))
        return Normalise(net.preprocess, device).bytes(images), labels


def _by_layer(
    objective: Objective, logits: Tensor, targets: Tensor, weights: list[list[nn.Parameter]]
) -> list[Tensor]:
    """Return the gradient of the loss by each layer's weights, as one vector per layer.

    A layer whose weights are all frozen has the vector (0).
    """
    loss = objective.loss(logits, targets)
    flat = [p for layer in weights for p in layer]
    reached = flat and loss.requires_grad
    found = iter(
        torch.autograd.grad(loss, flat, allow_unused=True) if reached else [None] * len(flat)
    )
    grads = [
        [torch.zeros_like(p) if (g := next(found)) is None else g for p in layer]
        for layer in weights
    ]
    nothing = [loss.detach().new_zeros(1)]
    return [torch.cat([g.flatten().double() for g in layer or nothing]) for layer in grads]


def direct_pass(net: Network) -> Callable[[Any], Tensor]:
    """Return the network's forward pass with only the direct paths of the gradient."""
    if any(type(trunk) is not Trunk for trunk in net.trunks):  # layers called by a host
        return partial(net, mediated=0.0)
    view = copy.copy(net)
    view._modules = dict(net._modules)
    blocks = [_Past(block) for block in net.trunk.blocks]
    view._modules["trunk"] = Trunk(blocks, net.trunk.connectivity)
    return view


class _Past(nn.Module):
    """A block whose input receives a gradient only from the skip past the block."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block
        branches = list(cast(Iterable[Any], getattr(block, "branches", ())))
        self.count = len(branches)
        self.skips = getattr(block, "end", None) is None and all(
            isinstance(branch, Branch) and isinstance(branch.post, nn.Identity)
            for branch in branches
        )

    def forward(
        self, x: Tensor, short: Gate = 1.0, inner: Gate | None = None, **context: Any
    ) -> Tensor:
        still = x.detach()
        out = cast(Tensor, self.block(still, short, inner, **context))
        past = short * (short if inner is None else inner) ** (self.count - 1)
        if not self.skips or (isinstance(past, float) and past == 0.0):
            return out
        return out + past * (x - still)  # x - still is 0, so the output does not change


def _norm(vector: Tensor) -> float:
    return float(vector.norm())


def _cosine(a: Tensor, b: Tensor) -> float:
    size = a.norm() * b.norm()
    return float(a @ b / size) if size > 0 else 0.0
