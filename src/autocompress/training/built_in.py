"""The hooks requested by a :class:`FitConfig`."""

from __future__ import annotations

from collections.abc import Iterator

from autocompress.network import Network
from autocompress.training.average import Averaging
from autocompress.training.config import FitConfig
from autocompress.training.cutting import CutInRun
from autocompress.training.growth import Growth
from autocompress.training.hooks import Hook
from autocompress.training.layer_dropout import LayerDropout
from autocompress.training.live import LiveDepth

__all__ = ["built_in_hooks"]


def built_in_hooks(config: FitConfig, net: Network, average: Averaging | None) -> Iterator[Hook]:
    """Yield the stateless hooks of ``config``, in the order in which they are called.

    Args:
        config: Settings of the training.
        net: The network, on its device.
        average: Hook that averages the weights, if there is one.
    """
    if config.grow is not None:
        yield Growth(config.grow, [] if average is None else [average.network])
    if config.layer_drop:
        yield LayerDropout(config.layer_drop, config.layer_drop_grows)
    if config.cut is not None:
        yield CutInRun(config.cut)
    if config.live is not None:
        yield LiveDepth(config.live)
