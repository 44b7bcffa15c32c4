"""Pass every epoch's metrics to an experiment tracker: by a function, or by one of Accelerate's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from autocompress.errors import ConfigError
from autocompress.extras import import_extra
from autocompress.network import Network
from autocompress.training.hooks import Hook

__all__ = ["Track", "Tracking"]


class Track(Hook):
    """A hook that passes each epoch's metrics to an experiment tracker.

    Args:
        log: Function called as ``log(numbers, step=epoch)``, such as ``wandb.log``,
            ``mlflow.log_metrics``, ``trackio.log`` or the ``log`` of Accelerate's trackers. Scores
            by depth have names such as ``depths/3``.

    Example:
        >>> import torch, autocompress as ac
        >>> data = torch.utils.data.TensorDataset(torch.randn(8, 1, 2, 2), torch.arange(8) % 3)
        >>> net = ac.models.MLP(depth=1, width=4, classes=3, image_size=2, channels=1)
        >>> seen = []
        >>> hook = ac.Track(lambda numbers, step: seen.append((step, sorted(numbers)[:2])))
        >>> run = ac.fit(net, data, data, ac.FitConfig(epochs=1), hooks=[hook], progress=False)
        >>> seen
        [(1, ['depths/0', 'depths/1'])]
    """

    def __init__(self, log: Callable[..., Any]) -> None:
        self.log = log

    def after_evaluation(self, net: Network, record: Mapping[str, Any]) -> None:
        numbers: dict[str, float] = {}
        for name, value in record.items():
            if isinstance(value, (list, tuple)):
                numbers |= {f"{name}/{depth}": one for depth, one in enumerate(value)}
            elif name != "epoch":
                numbers[name] = value
        self.log(numbers, step=record["epoch"])


class Tracking(Track):
    """A hook that reports each epoch's metrics, and at the end a picture of the depth curve.

    Args:
        name: ``tensorboard``, ``trackio`` or ``wandb``.
        folder: Run folder. TensorBoard's files go to ``folder/tracking``; the others are told its
            name. None calls the run after nothing, which TensorBoard cannot do.
        writes: Whether this process is the one that reports.

    Raises:
        MissingExtraError: The package is not installed; the message names the extra.
        ConfigError: TensorBoard has no folder to write to.
    """

    def __init__(self, name: str, folder: Path | None, writes: bool = True) -> None:
        import_extra(name, name, f"tracking by {name}")
        if name == "tensorboard" and folder is None:
            raise ConfigError("tracking by tensorboard needs a run folder: fit(..., run=FOLDER)")
        super().__init__(self._log)
        self.name, self.folder, self.writes = name, folder, writes
        self.epochs = 0
        self.tracker: Any = None

    def begin(self, net: Network) -> None:
        if not self.writes:
            return
        from accelerate import tracking

        if self.name == "tensorboard":
            self.tracker = tracking.TensorBoardTracker("tracking", self.folder)
        else:
            kind = tracking.TrackioTracker if self.name == "trackio" else tracking.WandBTracker
            called = {} if self.folder is None else {"name": "-".join(self.folder.parts[-2:])}
            self.tracker = kind("autocompress", **called)
        self.tracker.start()

    def before_epoch(self, net: Network, epoch: int, epochs: int, steps: int) -> None:
        self.epochs = epochs

    def after_evaluation(self, net: Network, record: Mapping[str, Any]) -> None:
        if self.tracker is None:
            return
        super().after_evaluation(net, record)
        if record["epoch"] == self.epochs and "depths" in record and self.name != "trackio":
            picture = {"depth curve": _picture(record["depths"])[None]}
            form = {"dataformats": "NHWC"} if self.name == "tensorboard" else {}
            self.tracker.log_images(picture, step=record["epoch"], **form)

    def finish(self, net: Network) -> None:
        if self.tracker is not None:
            self.tracker.finish()

    def _log(self, numbers: Mapping[str, float], step: int) -> None:
        self.tracker.log(dict(numbers), step=step)


def _picture(scores: list[float]) -> np.ndarray[Any, Any]:
    """Return the curve of scores by depth as an image, uint8 (H, W, 3)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    axes.plot(range(len(scores)), [100 * score for score in scores], marker="o")
    axes.set_xlabel("depth")
    axes.set_ylabel("validation, %")
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    picture: np.ndarray[Any, Any] = np.asarray(canvas.buffer_rgba())[:, :, :3].copy()
    return picture
