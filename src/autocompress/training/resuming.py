"""How a run is taken up again: what its checkpoints hold, and how it goes on from them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import send_to_device
from torch import Tensor

from autocompress.errors import CheckpointError, ConfigError
from autocompress.io.temporary import sweep
from autocompress.training.checkpoint import (
    clear_checkpoints,
    latest_checkpoint,
    read_latest,
    write_checkpoint,
)
from autocompress.training.config import Run
from autocompress.training.hooks import Hook
from autocompress.training.inputs import Data
from autocompress.training.randomness import (
    check_workers,
    data_states,
    global_states,
    restore_data,
    restore_global,
)

__all__ = ["Checkpoints"]


class Checkpoints:
    """The checkpoints of one call of ``fit``.

    Args:
        folder: RUN; None keeps nothing.
        parts: What has a state, by its name in the checkpoint; None has none.
        hooks: Of the run.
        data: That it trains on.
        identity, defaults: Of the run, see :func:`autocompress.training.identity.unlike`.
        device: That it trains on.

    Raises:
        ConfigError: Data whose random numbers no checkpoint can hold.
    """

    def __init__(
        self,
        folder: Path | None,
        parts: Mapping[str, Any],
        hooks: Sequence[Hook],
        data: Data,
        identity: dict[str, Any],
        defaults: Collection[str],
        device: torch.device,
    ) -> None:
        self.folder = None if folder is None else folder / "checkpoints"
        self.parts = {name: part for name, part in parts.items() if part is not None}
        self.hooks, self.data, self.device = hooks, data, device
        names = {"hooks": [type(hook).__name__ for hook in hooks]}
        self.identity, self.defaults = {**identity, **names}, {*defaults, *names}
        self._order: dict[str, Any] = {}
        self._stopped: dict[str, Any] | None = None
        if folder is not None:
            check_workers(data)

    def begin_epoch(self) -> None:
        """Remember where the generators of the data stand: a stopped epoch is drawn anew."""
        if self.folder is not None:
            self._order = data_states(self.data)

    def write(self, run: Run, seconds: float = 0.0, step: int = 0, total: Any = None) -> None:
        """Write where the run is; without a folder do nothing.

        Args:
            run: Its history.
            seconds: Of the epoch that goes on.
            step: Its finished steps; 0 where an epoch is over.
            total: The sum of their losses, a scalar tensor.
        """
        if self.folder is None:
            return
        state = {name: part.state_dict() for name, part in self.parts.items()} | {
            "hooks": [hook.state_dict() for hook in self.hooks],
            "history": run.history,
            "seconds": run.seconds + seconds,
            "generators": global_states(),
            "data": self._order if step else data_states(self.data),
            "step": step,
            "total": total,
        }
        write_checkpoint(self.folder, len(run.history), state, self.identity, step)

    def open(self, resume: bool, writes: bool) -> dict[str, Any] | None:
        """Return the newest state that is whole, for :meth:`load`; None where there is none.

        What killed processes have left in the folder is removed, and where the run begins anew the
        checkpoints of an earlier one are.

        Args:
            resume: Go on; else begin anew.
            writes: Whether it is this process that writes.

        Raises:
            ConfigError: No folder to go on in. CheckpointError: Damaged, or of another run.
        """
        if self.folder is None:
            if resume:
                raise ConfigError("resume=True needs the run folder: fit(..., run=FOLDER)")
            return None
        if writes:
            sweep(self.folder.parent)
        if writes and not resume:
            clear_checkpoints(self.folder)
        return read_latest(self.folder, self.identity, self.defaults) if resume else None

    def load(self, state: dict[str, Any]) -> None:
        """Take up ``state``.

        Raises:
            CheckpointError: It does not fit, e.g. as another version of the library wrote it.
        """
        if len(state["hooks"]) != len(self.hooks):
            raise CheckpointError(
                f"the checkpoint is of a run with {len(state['hooks'])} hooks, this one has "
                f"{len(self.hooks)}: give the same ones, or train into a new folder"
            )
        restore_data(self.data, state.get("data", {}))
        try:
            self._load(state)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise CheckpointError(
                f"the newest checkpoint in {self.folder} does not fit this run ({error}); another "
                "version of autocompress may have written it: train into a new folder"
            ) from error
        self._stopped = state if state.get("step") else None

    def _load(self, state: dict[str, Any]) -> None:
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        for hook, kept in zip(self.hooks, state["hooks"], strict=True):
            hook.load_state_dict(send_to_device(kept, self.device))
        if "generators" in state:
            restore_global(state["generators"])

    def skip(self, batches: Any) -> tuple[int, Tensor]:
        """Go on within an epoch that was stopped: draw the batches that it has had already.

        Returns:
            How many these were, and the sum of their losses; 0 where an epoch begins.
        """
        state, self._stopped = self._stopped, None
        if state is None:
            return 0, torch.zeros((), device=self.device)
        for _ in range(state["step"]):
            next(batches, None)
        self._load(state)  # once more: hooks have begun the epoch, and batches drawn numbers
        return state["step"], state["total"].to(self.device)

    def how_to_resume(self, so_far: Run, epochs: int) -> str:
        """Return what an interrupted user reads."""
        said = f"stopped in epoch {len(so_far.history) + 1} of {epochs}; "
        if len(so_far.history) == epochs:
            said = f"stopped after epoch {epochs}, the last; "
        if self.folder is None:
            return said + "nothing is saved, as no run folder was given (fit(..., run=FOLDER))"
        last = latest_checkpoint(self.folder)
        if last is None:
            run = self.folder.parent
            return f"{said}no step was finished, so {run} holds nothing to go on from"
        return said + f"{last} is saved: the same call with resume=True goes on from there"
