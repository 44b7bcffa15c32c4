"""A stream of tasks as one run, as in ``acn stream``."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from autocompress import io
from autocompress.continual import Stream, StreamConfig, Task, learn, split_classes
from autocompress.continual.config import check_fit
from autocompress.continual.heads import check_one_head
from autocompress.continual.tasks import classes_per_task
from autocompress.data import AugmentConfig, DataConfig, Splits
from autocompress.errors import InterruptedRunError
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
    """Settings of a run that learns one task after another.

    Args:
        data: Settings of the data set, whose classes are divided into tasks.
        augment: Augmentation of the training images.
        model: Settings of the network; an ACN if no connectivity is named.
        fit: Settings of each task's training, which has its own optimizer and schedule.
        stream: Number of tasks, and the protection of earlier ones.

    Raises:
        ConfigError: The network's connections or layers would change while it learns a task.
    """

    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    stream: StreamConfig = field(default_factory=StreamConfig)

    def __post_init__(self) -> None:
        check_fit(self.fit)

    def tasks(self, data: Splits) -> list[Task]:
        """Return the classes of ``data`` as tasks; raise as :func:`split_classes`."""
        seed = self.fit.seed if self.stream.shuffle else None
        return split_classes(data, self.stream.tasks, seed)


def build_for(run: RunConfig | StreamRun, data: Splits) -> Network:
    """Return the network of a run for its data; that of a stream has the outputs of one task.

    Raises:
        ConfigError: The network of a stream has no head that can be exchanged.
        AutoCompressError: Any error of :func:`build_network` or :func:`split_classes`.
    """
    if not isinstance(run, StreamRun):
        return build_network(run.model, data, run.fit.seed)
    count = classes_per_task(len(data.classes), run.stream.tasks)
    net = build_network(run.model, replace(data, classes=data.classes[:count]), run.fit.seed)
    check_one_head(net)
    return net


def run_stream(
    config: StreamRun,
    data: Splits,
    net: Network,
    folder: Path,
    *,
    resume: bool = False,
    command: str | None = None,
    progress: bool = True,
) -> Stream:
    """Learn the stream into ``folder``: a folder for each task, stream.json, matrix.svg and .png.

    Args:
        config: Settings of the run.
        data: Data of the run.
        net: Network of the run, trained in place; see :func:`build_for`.
        folder: Existing run folder.
        resume: Whether to continue from what it holds.
        command: Command that resumes the stream, for the message of an interruption.
        progress: Whether to show the progress of training.

    Raises:
        AutoCompressError: Any error of :func:`learn`.
    """
    tasks = config.tasks(data)
    try:
        stream = learn(
            net,
            tasks,
            config.fit,
            protect=config.stream.protection(),
            augment=config.augment,
            run=folder,
            resume=resume,
            progress=progress,
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
    """Return stream.json: accuracies as fractions, [after task i][on task j <= i][at depth k]."""
    selected = stream.select()
    return {
        "schema": 1,
        "dataset": data.name,
        "tasks": stream.tasks,
        "model": {
            "name": net.model_name,
            "connectivity": net.rule(),
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
