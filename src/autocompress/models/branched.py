"""A network with its own heads at some depths (Teerapittayanon et al., BranchyNet, 2016)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from torch import Tensor, nn
from typing_extensions import Self

from autocompress.connectivity import Spec
from autocompress.errors import ConfigError, DepthError
from autocompress.network import Network, build, register_model

__all__ = ["Branched"]


class BranchHead(nn.Module):
    """A head from a readout (B, N, D) or (B, D) to logits (B, K): norm, mean over tokens, MLP."""

    def __init__(self, width: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, classes))

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        return cast(Tensor, self.mlp(x if x.ndim == 2 else x.flatten(1, -2).mean(1)))


@register_model("branched")
class Branched(Network):
    """One of the reference networks, with a separate MLP head at each of some depths.

    Each of these depths is read by its own head, all others by the shared head. After training
    with a loss at each of them (paper, appendix H: ``DistilConfig(teacher="labels",
    at={4: 0.8, 8: 0.6, 12: 0.4})`` in a network of more than 12 layers) examples may exit there:
    ``ac.early_exit(net, x, 0.7, depths=net.branches)``.

    Args:
        base: Name of the network (``"mixer"``).
        arguments: Arguments of its constructor, except depth and connectivity.
        branches: Depths with their own head; those above ``depth`` are dropped.
        hidden: Hidden width of these heads; None uses the network's width.
        depth: Number of blocks L.
        connectivity: Rule between the layers.

    Raises:
        DepthError: A branch is below depth 1.
        ConfigError: The network has no width or no classes.

    Example:
        >>> import torch, autocompress as ac
        >>> arguments = {"width": 8, "classes": 3, "image_size": 4, "patch_size": 2, "channels": 1}
        >>> net = ac.models.Branched("mixer", arguments, branches=[2], depth=4)
        >>> ac.early_exit(net, torch.randn(5, 1, 4, 4), 9.9, depths=net.branches).depths.tolist()
        [2, 2, 2, 2, 2]
    """

    tasks = ()  # configs cannot name its base and branches

    def __init__(
        self,
        base: str,
        arguments: Mapping[str, Any],
        branches: Sequence[int],
        hidden: int | None = None,
        depth: int = 12,
        connectivity: Spec = "acn",
    ) -> None:
        net = build(base, **arguments, depth=depth, connectivity=connectivity)
        width, classes = net.config.get("width"), net.config.get("classes")
        if width is None or classes is None:
            raise ConfigError(f"a {base!r} has no width or no classes for heads of its own")
        if any(at < 1 for at in branches):
            raise DepthError(min(branches), depth)
        super().__init__(
            stem=net.stem,
            trunk=net.trunk,
            head=nn.Identity() if depth in branches else net.head,
            settled={
                "arguments": {
                    key: value
                    for key, value in net.config.items()
                    if key not in ("depth", "connectivity")
                },
                "branches": sorted(branches),
            },
        )
        self.heads = nn.ModuleDict(
            {
                str(at): BranchHead(width, width if hidden is None else hidden, classes)
                for at in sorted(branches)
                if at <= depth
            }
        )

    @property
    def branches(self) -> list[int]:
        """Return the depths with their own head."""
        return [int(at) for at in self.heads]

    @property
    def classes(self) -> int | None:
        return cast(int, self.config["arguments"]["classes"])

    def example(self, batch: int = 2) -> Tensor:
        """Return noise of this network's input shape."""
        arguments, small = self.config["arguments"], {"depth": 0, "connectivity": "acn"}
        return build(self.config["base"], **arguments, **small).example(batch).to(self.device)

    @property
    def device(self) -> Any:
        """Return the device of the weights."""
        return next(self.parameters()).device

    def head_at(self, depth: int) -> nn.Module:
        """Return the head that reads depth k."""
        heads: dict[str, nn.Module] = dict(self.heads.items())
        return heads.get(str(depth), self.head)

    def only(self, layers: Sequence[int]) -> Self:
        depth = len(layers)
        if list(layers) != list(range(depth)):
            raise ConfigError("heads of single depths need the layers below them: cut to the first")
        small = super().only(layers)
        below = {str(at): self.heads[str(at)] for at in self.branches if at <= depth}
        small._modules["heads"] = nn.ModuleDict(below)
        if str(depth) in below:
            small._modules["head"] = nn.Identity()
        return small
