"""Pre-flight checks of a run on two examples, before anything is written."""

from __future__ import annotations

from autocompress.depth import SelectConfig
from autocompress.errors import AutoCompressError, ShapeError
from autocompress.measurement.modes import evaluating
from autocompress.network import Network
from autocompress.training.inputs import Data, network_batches

__all__ = ["check_choice", "check_takes"]


def check_takes(net: Network, data: Data) -> None:
    """Raise ShapeError unless ``net`` takes the inputs of ``data``.

    Networks of this library raise it themselves; those of other libraries fail in their own ways.
    """
    inputs, _ = next(network_batches(net, data, 2))
    try:
        with evaluating(net):
            net(inputs)
    except AutoCompressError:
        raise
    except Exception as error:  # e.g. an assertion, a convolution's error, a failed unpacking
        shape = ", ".join(str(size) for size in getattr(inputs, "shape", ())[1:])
        what = f"inputs of shape (batch, {shape})" if shape else "these inputs"
        name = net.config.get("source", net.model_name)
        raise ShapeError(
            f"{name} does not take {what} ({error}): data.image_size and data.channels convert "
            "images, model.arguments change the network"
        ) from error


def check_choice(net: Network, select: SelectConfig) -> None:
    """Raise DepthError if the rule keeps more layers than ``net`` has."""
    if select.layers is not None:
        net.check_depth(select.layers)
