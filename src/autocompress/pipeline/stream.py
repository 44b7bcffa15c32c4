"""A stream of tasks as one run: what ``acn stream`` does."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from autocompress import io
from autocompress.continual import Stream, StreamConfig, Task, learn, split_classes
from autocompress.continual.tasks import classes_per_task
from autocompress.data import AugmentConfig, DataConfig, Splits
from autocompress.errors import ConfigError, InterruptedRunError
from autocompress.io.seal import seal
from autocompress.measurement.modes import device_of
from autocompress.network import Network
from autocompress.pipeline.building import build_network
from autocompress.pipeline.config import ModelConfig, RunConfig
from autocompress.pipeline.summary import environment
from autocompress.training import FitConfig

__all__ = ["StreamRun", "build_for", "run_stream"]


@dataclass(frozen=True, kw_only=True)
class StreamRun:
    """One task after another.

    Args:
        data: Which data set; its classes are split into tasks.
        augment: Augmentation of the training images.
        model: Which network; an ACN where no connectivity is named.
        fit: How each task is trained, with an optimizer and a schedule of its own.
        stream: How many tasks, and what protects the earlier ones.

    Raises:
        ConfigError: A network whose connections or layers would change while it learns a task.
    """

    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    stream: StreamConfig = field(default_factory=StreamConfig)

    def __post_init__(self) -> None:
        for name in ("path", "live", "grow", "cut"):
            if getattr(self.fit, name) is not None:
                raise ConfigError(
                    f"fit.{name} changes the network within a run; a stream has a run for each "
                    "task, in which the network stays as it is: leave it out"
                )

    def tasks(self, data: Splits) -> list[Task]:
        """The classes of ``data``, split. Errors as :func:`split_classes`."""
        seed = self.fit.seed if self.stream.shuffle else None
        return split_classes(data, self.stream.tasks, seed)


def build_for(run: RunConfig | StreamRun, data: Splits) -> Network:
    """Return the network of a run for its data; that of a stream has the outputs of one task.

    Raises:
        Errors as :func:`build_network` and :func:`split_classes`.
    """
    if isinstance(run, StreamRun):
        count = classes_per_task(len(data.classes), run.stream.tasks)
        data = replace(data, classes=data.classes[:count])
    return build_network(run.model, data, run.fit.seed)


def run_stream(
    config: StreamRun,
    data: Splits,
    folder: Path,
    *,
    resume: bool = False,
    command: str | None = None,
) -> Stream:
    """Learn the stream into ``folder``: a folder for each task, stream.json, matrix.svg and .png.

    Args:
        config: Of the run.
        data: Its data.
        folder: Made already.
        resume: Go on from what it holds.
        command: What goes on with an interrupted stream.

    Raises:
        Errors as :func:`learn`.
    """
    tasks, net = config.tasks(data), build_for(config, data)
    try:
        stream = learn(
            net,
            tasks,
            config.fit,
            protect=config.stream.protection(),
            augment=config.augment,
            run=folder,
            resume=resume,
            progress=True,
        )
    except InterruptedRunError as error:
        raise InterruptedRunError(f"{error}\nOn the command line: {command}") from None
    for index in range(len(tasks)):
        target = folder / f"task-{index + 1}" / "model"
        io.save(stream.network(net, index), target, overwrite=resume)
    io.write_json(folder / "stream.json", _summary(config, data, net, stream))
    seal(folder / "stream.json")
    figure = stream.matrix().plot()
    for name in ("matrix.svg", "matrix.png"):
        with io.atomic_file(folder / name) as new:
            figure.savefig(new, format=os.path.splitext(name)[1][1:])
    return stream


def _summary(config: StreamRun, data: Splits, net: Network, stream: Stream) -> dict[str, Any]:
    """stream.json: accuracies as fractions, [after task i][on task j <= i][at depth k]."""
    selected = stream.select()
    return {
        "schema": 1,
        "dataset": data.name,
        "tasks": stream.tasks,
        "model": {
            "name": net.model_name,
            "connectivity": net.config["connectivity"],
            "depth": net.depth,
        },
        "protect": config.stream.protect,
        "seed": config.fit.seed,
        "validation": stream.validation,
        "test": stream.test,
        "full": stream.matrix().to_json(),
        "selected": selected,
        "small": stream.matrix(selected).to_json(),
        "environment": environment(device_of(net)),
    }
