"""Write the state of a stream after each task, so that the stream can be resumed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import send_to_device

from autocompress.continual.consolidation import Protection
from autocompress.continual.heads import new_head, with_head
from autocompress.continual.learned import Stream
from autocompress.continual.tasks import Task
from autocompress.data import AugmentConfig
from autocompress.network import Network
from autocompress.training import FitConfig, training_device
from autocompress.training.checkpoint import clear_checkpoints, read_latest, write_checkpoint
from autocompress.training.identity import defaults_of, identity_of
from autocompress.training.inputs import adopt_preprocess
from autocompress.training.randomness import global_states, restore_global

__all__ = ["Keeper"]


@dataclass(frozen=True)
class Keeper:
    """The checkpoints of a stream, FOLDER/learned/epoch-000N after task N.

    Args:
        folder: Folder of the stream; None writes nothing.
        identity: JSON that a resumed stream must have in common with this one.
        defaults: Keys of ``identity`` that have their default.
        device: Device of the training.
    """

    folder: Path | None
    identity: dict[str, Any]
    defaults: set[str]
    device: torch.device

    @classmethod
    def of(
        cls,
        run: str | Path | None,
        net: Network,
        tasks: Sequence[Task],
        config: FitConfig,
        augment: AugmentConfig | None,
        protect: Protection | None,
    ) -> Keeper:
        """Return the keeper of one call of :func:`learn`."""
        new = {
            "tasks": [task.name for task in tasks],
            "protect": None if protect is None else type(protect).__name__,
            "protection": {} if protect is None else protect.settings(),
        }
        folder, of = None if run is None else Path(run), (net, config, augment)
        defaults = defaults_of(*of) | {"protect", "protection"}  # not written by earlier versions
        return cls(folder, identity_of(*of) | new, defaults, training_device(config))

    def home(self, index: int) -> Path | None:
        """Return the folder of one task's training, with its index counted from 0."""
        return None if self.folder is None else self.folder / f"task-{index + 1}"

    def before(self, index: int) -> str:
        """Return a sentence about what is kept if task ``index`` is interrupted."""
        if self.folder is None or index == 0:
            return ""
        return f"; the tasks before it are in {self.folder}, and resume=True continues from there"

    def write(self, net: Network, stream: Stream, protect: Protection | None) -> None:
        """Write the state after the last task that ``stream`` has learned."""
        if self.folder is None:
            return
        state = {
            "net": net.state_dict(),
            "heads": [head.state_dict() for head in stream.heads],
            "protect": {} if protect is None else protect.state_dict(),
            "validation": stream.validation,
            "test": stream.test,
            "generators": global_states(),  # the next head is drawn from them
        }
        write_checkpoint(self.folder / "learned", len(stream.heads), state, self.identity)

    def clear(self) -> None:
        """Remove the checkpoints of an earlier stream in the same folder, to start anew."""
        if self.folder is not None:
            clear_checkpoints(self.folder / "learned")

    def read(
        self,
        net: Network,
        tasks: Sequence[Task],
        stream: Stream,
        protect: Protection | None,
    ) -> None:
        """Restore ``net``, ``stream`` and ``protect`` from the newest state, if there is one.

        Raises:
            CheckpointError: It is damaged, or belongs to another network, other settings or tasks.
        """
        if self.folder is None:
            return
        state = read_latest(self.folder / "learned", self.identity, self.defaults)
        if state is None:
            return
        stream.validation, stream.test = state["validation"], state["test"]
        for kept in state["heads"]:
            if stream.heads:
                net.head = new_head(net.head)
            net.head.load_state_dict(kept)
            stream.heads.append(net.head)
        net.load_state_dict(state["net"])
        net.to(self.device)
        adopt_preprocess(net, tasks[0].train)
        if protect is not None:
            protect.forget()
            protect.load_state_dict(send_to_device(state["protect"], self.device))
            for head, task in zip(stream.heads, tasks, strict=False):
                protect.recall(with_head(net, head), task.train)
        earlier = {"torch": state.get("random"), "cuda": state.get("random_cuda")}
        restore_global(state.get("generators", earlier))
