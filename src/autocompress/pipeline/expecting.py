"""Say before training what a run will take, and whether its data can carry the rule."""

from __future__ import annotations

from autocompress.connectivity import as_name, make_rule
from autocompress.data import Splits
from autocompress.errors import AutoCompressError, ConfigError
from autocompress.network import Network
from autocompress.pipeline.config import RunConfig
from autocompress.pipeline.starts import starting_rule
from autocompress.pipeline.stepwise import ladder
from autocompress.printing import counted, duration, figures
from autocompress.training.estimating import estimate

__all__ = ["doubt_about_weights", "doubts_about", "expectation", "faster_by", "trainings"]

_MIB = 2**20
#: Seconds of training from which compilation, which takes about one minute, is worth a word.
_WORTH_COMPILING = 180.0


def trainings(config: RunConfig, verb: str, depth: int) -> list[int]:
    """Return the epochs of every training of a run; the last ones may turn out to be needless.

    Args:
        config: Settings of the run, resolved.
        verb: ``compress`` or ``train``.
        depth: Number of layers of the network.
    """
    own = [config.fit.epochs]
    if verb != "compress":
        return own
    heal = config.heal or 0
    rival = (config.control or config.fit).epochs
    steps = (len(ladder(depth)) if config.stepwise else 1) if heal else 0
    rivals = [rival, rival + steps * heal] if config.rivals else []
    other = [config.fit.epochs + steps * heal] if config.stepwise and config.cut_first else []
    return own + [heal] * steps + other + rivals


def expectation(net: Network, data: Splits, config: RunConfig, verb: str) -> str:
    """Return a sentence about the time and memory that the trainings of a run take.

    It comes from a few steps that change nothing.

    Args:
        net: The network, on the device of its training.
        data: Data of the run.
        config: Settings of the run, resolved.
        verb: ``compress`` or ``train``.

    Returns:
        The sentence; empty if no step could be made, for which the training has its own message.
    """
    try:
        found = estimate(net, data.train, data.validation, config.fit, config.augment)
    except (AutoCompressError, RuntimeError):
        return ""
    epochs = trainings(config, verb, net.depth)
    steps = found.steps // config.fit.epochs
    seconds = found.seconds / config.fit.epochs * sum(epochs)
    total, device = duration(seconds), next(net.parameters()).device.type
    memory = f"{found.bytes / _MIB:,.0f} MiB" if found.bytes > 10 * _MIB else "less than 10 MiB"
    count = "1 training" if len(epochs) == 1 else f"at most {len(epochs)} trainings"
    work = f"{counted(sum(epochs), 'epoch')} of {counted(steps, 'step')}"
    after = ""
    if verb == "compress":
        after = "; measuring, exporting and reporting come on top, often one or two minutes"
    return (
        f"estimate: about {total} for {count} ({work}, "
        f"{figures(1000 * found.step)} ms each) and {memory} of memory beside the data and "
        f"PyTorch{after}{faster_by(device, config.fit.compile, seconds)}"
    )


def faster_by(device: str, compiled: str, seconds: float) -> str:
    """Return advice to compile a long training on a GPU; empty if there is none.

    A GPU waits for the CPU to launch the kernels of a small network: on an H100, CUDA graphs make a
    step of the paper's Mixer 4.6 times faster (docs/gpu.md).

    Args:
        device: Type of the device, e.g. ``cuda``.
        compiled: Mode of compilation, ``fit.compile``.
        seconds: Expected time of all trainings.

    Example:
        >>> faster_by("cuda", "off", 600.0)
        '; --fit.compile reduce-overhead may be several times faster on this GPU'
        >>> faster_by("cpu", "off", 600.0)
        ''
    """
    if device != "cuda" or compiled != "off" or seconds < _WORTH_COMPILING:
        return ""
    return "; --fit.compile reduce-overhead may be several times faster on this GPU"


def doubt_about_weights(config: RunConfig, depth: int) -> str:
    """Return that initial weights are trained with another connectivity than theirs, if they are.

    A path begins with residual connections, so it suits the weights of a residual network.

    Args:
        config: Settings of the run, resolved.
        depth: Number of layers of the network.
    """
    init, named = config.model.init, config.model.rule()
    if init is None:
        return ""
    path = config.fit.path is not None
    try:
        own = make_rule(starting_rule(init, config.model.depth), depth)
        rule = make_rule(named, depth)
    except ConfigError:  # a stage-wise network has a rule for each stage
        return ""
    if own.is_residual() if path else own.to_config() == rule.to_config():
        return ""
    other = "a path begins residual" if path else f"model.connectivity names {as_name(named)}"
    return (
        f"{init} holds the weights of another connectivity ({as_name(own.to_config())}), and "
        f"{other}, with which they may know little; leave it out to keep theirs"
    )


def doubts_about(data: Splits, config: RunConfig) -> list[str]:
    """Return why these data are too few for the rule that chooses the depth, as sentences.

    Example:
        >>> from autocompress.data import DataConfig, load_data
        >>> data = load_data(DataConfig(train_limit=200))
        >>> doubts_about(data, RunConfig())[0][:65]
        'one of 40 validation examples is 2.5 points, more than the tolera'
        >>> doubts_about(load_data(), RunConfig())
        []
    """
    slack, count = config.select.slack, len(data.validation)
    if slack is None or data.metric != "accuracy" or "classes" not in data.description:
        return []
    if not data.description["classes"] or 1 / count <= slack:
        return []
    needed = round(1 / slack) if slack else 0
    more = f"with {needed:,} validation examples one of them is the tolerance" if needed else ""
    wider = f"--select.tolerance {2 / count:.2g} accepts two of them"
    return [
        f"one of {count} validation examples is {100 / count:.3g} points, more than the tolerance "
        f"of {100 * slack:.2g} points by which the depth is chosen, so a single example decides: "
        + "; ".join(each for each in (more, wider, "a larger --data.validation helps") if each)
    ]
