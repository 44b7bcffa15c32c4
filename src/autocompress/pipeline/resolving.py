"""Settle what a run's config leaves open, once, before anything else is done.

The resulting config is complete, so config.yaml repeats the run on any machine.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

from autocompress.errors import ConfigError
from autocompress.pipeline.config import ModelConfig, RunConfig
from autocompress.pipeline.paths import with_absolute_paths
from autocompress.pipeline.starts import starting_rule, starts_residual
from autocompress.pipeline.stream import StreamRun
from autocompress.training import DistilConfig, find_path

__all__ = ["check_resolved", "resolve"]

R = TypeVar("R", bound=RunConfig | StreamRun)


def resolve(run: R) -> R:
    """Return the run with everything settled that it leaves open; a settled run stays equal.

    - Local data, tokenizer and weights: their absolute paths, for any working directory.
    - ``model.connectivity``: if none is named, nor a path, ``residual`` for new weights (``acn`` in
      a stream), and for existing ones that which their network has; with a path ``acn``.
    - ``fit.distil``: in such a run that is not stepwise, full depth teaches one shallower depth in
      each step of the second half, unless other settings are given (docs/choosing.md). A compiled
      run teaches all of them in each step, as each depth would be a graph of its own.
    - ``stepwise``: on if neither connectivity, path nor a rule other than a tolerance is named and
      training starts from a residual network's weights.
    - ``cut_first``: on if the run is stepwise and training starts from existing weights.
    - ``fit.path``: the one that ``path`` names.
    - ``heal``: half of the epochs if training starts from existing weights, otherwise 0.
    - ``rivals``: off if they would start from weights that are not a residual network's, since no
      fair comparison is possible.

    Raises:
        ConfigError: The cut network is to be taught, and is not trained; ``stepwise`` has no epochs
            for its steps, or another rule than a tolerance; or ``cut_first`` has no steps.
        CheckpointError: The initial weights cannot be read, or do not belong to a network.
        UnknownNameError: There is no such path.

    Example:
        >>> from autocompress.pipeline import RunConfig
        >>> run = resolve(RunConfig())
        >>> run.heal, run.model.connectivity, run.fit.distil.start, run == resolve(run)
        (0, 'residual', 0.5, True)
    """
    run = with_absolute_paths(run)
    if isinstance(run, StreamRun):
        new = run.model.init is None
        return replace(run, model=_named(run.model, "acn" if new else _own_rule(run.model)))
    fit, heal, start = run.fit, run.heal, run.model.init
    free = run.model.connectivity is None and run.path is None and fit.path is None
    stepwise = run.stepwise
    tolerant = run.select.slack is not None and run.select.confidence is None
    if stepwise and (heal == 0 or not tolerant):
        raise ConfigError(
            "stepwise trains for heal epochs after each step and goes by select.tolerance: "
            + ("heal must be 1 or more" if heal == 0 else "name no other rule of select")
            + ", or leave stepwise out"
        )
    rule = _own_rule(run.model) if free else "acn"
    residual = free and rule == "residual"
    if stepwise is None:
        stepwise = residual and tolerant and start is not None and heal != 0
    model = _named(run.model, rule)
    if residual and not stepwise and fit.distil is None:
        fit = replace(fit, distil=DistilConfig.second_half(at_once=fit.compile != "off"))
    if fit.path is None:
        fit = replace(fit, path=find_path(run.path))
    if heal is None:
        heal = 0 if start is None and not stepwise else max(1, fit.epochs // 2)
    if run.teach and not heal:
        raise ConfigError(
            "teach: the cut network learns from the whole one in heal epochs: set heal"
        )
    origin = run.control_init or start
    rivals = run.rivals and (origin is None or starts_residual(origin))
    if run.cut_first and not stepwise:
        raise ConfigError("cut_first is the second try of a step: set stepwise, or leave it out")
    again = stepwise and start is not None if run.cut_first is None else run.cut_first
    run = replace(run, rivals=rivals, stepwise=stepwise, cut_first=again)
    return replace(run, model=model, fit=fit, heal=heal)


def _named(model: ModelConfig, rule: str | dict[str, Any]) -> ModelConfig:
    """Return the settings with ``rule`` as the connectivity, unless they name one."""
    return model if model.connectivity is not None else replace(model, connectivity=rule)


def _own_rule(model: ModelConfig) -> str | dict[str, Any]:
    """Return the connectivity of existing weights, which know nothing with another; or residual."""
    return "residual" if model.init is None else starting_rule(model.init, model.depth)


def check_resolved(run: RunConfig) -> None:
    """Raise ConfigError for a run that :func:`resolve` has not settled."""
    if run.heal is None or run.stepwise is None or run.model.connectivity is None:
        raise ConfigError(
            "this run leaves options open: call autocompress.pipeline.resolve(run) first"
        )
