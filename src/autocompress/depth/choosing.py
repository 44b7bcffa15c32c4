"""``choose_layers``: which layers of a residual network to keep, if not the first ones."""

from __future__ import annotations

from typing import Literal, get_args

from autocompress.checks import check_network
from autocompress.errors import ConfigError, UnknownNameError
from autocompress.network import Network
from autocompress.training.evaluate import scores_by_depth
from autocompress.training.inputs import Data

__all__ = ["Choice", "choose_layers"]

Choice = Literal["first", "spread", "loss"]


def choose_layers(
    net: Network, count: int, data: Data | None = None, *, by: Choice = "loss"
) -> list[int]:
    """Return the indices (from 0, ascending) of the layers to keep of a residual network.

    ``loss`` removes one layer after another, each time the one whose removal raises the loss on
    ``data`` least. To remove r of L layers this takes about r L passes over the data, so a few
    hundred examples are enough for a deep network. The network is unchanged: give the result to
    :func:`cut`.

    Args:
        net: A residual network.
        count: Number of layers to keep.
        data: Data of the decision, for ``loss``: validation data, never the test data.
        by: ``loss``; ``spread``, layers at equal distances from the first on, as in DistilBERT
            (Sanh et al., arXiv 1910.01108); or ``first``.

    Raises:
        DepthError: The network has fewer layers.
        UnknownNameError: There is no such choice.
        ConfigError: ``loss`` has no data, or the network is not residual.

    Example:
        >>> import autocompress as ac
        >>> net = ac.models.MLP(depth=6, width=8, connectivity="residual")
        >>> ac.choose_layers(net, 3, by="spread")
        [0, 2, 4]
    """
    check_network(net, "choose_layers")
    net.check_depth(count)
    if by not in get_args(Choice):
        raise UnknownNameError("choice of layers", by, get_args(Choice))
    if by == "first":
        return list(range(count))
    if by == "spread":
        kept = [place * net.depth // count for place in range(count)]
        net.only(kept)  # raises if the rule does not allow it
        return kept
    if data is None:
        raise ConfigError("layers are chosen by their loss on data: give validation data")
    kept = list(range(net.depth))
    while len(kept) > count:
        rest = [[*kept[:place], *kept[place + 1 :]] for place in range(len(kept))]
        kept = min(rest, key=lambda layers: _loss(net.only(layers), data))
    return kept


def _loss(net: Network, data: Data) -> float:
    """Return the mean loss at full depth."""
    found = scores_by_depth(net, data, read=lambda net, x: iter([net(x)])).nats
    return float("inf") if found is None else float(found.double().mean())
