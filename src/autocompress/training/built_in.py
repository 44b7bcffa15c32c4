"""The hooks requested by a :class:`FitConfig`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from autocompress.network import Network
from autocompress.training.config import FitConfig
from autocompress.training.hooks import Hook
from autocompress.training.layer_dropout import LayerDropout

__all__ = ["hooks_of"]


def hooks_of(config: FitConfig, net: Network, copies: Sequence[Network]) -> Iterator[Hook]:
    """Yield the hooks of ``config`` that need nothing but the network.

    Args:
        config: Settings of the training.
        net: The network, on its device.
        copies: Networks that follow it, such as the average of its weights.
    """
    if config.layer_drop:
        yield LayerDropout(config.layer_drop, config.layer_drop_grows)
    for options in (config.grow, config.cut, config.live, *config.hooks.values()):
        if options is not None:
            yield options.hook(net, copies)
