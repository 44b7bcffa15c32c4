"""Learn streams of tasks, one after another, each with its own head and known identity."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from autocompress.continual.config import check_fit
from autocompress.continual.consolidation import Protection
from autocompress.continual.heads import check_one_head, new_head, resting, with_head
from autocompress.continual.keeping import Keeper
from autocompress.continual.learned import Stream
from autocompress.continual.tasks import Task
from autocompress.data import AugmentConfig
from autocompress.depth import probe
from autocompress.errors import ConfigError, InterruptedRunError
from autocompress.io.lock import locked
from autocompress.measurement.modes import learning
from autocompress.network import Network
from autocompress.training import FitConfig, Hook, fit
from autocompress.training.launched import one_process

__all__ = ["learn"]


def learn(
    net: Network,
    tasks: Sequence[Task],
    config: FitConfig | None = None,
    *,
    protect: Protection | None = None,
    augment: AugmentConfig | None = None,
    hooks: Iterable[Hook] = (),
    run: str | Path | None = None,
    resume: bool = False,
    progress: bool = False,
) -> Stream:
    """Learn one task after another, in place, and score all tasks so far after each.

    Stem and blocks are shared by all tasks; each task starts with a new head of its own, which is
    kept unchanged when the next task begins. The task of each example is known (task-incremental
    learning). Each task has its own optimizer and schedule.

    Args:
        net: The network, with as many outputs as each task has classes. Its own head becomes that
            of the first task.
        tasks: Tasks, in the order of learning.
        config: Settings of each task's training.
        protect: Protection against forgetting; None is naive fine-tuning.
        augment: Augmentation of the training images.
        hooks: Further hooks of every task; their state is checkpointed only within a task.
        run: Folder for metrics and checkpoints of each task; None writes nothing.
        resume: Whether to continue from the state in ``run``.
        progress: Whether to show a progress bar for each task.

    Raises:
        ConfigError: There are no tasks, their numbers of classes do not fit, the network has no
            single head that can be exchanged, or ``config`` changes its connections or its layers
            (``path``, ``live``, ``grow``, ``cut``).
        CheckpointError: The state in ``run`` is damaged, or belongs to other settings.
        LockedError: Another process is writing to ``run``.
        AutoCompressError: Any error of :func:`autocompress.fit`.

    Example:
        >>> import autocompress as ac
        >>> tasks = ac.continual.split_classes(ac.load_data(), tasks=5)
        >>> net = ac.models.MLP(depth=2, width=16, classes=2)
        >>> stream = ac.continual.learn(net, tasks[:2], ac.FitConfig(epochs=1))
        >>> [len(row) for row in stream.matrix().rows]
        [1, 2]
    """
    config = config or FitConfig()
    _check(net, tasks)
    check_fit(config)
    one_process("a stream of tasks")
    with locked(run), learning():
        return _learn(net, tasks, config, protect, augment, hooks, run, resume, progress)


def _learn(
    net: Network,
    tasks: Sequence[Task],
    config: FitConfig,
    protect: Protection | None,
    augment: AugmentConfig | None,
    hooks: Iterable[Hook],
    run: str | Path | None,
    resume: bool,
    progress: bool,
) -> Stream:
    """Learn the stream in a locked folder; see :func:`learn`."""
    keeper = Keeper.of(run, net, tasks, config, augment, protect)
    meanings = [getattr(task.train, "meaning", None) for task in tasks]
    stream, others = Stream([task.name for task in tasks], meanings=meanings), list(hooks)
    guard: list[Hook] = [] if protect is None else [protect]
    if resume:
        keeper.read(net, tasks, stream, protect)
    else:
        keeper.clear()
    for index, task in enumerate(tasks):
        if index < len(stream.heads):
            continue
        if index:
            net.head = new_head(net.head)
        title = f"task {index + 1} of {len(tasks)}: {task.name}"
        try:
            with resting(stream.heads):
                fit(
                    net,
                    task.train,
                    config=config,
                    augment=augment,
                    run=keeper.home(index),
                    resume=resume,
                    hooks=[*guard, *others],
                    title=title,
                    progress=progress,
                )
        except InterruptedRunError as error:
            raise InterruptedRunError(f"{title}: {error}{keeper.before(index)}") from None
        if protect is not None:
            protect.consolidate(net, task.train)
            protect.release("head.")
        stream.heads.append(net.head)
        _score(net, tasks, stream)
        keeper.write(net, stream, protect)
    return stream


def _score(net: Network, tasks: Sequence[Task], stream: Stream) -> None:
    """Score all tasks so far, each with its own head, at every depth."""
    views = [with_head(net, head) for head in stream.heads]
    for scores, split in ((stream.validation, "validation"), (stream.test, "test")):
        scores.append(
            [probe(v, getattr(done, split)).scores for v, done in zip(views, tasks, strict=False)]
        )


def _check(net: Network, tasks: Sequence[Task]) -> None:
    check_one_head(net)
    if not tasks:
        raise ConfigError("a stream needs at least one task")
    for task in tasks:
        if task.classes != net.classes:
            raise ConfigError(
                f"task {task.name!r} has {task.classes} classes, the network {net.classes}: "
                "these must be equal"
            )
