"""The ways of training that the studies ``ways`` and ``ruler`` compare."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from autocompress.pipeline import RunConfig
from autocompress.training import DistilConfig, PathConfig

__all__ = ["MAIN", "WAYS", "Way", "config_of"]


@dataclass(frozen=True)
class Way:
    """A way of training.

    Args:
        connectivity: Rule during the whole training, or at the start of a path.
        fit: Differences from the task's settings.
        taught: Share of the run after which the readout of one shallower depth in each step is
            taught by that of full depth, without a gradient to it; None teaches none.
        residual: Whether the task's best rate for residual networks is used.
        seeds: Largest number of seeds; a lead has one.
    """

    connectivity: str
    fit: dict[str, Any] = field(default_factory=dict)
    taught: float | None = None
    residual: bool = True
    seeds: int | None = None


_ANNEAL = PathConfig()

WAYS: dict[str, Way] = {
    "residual": Way("residual"),
    "ACN": Way("acn", residual=False),
    "annealed": Way("acn", {"path": _ANNEAL}),
    "residual, then taught": Way("residual", taught=0.5),
    "annealed, taught": Way("acn", {"path": _ANNEAL}, taught=0.5, seeds=1),
    "ACN, then taught": Way("acn", taught=0.5, residual=False, seeds=1),
}
#: The ways that every seed is trained in.
MAIN: dict[str, Way] = {name: way for name, way in WAYS.items() if way.seeds is None}


def config_of(config: RunConfig, way: Way, rule: Any = None) -> RunConfig:
    """Return the run that trains a task's network in this way.

    Args:
        config: The task.
        way: The way.
        rule: Connectivity with its options; None is the way's with its defaults.
    """
    fit = config.control if way.residual and config.control is not None else config.fit
    fit = replace(fit, **way.fit)
    if way.taught is not None:
        fit = replace(fit, distil=replace(DistilConfig.second_half(), start=way.taught))
    model = replace(config.model, connectivity=rule or way.connectivity)
    return replace(config, model=model, fit=fit, control=None)
