"""Record gradients of every layer over the course of training, for a heat map."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

from autocompress.diagnose.layer_gradients import BATCH, LayerGradients, gradients, one_batch
from autocompress.errors import ConfigError, UnknownNameError
from autocompress.network import Network
from autocompress.training.hooks import Hook
from autocompress.training.inputs import Data

__all__ = ["GradientRecorder"]

Part = Literal["full", "direct", "mediated", "share"]


class GradientRecorder(Hook):
    """A hook of ``fit`` that records direct and mediated gradients while a network trains.

    It does not affect training: the random numbers that its batch draws are given back. Each record
    costs two forward and backward passes on one batch.

    Args:
        data: Data from which the batch is drawn, the same one each time.
        every: Number of steps between records; the first is before the first step.
        batch: Number of examples in the batch.

    Attributes:
        steps: Step of each record.
        seen: The records, a :class:`LayerGradients` each.

    Raises:
        ConfigError: ``every`` or ``batch`` is below 1.

    Example:
        >>> import torch, autocompress as ac
        >>> data = torch.utils.data.TensorDataset(torch.randn(64, 1, 2, 2), torch.arange(64) % 3)
        >>> net = ac.models.MLP(depth=2, width=8, classes=3, image_size=2, channels=1)
        >>> recorder = ac.GradientRecorder(data, every=2)
        >>> config = ac.FitConfig(epochs=4, batch_size=32)
        >>> run = ac.fit(net, data, config=config, hooks=[recorder], progress=False)
        >>> recorder.steps
        [0, 2, 4, 6]
    """

    def __init__(self, data: Data, every: int = 50, batch: int = 256) -> None:
        if every < 1:
            raise ConfigError(f"every {every} must be at least 1 step")
        BATCH.check("batch", batch)
        self.data, self.every, self.batch = data, every, batch
        self.steps: list[int] = []
        self.seen: list[LayerGradients] = []
        self._done = 0
        self._batch: tuple[Any, Any] | None = None

    def before_step(self, net: Network) -> None:
        if self._done % self.every == 0:
            if self._batch is None:
                self._batch = one_batch(net, self.data, self.batch)
            self.steps.append(self._done)
            self.seen.append(gradients(net, self._batch))
        self._done += 1

    def map(self, part: Part) -> list[list[float]]:
        """Return one row per layer with one column per record.

        Args:
            part: Quantity to return: ``full``, ``direct``, ``mediated`` or ``share``.

        Raises:
            UnknownNameError: There is no such quantity.
        """
        if part not in get_args(Part):
            raise UnknownNameError("part", part, get_args(Part))
        columns = [getattr(look, part) for look in self.seen]
        depth = max((len(column) for column in columns), default=0)
        padded = [column + [math.nan] * (depth - len(column)) for column in columns]
        return [list(row) for row in zip(*padded, strict=True)]

    def to_json(self) -> dict[str, Any]:
        """Return the steps, and one row per layer for each part; None after a layer was dropped."""
        parts = {part: self.map(part) for part in get_args(Part)}
        shown = {
            part: [[None if math.isnan(value) else value for value in row] for row in rows]
            for part, rows in parts.items()
        }
        return {"steps": self.steps, **shown}

    def plot(self) -> Any:
        """Return a matplotlib Figure: layer by step, colour the norm (logarithmic), and DG / FG.

        Raises:
            ConfigError: Nothing has been recorded.
        """
        if not self.seen:
            raise ConfigError("nothing has been recorded: give the recorder to fit(hooks=[..])")
        from matplotlib.colors import LogNorm, Normalize
        from matplotlib.figure import Figure

        figure = Figure(figsize=(12, 3.2), layout="constrained")
        largest = max((norm for look in self.seen for norm in look.full), default=0) or 1.0
        least = largest / 1e4  # smaller values have the same colour
        for axes, part in zip(figure.subplots(1, 4), get_args(Part), strict=True):
            rows = self.map(part)
            scale = Normalize(0, 1)
            if part != "share":
                scale = LogNorm(least, largest)
                rows = [[max(norm, least) for norm in row] for row in rows]
            image = axes.imshow(rows, aspect="auto", origin="lower", norm=scale, cmap="viridis")
            axes.set_title("direct / full" if part == "share" else part)
            axes.set_xlabel("step")
            axes.set_xticks([0, len(self.steps) - 1], [str(self.steps[0]), str(self.steps[-1])])
            axes.set_yticks(range(len(rows)), [str(k + 1) for k in range(len(rows))])
            figure.colorbar(image, ax=axes)
        figure.axes[0].set_ylabel("layer")
        return figure

    def state_dict(self) -> dict[str, Any]:
        looks = [{name: getattr(look, name) for name in vars(look)} for look in self.seen]
        return {"done": self._done, "steps": self.steps, "seen": looks}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._done, self.steps = state["done"], state["steps"]
        self.seen = [LayerGradients(**look) for look in state["seen"]]
