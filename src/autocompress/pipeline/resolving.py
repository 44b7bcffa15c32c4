"""What a run's config leaves open, settled once before anything else is done.

Afterwards the config says all of it, so config.yaml repeats the run wherever it lies.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from autocompress.errors import ConfigError
from autocompress.pipeline.config import RunConfig
from autocompress.pipeline.starts import starts_residual
from autocompress.pipeline.stream import StreamRun
from autocompress.training import find_path

__all__ = ["check_resolved", "resolve"]

R = TypeVar("R", bound=RunConfig | StreamRun)


def resolve(run: R) -> R:
    """Return the run with everything that it left open settled; one that is settled stays equal.

    - ``model.connectivity``: ``acn`` where none is named.
    - ``fit.path``: the one that ``path`` names; ``anneal`` where neither it nor a connectivity is
      named and the network starts new or from a residual network's weights.
    - ``heal``: half of the epochs where training starts from weights that exist, else 0.
    - ``rivals``: off where they would start from weights that are no residual network's, as
      nothing fair could be compared.

    Raises:
        CheckpointError: The weights that it starts from cannot be read, or are no network's.
        UnknownNameError: No such path.

    Example:
        >>> from autocompress.pipeline import RunConfig
        >>> run = resolve(RunConfig())
        >>> run.heal, run.fit.path is not None, run == resolve(run)
        (0, True, True)
    """
    model = replace(run.model, connectivity=run.model.connectivity or "acn")
    if isinstance(run, StreamRun):
        return replace(run, model=model)
    fit, heal, start = run.fit, run.heal, run.model.init
    if fit.path is None:
        anneal = run.path is None and run.model.connectivity is None and _is_residual(start)
        fit = replace(fit, path=find_path("anneal" if anneal else run.path))
    if heal is None:
        heal = 0 if start is None else max(1, fit.epochs // 2)
    rivals = run.rivals and _is_residual(run.control_init or start)
    return replace(run, model=model, fit=fit, heal=heal, rivals=rivals)


def check_resolved(run: RunConfig) -> None:
    """Raise ConfigError for a run that :func:`resolve` has not settled."""
    if run.heal is None or run.model.connectivity is None:
        raise ConfigError("this run leaves options open: autocompress.pipeline.resolve(run) first")


def _is_residual(start: str | None) -> bool:
    """Return whether weights are new, or those of a residual network."""
    return start is None or starts_residual(start)
