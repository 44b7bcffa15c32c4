"""Resuming a run: the content of its checkpoints, and how training continues from them."""

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
from autocompress.training.forms import has_length
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
        folder: The run folder; None writes nothing.
        parts: Objects with a state, by their name in the checkpoint; None values have none.
        hooks: Hooks of the run.
        data: Training data.
        identity, defaults: See :func:`autocompress.training.identity.unlike`.
        device: Device of the training.

    Raises:
        ConfigError: A checkpoint cannot hold the random states of the data.
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
        self._continues = not has_length(data)
        self._order: dict[str, Any] | None = None
        self._stopped: dict[str, Any] | None = None
        if folder is not None:
            check_workers(data)

    def begin_epoch(self) -> None:
        """Record the generators of the data, since a stopped epoch is drawn again.

        A stream is read again from its first batch, so for it they are recorded once, before that.
        """
        if self.folder is not None and (self._order is None or not self._continues):
            self._order = data_states(self.data)

    def write(self, run: Run, seconds: float = 0.0, step: int = 0, total: Any = None) -> None:
        """Write the state of the run; without a folder do nothing.

        Args:
            run: The run, with its history.
            seconds: Seconds spent in the current epoch.
            step: Finished steps of the current epoch; 0 between epochs.
            total: Sum of the losses of these steps, a scalar tensor.
        """
        if self.folder is None:
            return
        state = {name: part.state_dict() for name, part in self.parts.items()} | {
            "hooks": [hook.state_dict() for hook in self.hooks],
            "history": run.history,
            "seconds": run.seconds + seconds,
            "generators": global_states(),
            "data": self._order if step or self._continues else data_states(self.data),
            "step": step,
            "total": total,
        }
        write_checkpoint(self.folder, len(run.history), state, self.identity, step)

    def open(self, resume: bool, writes: bool) -> dict[str, Any] | None:
        """Return the newest intact state, for :meth:`load`; None if there is none.

        Leftovers of killed processes are removed, and so are an earlier run's checkpoints if the
        run starts anew.

        Args:
            resume: Whether to resume rather than to start anew.
            writes: Whether this process writes the checkpoints.

        Raises:
            ConfigError: There is no folder to resume in.
            CheckpointError: The checkpoints are damaged or belong to another run.
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
        """Restore ``state``.

        Raises:
            CheckpointError: It does not fit, e.g. since another version of the library wrote it.
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

    def skip(self, batches: Any, accumulate: int = 1) -> tuple[int, Tensor]:
        """Draw and discard the batches that a stopped epoch has already used.

        Args:
            batches: Iterator over the batches of the epoch.
            accumulate: Number of batches per step.

        Returns:
            The number of their steps and the sum of their losses; 0 at the start of an epoch.
        """
        state, self._stopped = self._stopped, None
        if state is None:
            return 0, torch.zeros((), device=self.device)
        for _ in range(state["step"] * accumulate):
            next(batches, None)
        self._load(state)  # again: beginning the epoch and drawing batches have changed states
        return state["step"], state["total"].to(self.device)

    def how_to_resume(self, so_far: Run, epochs: int) -> str:
        """Return the sentence that tells an interrupted user how to resume."""
        said = f"stopped in epoch {len(so_far.history) + 1} of {epochs}; "
        if len(so_far.history) == epochs:
            said = f"stopped after epoch {epochs}, the last; "
        if self.folder is None:
            return said + "nothing is saved, as no run folder was given (fit(..., run=FOLDER))"
        last = latest_checkpoint(self.folder)
        if last is None:
            run = self.folder.parent
            return f"{said}no step was finished, so {run} holds nothing to resume from"
        return said + f"{last} is saved: the same call with resume=True continues from there"
