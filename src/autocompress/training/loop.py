"""``fit``: the library's only training loop, on Accelerate."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import Tensor

from autocompress import interrupts
from autocompress.data import AugmentConfig
from autocompress.errors import DataError, InterruptedRunError, OutputError
from autocompress.io.lock import locked
from autocompress.measurement.modes import learning
from autocompress.network import Network
from autocompress.training.config import FitConfig, Run, with_settings
from autocompress.training.devices import autocast, borrowed_accelerator, training_device
from autocompress.training.evaluate import scores_by_depth
from autocompress.training.examine import check_end, check_learning
from autocompress.training.forms import as_set
from autocompress.training.hooks import Hook, Moment
from autocompress.training.inputs import Arrays, Data
from autocompress.training.lost import telling_of_lost
from autocompress.training.objective import IGNORED
from autocompress.training.parts import Parts, assemble
from autocompress.training.paths import PathConfig, find_path
from autocompress.training.progress import MetricsFile, TrainingBar
from autocompress.training.randomness import seed_epoch
from autocompress.training.stepping import Stepper
from autocompress.training.teacher import Teacher, as_teacher
from autocompress.training.watch import LossWatch

__all__ = ["fit", "training_device"]


def fit(
    net: Network,
    train: Data | Arrays,
    validation: Data | Arrays | None = None,
    config: FitConfig | None = None,
    *,
    path: PathConfig | str | None = None,
    augment: AugmentConfig | None = None,
    hooks: Sequence[Hook] = (),
    teacher: Teacher | Network | None = None,
    run: str | Path | None = None,
    resume: bool = False,
    title: str = "training",
    progress: bool = True,
    **settings: Any,
) -> Run:
    """Train ``net`` in place.

    Every epoch seeds torch from (seed, epoch), so a run that was interrupted and resumed equals an
    uninterrupted run bit for bit (on CPU, and on GPU as far as its kernels are deterministic).
    This changes the random state of the calling process.

    Args:
        net: The network. It ends on the device it was trained on, in eval mode.
        train: Training data: a split of :func:`autocompress.load_data`, a torch Dataset or
            DataLoader of (inputs, labels) or of mappings with ``labels``, as those of ``datasets``,
            or arrays: ``(inputs, labels)`` or a mapping of them.
        validation: Validation data, scored at every depth during training; None scores nothing.
        config: Settings of the run; None is ``FitConfig()``.
        path: Path through the plane of connectivities, as a config or by name (``"anneal"``). It
            takes the place of ``config.path``.
        augment: Augmentation of image sources, applied to whole batches on the device.
        hooks: Further parts of the training, e.g. penalties (:class:`autocompress.training.Hook`).
        teacher: A trained network whose outputs this one learns beside the labels, e.g. the whole
            network that it was cut from (:class:`autocompress.Teacher` has a weight and a
            temperature).
        run: Folder for metrics.jsonl and checkpoints; None writes nothing. Files of an earlier run
            are replaced unless it is resumed.
        resume: Whether to continue from the newest checkpoint in ``run``, if there is one. The data
            must be the same; only their number is compared.
        title: Name of this run in the progress bar.
        progress: Whether to show a progress bar.
        settings: Settings of :class:`FitConfig` by name, e.g. ``epochs=3``, which take the place of
            those in ``config``.

    Returns:
        The history and the seconds it took.

    Raises:
        ConfigError, DataError: The settings or data do not fit the network, or (with ``run``) the
            trained network could not be saved.
        CheckpointError: The newest checkpoint is damaged or belongs to another model, other
            settings or more or fewer data.
        DivergedError: The loss is not finite; the message names the last good checkpoint.
        InterruptedRunError: Ctrl-C, SIGTERM or SIGHUP arrived; the message says how to resume. A
            single process first finishes the current step if that takes no longer than ten seconds,
            and the run resumes from there.
        LockedError: Another process is training in ``run``.
        LostProcessError: Another process of this run has ended.

    Example:
        >>> import torch, autocompress as ac
        >>> data = torch.utils.data.TensorDataset(torch.randn(64, 1, 2, 2), torch.arange(64) % 3)
        >>> net = ac.models.MLP(depth=2, width=8, classes=3, image_size=2, channels=1)
        >>> run = ac.fit(net, data, epochs=2, progress=False)
        >>> len(run.history)
        2
    """
    config = with_settings(config or FitConfig(), settings)
    examples: Data = as_set(train, "training")
    scored: Data | None = None if validation is None else as_set(validation, "validation")
    taught = as_teacher(teacher)
    if path is not None:
        config = replace(config, path=find_path(path))
    if run is not None:
        net.check_savable()
    folder = None if run is None else Path(run)
    with borrowed_accelerator(config) as accelerator, interrupts.listening(), learning():
        parts = assemble(net, examples, scored, config, augment, folder, hooks, accelerator, taught)
        trainer = _Trainer(net, config, folder, accelerator, parts)
        with locked(folder if trainer.is_main else None):
            trainer.run(title, resume, progress)
    return trainer.result


class _Trainer:
    """The state of one call of :func:`fit`."""

    def __init__(
        self,
        net: Network,
        config: FitConfig,
        folder: Path | None,
        accelerator: Accelerator,
        parts: Parts,
    ) -> None:
        self.net, self.config, self.folder, self.accelerator = net, config, folder, accelerator
        self.parts, self.share, self.hooks = parts, parts.share, parts.hooks
        self.steps, self.checkpoints = parts.steps, parts.checkpoints
        self.step = Stepper(net, config, accelerator, parts)
        self.watch = LossWatch(net, config, folder, self.share.total)
        self.result, self.started = Run(), 0.0
        self.total = config.epochs * self.steps
        self.is_main = bool(accelerator.is_main_process)

    # -- the loop ----------------------------------------------------------------------------------

    def run(self, title: str, resume: bool, progress: bool) -> None:
        """Train until the run ends or is interrupted; the error then says how to resume it."""
        self.begin(resume)
        shown = TrainingBar(
            title,
            self.config.epochs,
            self.steps,
            done=len(self.result.history),
            show=progress and self.is_main,
        )
        how = partial(self.checkpoints.how_to_resume, self.result, self.config.epochs)
        try:
            with shown as bar, telling_of_lost(how):
                self.train(bar)
        except KeyboardInterrupt:
            raise InterruptedRunError(how()) from None

    def train(self, bar: TrainingBar) -> None:
        self.hooks.tell("begin", self.net)
        metrics = MetricsFile(self.folder if self.is_main else None, self.result.history)
        with interrupts.finishing() if self.accelerator.num_processes == 1 else nullcontext():
            for epoch in range(len(self.result.history), self.config.epochs):
                bar.epoch(epoch + 1, self._train_epoch(epoch, metrics, bar))
                if interrupts.pending() is not None:
                    interrupts.stop()
        metrics.finish()
        for hook in reversed(self.hooks):  # the average comes first, then the gates settle
            hook.finish(self.net)
        self.net.eval()
        check_end(self.net)

    def _train_epoch(self, epoch: int, metrics: MetricsFile, bar: TrainingBar) -> dict[str, Any]:
        """Train one epoch, with its evaluation, log and checkpoint, and return its record."""
        self.started = time.perf_counter()
        self.hooks.tell("before_epoch", self.net, epoch + 1, self.config.epochs, self.steps)
        check_learning(self.net, self.parts.optimizer)
        loss = self._epoch(epoch, bar)
        check_learning(self.net, self.parts.optimizer)  # a step may have begun it
        self.hooks.tell("after_epoch", self.net, epoch + 1, self.config.epochs)
        record = {"epoch": epoch + 1, "loss": loss, "lr": max(self.parts.schedule.get_last_lr())}
        record |= self._evaluate(epoch + 1)
        self.result.history.append(record)
        record |= self._drop_layers()
        self.result.seconds += time.perf_counter() - self.started
        record["seconds"] = round(self.result.seconds, 3)
        metrics.write(record)
        self.hooks.tell("after_evaluation", self.net, {**record})
        self._checkpoint(epoch + 1)
        return record

    def _epoch(self, epoch: int, bar: TrainingBar) -> float:
        """Make one pass over the training data and return the mean loss."""
        self.checkpoints.begin_epoch()
        seed_epoch(self.config.seed, epoch)
        self.net.train()
        portions = self.parts.epochs.portions(epoch)
        done, total = self.checkpoints.skip(portions, self.config.accumulate)
        for step, group in enumerate(self.step.groups(portions), done):
            if step == self.steps:
                break
            done = step + 1
            moment = Moment(epoch * self.steps + step, self.total)
            total += self.watch.add(self.step(group, moment))
            bar.step(epoch + 1, step + 1, sum(map(self.share.size_of, group)))
            if (step + 1) % self.watch.EVERY == 0:
                self.watch.check(self.share.total(total), epoch + 1, moment.step + 1)
            if interrupts.pending() is not None:
                self._stop(step + 1, total)
        if done < self.steps:
            raise DataError(
                f"epoch {epoch + 1} ended after {done} of {self.steps} steps: the training data "
                "hold fewer examples than their __len__ says. Correct it, or give a number of "
                "steps that every epoch has, FitConfig(steps_per_epoch=N)"
            )
        total = self.share.total(total)
        self.watch.check(total, epoch + 1, (epoch + 1) * self.steps)
        if not total and not self.parts.intake.labelled:
            raise DataError(f"every label of the training data is {IGNORED}: nothing is learned")
        return float(total) / self.steps

    def _drop_layers(self) -> dict[str, int]:
        """Drop the layers that a hook finds redundant and return the log's entry about it."""
        depth = self.hooks.depth_left(self.net, self.result.history, self.config.epochs)
        if depth is None:
            return {}
        self.step.keep(depth)
        return {"kept": depth}

    def _evaluate(self, done: int) -> dict[str, Any]:
        if self.parts.validation is None or not self.config.evaluates_after(done):
            return {}
        net = self.hooks.evaluated(self.net)
        how = partial(autocast, self.config.precision, self.accelerator.device)
        found = scores_by_depth(net, self.parts.validation, autocast=how, what="validation")
        scores, losses = found.means()
        last = Moment(done * self.steps - 1, self.total)  # not every session has made this step
        full = scores[self.step.layers(last)]
        record = {"validation": full, "depths": scores, "losses": losses}
        return self.share.from_main(record)  # rounding must not make processes decide differently

    # -- checkpoints -------------------------------------------------------------------------------

    def _checkpoint(self, done: int) -> None:
        due = done % self.config.checkpoint_every == 0 or done == self.config.epochs
        if self.is_main and (due or interrupts.pending() is not None):
            self.checkpoints.write(self.result)

    def _stop(self, step: int, total: Tensor) -> None:
        """Stop after ``step`` steps of an epoch, with a checkpoint if this is the only process."""
        if self.accelerator.num_processes == 1:
            with suppress(OutputError):  # e.g. a full disk; the previous checkpoint remains
                seconds = time.perf_counter() - self.started
                self.checkpoints.write(self.result, seconds, step, total)
        interrupts.stop()

    def begin(self, resume: bool) -> None:
        """Start from scratch, or from the newest checkpoint in the run folder if there is one."""
        state = self.checkpoints.open(resume, self.is_main)
        self.share.agree(state and (len(state["history"]), state.get("step")), "checkpoints")
        if state is not None:
            for record in state["history"]:
                if "kept" in record:
                    self.step.keep(record["kept"])
            self.checkpoints.load(state)
            self.result = Run(state["history"], state["seconds"])
