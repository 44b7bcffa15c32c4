"""Pre-flight checks of a run on two examples, before anything is written."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from autocompress.checks import rows_of
from autocompress.data import Splits, TextSplits, read_tokenizer
from autocompress.data.tokenizer import has_tokenizer
from autocompress.depth import SelectConfig
from autocompress.depth.select import TIMED_BATCH, check_budget
from autocompress.errors import AutoCompressError, ConfigError, ShapeError
from autocompress.measurement import depth_costs
from autocompress.measurement.modes import device_of, evaluating
from autocompress.measurement.timing import compare
from autocompress.network import Network
from autocompress.pipeline.building import build_network
from autocompress.pipeline.config import RunConfig
from autocompress.pipeline.loading import data_for
from autocompress.training.inputs import Data, network_batches

__all__ = ["check_choice", "check_has_layers", "check_rivals", "check_takes"]


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


def check_choice(net: Network, select: SelectConfig, data: Data) -> None:
    """Raise an error if no depth of ``net`` can fulfil the rule, which is known before it trains.

    Raises:
        DepthError: The rule keeps more layers than ``net`` has.
        ConfigError: The budget does not even pay for the stem and the head.
    """
    if select.layers is not None:
        net.check_depth(select.layers)
    if select.parameters is not None:
        costs = [cost.parameters for cost in depth_costs(net)]
        check_budget(costs, select.parameters, "parameters")
    if select.flops is not None:
        inputs, _ = next(network_batches(net, data, 2))
        with evaluating(net):
            flops = [float(cost.flops or 0) for cost in depth_costs(net, inputs)]
        check_budget(flops, select.flops, "FLOPs per example")
    if select.milliseconds is not None:
        inputs, _ = next(network_batches(net, data, TIMED_BATCH))
        batch = rows_of(inputs, range(TIMED_BATCH))
        with evaluating(net):
            calls = {str(k): partial(net, batch, depth=k) for k in (0, net.depth)}
            times = [timing.median_ms for timing in compare(calls, device_of(net)).values()]
        check_budget(times, select.milliseconds, "ms per batch")


def check_has_layers(net: Network) -> None:
    """Raise ConfigError for a network without layers, in which there is nothing to choose."""
    if net.depth == 0:
        raise ConfigError(
            "a network of 0 layers is its stem and head alone: model.depth must be 1 or more"
        )


def check_rivals(config: RunConfig, data: Splits, depth: int) -> None:
    """Raise ConfigError if the rivals cannot start from ``control_init``.

    Args:
        config: Settings of the run, resolved.
        data: Data of the run.
        depth: Number of layers of the network.
    """
    start = config.control_init
    if start is None or not config.rivals:
        return
    try:
        if isinstance(data, TextSplits):
            own = data_for(replace(config.data, tokenizer=None), start).tokenizer
            if own is not None and has_tokenizer(own):
                _check_words(read_tokenizer(own).core, data.tokenizer.core)
        rival = build_network(config.rival(depth).model, data, config.fit.seed)
        check_takes(rival, data.validation)
    except AutoCompressError as error:
        raise ConfigError(f"the rivals cannot start from control_init {start}: {error}") from error


def _check_words(theirs: str, ours: str) -> None:
    if theirs != ours:
        raise ConfigError(
            "it has another tokenizer than the network, so the same token means another word to "
            "it; take a network that was trained with the same one"
        )
