"""``fit``: the library's only training loop, on Accelerate."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from autocompress import interrupts
from autocompress.data import Augment, AugmentConfig
from autocompress.errors import ConfigError, DivergedError, InterruptedRunError, OutputError
from autocompress.io.lock import locked
from autocompress.network import Network
from autocompress.training.average import Averaging
from autocompress.training.built_in import built_in_hooks
from autocompress.training.carrying import carry_over
from autocompress.training.config import FitConfig, Run
from autocompress.training.devices import autocast, borrowed_accelerator, on_device, training_device
from autocompress.training.evaluate import scores_by_depth
from autocompress.training.examine import check_end, check_sets, diverged, examine
from autocompress.training.hooks import Hook, Moment
from autocompress.training.identity import defaults_of, identity_of
from autocompress.training.inputs import Data, Normalise, adopt_preprocess, steps_per_epoch
from autocompress.training.optimization import make_optimizer, make_schedule
from autocompress.training.paths import GateSchedule, PathConfig, find_path
from autocompress.training.progress import MetricsFile, TrainingBar
from autocompress.training.pruning import Pruner
from autocompress.training.randomness import seed_epoch
from autocompress.training.resuming import Checkpoints
from autocompress.training.shares import Portion, Share, telling_of_lost
from autocompress.training.step import StepLoss

__all__ = ["fit", "training_device"]

#: Steps between checks that the loss is finite; each check waits for the device.
_CHECK_EVERY = 50


def fit(
    net: Network,
    train: Data,
    validation: Data | None = None,
    config: FitConfig | None = None,
    *,
    path: PathConfig | str | None = None,
    augment: AugmentConfig | None = None,
    hooks: Sequence[Hook] = (),
    run: str | Path | None = None,
    resume: bool = False,
    title: str = "training",
    progress: bool = True,
) -> Run:
    """Train ``net`` in place.

    Every epoch seeds torch from (seed, epoch), so a run that was interrupted and resumed equals an
    uninterrupted run bit for bit (on CPU, and on GPU as far as its kernels are deterministic).
    This changes the random state of the calling process.

    Args:
        net: The network. It ends on the device it was trained on, in eval mode.
        train: Training data: a source of images, or a torch Dataset or DataLoader of
            (inputs, labels).
        validation: Validation data, scored at every depth during training; None scores nothing.
        config: Settings of the run; None is ``FitConfig()``.
        path: Path through the plane of connectivities, as a config or by name (``"anneal"``). It
            takes the place of ``config.path``.
        augment: Augmentation of image sources, applied to whole batches on the device.
        hooks: Further parts of the training, e.g. penalties (:class:`autocompress.training.Hook`).
        run: Folder for metrics.jsonl and checkpoints; None writes nothing. Files of an earlier run
            are replaced unless it is resumed.
        resume: Whether to continue from the newest checkpoint in ``run``, if there is one.
        title: Name of this run in the progress bar.
        progress: Whether to show a progress bar.

    Returns:
        The history and the seconds it took.

    Raises:
        ConfigError, DataError: The settings or data do not fit the network, or (with ``run``) the
            trained network could not be saved.
        CheckpointError: The newest checkpoint is damaged or belongs to another model or settings.
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
        >>> run = ac.fit(net, data, config=ac.FitConfig(epochs=1), progress=False)
        >>> len(run.history)
        1
    """
    config = config or FitConfig()
    if path is not None:
        config = replace(config, path=find_path(path))
    if run is not None:
        net.check_savable()
    with borrowed_accelerator(config) as accelerator, interrupts.listening():
        trainer = _Trainer(net, train, validation, config, augment, run, hooks, accelerator)
        with locked(trainer.folder if trainer.is_main else None):
            trainer.run(title, resume, progress)
    return trainer.result


class _Trainer:
    """The state of one call of :func:`fit`."""

    def __init__(
        self,
        net: Network,
        train: Data,
        validation: Data | None,
        config: FitConfig,
        augment: AugmentConfig | None,
        run: str | Path | None,
        hooks: Sequence[Hook],
        accelerator: Accelerator,
    ) -> None:
        check_sets(net, train, validation)
        self.net, self.config, self.classes = net, config, net.classes
        self.folder = None if run is None else Path(run)
        self.accelerator, self.device = accelerator, accelerator.device
        self.share = Share.of(accelerator)
        if config.layer_drop and self.accelerator.num_processes > 1:
            raise ConfigError("layer_drop draws layers for a whole batch: train in one process")
        adopt_preprocess(net, train)
        first: list[Hook] = [] if config.path is None else [GateSchedule(config.path, net)]
        net.to(self.device)
        self.train_data, self.validation = (on_device(d, self.device) for d in (train, validation))
        self.steps = steps_per_epoch(train, config.batch_size)
        self.share.begin(net, (train, validation), config.batch_size)
        normalise = Normalise(net.preprocess, self.device)
        self.intake = examine(net, train, validation, config, augment, normalise)
        self._losses: list[Tensor] = []  # since the last check
        self.optimizer: Any = make_optimizer(net, config)
        if self.accelerator.scaler is not None:  # else Accelerate's wrapper only costs time
            self.optimizer = self.accelerator.prepare_optimizer(self.optimizer)
        self.schedule = make_schedule(self.optimizer, config, self.steps)
        self.average = None if config.ema is None else Averaging(net, config.ema)
        self.result = Run()
        self.started, self.moment = 0.0, Moment(0, config.epochs * self.steps)
        mixing = None if augment is None else Augment(augment, int(net.classes or 0))
        self.loss = StepLoss(net, config, self.intake.objective, normalise, mixing, self.device)
        pruner = [] if config.prune is None else [Pruner(config.prune.share, config.prune.score)]
        kept = (*pruner, *hooks)  # checkpoints store their states in this order
        last = [] if self.average is None else [self.average]  # averages what the others changed
        own = built_in_hooks(config, net, self.average)
        self.hooks: tuple[Hook, ...] = (*first, *own, *kept, *last)
        self.checkpoints = self._make_checkpoints(kept, augment)

    @property
    def is_main(self) -> bool:
        return bool(self.accelerator.is_main_process)

    def _make_checkpoints(
        self, hooks: Sequence[Hook], augment: AugmentConfig | None
    ) -> Checkpoints:
        parts = {
            "net": self.net,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
            "scaler": self.accelerator.scaler,
            "ema": self.average,
        }
        of = (self.net, self.config, augment)
        identity, defaults = identity_of(*of), defaults_of(*of)
        data = self.train_data
        return Checkpoints(self.folder, parts, hooks, data, identity, defaults, self.device)

    # -- the loop ----------------------------------------------------------------------------------

    def run(self, title: str, resume: bool, progress: bool) -> None:
        """Train until the run ends or is interrupted; the error then says how to resume it."""
        self.begin(resume)
        shown = TrainingBar(title, self.config.epochs, progress and self.is_main)
        how = partial(self.checkpoints.how_to_resume, self.result, self.config.epochs)
        try:
            with shown as bar, telling_of_lost(how):
                self.train(bar)
        except KeyboardInterrupt:
            raise InterruptedRunError(how()) from None

    def train(self, bar: TrainingBar) -> None:
        for hook in self.hooks:
            hook.begin(self.net)
        metrics = MetricsFile(self.folder if self.is_main else None, self.result.history)
        with interrupts.finishing() if self.accelerator.num_processes == 1 else nullcontext():
            for epoch in range(len(self.result.history), self.config.epochs):
                bar.epoch(epoch + 1, self._train_epoch(epoch, metrics))
                if interrupts.pending() is not None:
                    interrupts.stop()
        metrics.finish()
        self._finish()

    def _train_epoch(self, epoch: int, metrics: MetricsFile) -> dict[str, Any]:
        """Train one epoch, with its evaluation, log and checkpoint, and return its record."""
        self.started = time.perf_counter()
        for hook in self.hooks:
            hook.before_epoch(self.net, epoch + 1, self.config.epochs, self.steps)
        loss = self._epoch(epoch)
        for hook in self.hooks:
            hook.after_epoch(self.net, epoch + 1, self.config.epochs)
        record = {"epoch": epoch + 1, "loss": loss, "lr": max(self.schedule.get_last_lr())}
        record |= self._evaluate(epoch + 1)
        self.result.history.append(record)
        record |= self._drop_layers()
        self.result.seconds += time.perf_counter() - self.started
        record["seconds"] = round(self.result.seconds, 3)
        metrics.write(record)
        self._checkpoint(epoch + 1)
        return record

    def _epoch(self, epoch: int) -> float:
        """Make one pass over the training data and return the mean loss."""
        self.checkpoints.begin_epoch()
        seed_epoch(self.config.seed, epoch)
        self.net.train()
        portions = self.share.batches(self.train_data, self.config.batch_size, self.intake)
        begin, total = self.checkpoints.skip(portions)
        for step, portion in enumerate(portions, begin):
            if step == self.steps:
                break
            self.moment = Moment(epoch * self.steps + step, self.config.epochs * self.steps)
            self._losses.append(self._step(portion))
            total += self._losses[-1]
            if (step + 1) % _CHECK_EVERY == 0:
                self._check_finite(self.share.total(total), epoch, step)
            if interrupts.pending() is not None:
                self._stop(step + 1, total)
        total = self.share.total(total)
        self._check_finite(total, epoch, self.steps - 1)
        return float(total) / self.steps

    def _step(self, portion: Portion) -> Tensor:
        for hook in self.hooks:
            hook.before_forward(self.net, self.moment)
        mixes = self.loss.augment is not None
        inputs, targets, weight = self.share.own(portion, self.loss.prepare, mixes)
        layers = self.layers
        dropped = [index for hook in self.hooks for index in hook.dropped(layers, self.moment)]
        loss = self.loss(inputs, targets, layers, self.moment, dropped)
        loss = loss if weight is None else loss * weight
        penalties = [hook.penalty(self.net) for hook in self.hooks]
        total = sum((p for p in penalties if p is not None), loss)
        self.accelerator.backward(total)
        self.share.average_gradients(self.net)
        if self.config.clip_norm is not None:  # unscales first: the norm is the true gradient's
            self.accelerator.clip_grad_norm_(self.net.parameters(), self.config.clip_norm)
        for hook in self.hooks:
            hook.before_step(self.net)
        self.optimizer.step()
        for hook in self.hooks:
            hook.after_step(self.net)
        self.optimizer.zero_grad()
        self.schedule.step()
        return loss.detach().clone()  # a compiled graph may reuse its output's memory

    @property
    def layers(self) -> int:
        """Return how many layers run now."""
        depth = self.net.depth
        return min((hook.layers(depth, self.moment) for hook in self.hooks), default=depth)

    def _drop_layers(self) -> dict[str, int]:
        """Drop the layers that a hook finds redundant and return the log's entry about it."""
        epochs, history = self.config.epochs, self.result.history
        asked = [hook.depth_left(self.net, history, epochs) for hook in self.hooks]
        depths = [depth for depth in asked if depth is not None]
        if not depths:
            return {}
        self._keep(min(depths))
        return {"kept": min(depths)}

    def _keep(self, depth: int) -> None:
        """Keep the first ``depth`` layers and adapt hooks, optimizer and compiled graph."""
        before = list(self.net.named_parameters())
        self.net.keep(depth)
        for hook in self.hooks:
            hook.after_cut(depth)
        optimizer = getattr(self.optimizer, "optimizer", self.optimizer)
        carry_over(optimizer, before, self.net.named_parameters())
        self.loss.rebuild()

    def _evaluate(self, done: int) -> dict[str, Any]:
        if self.validation is None or not self.config.evaluates_after(done):
            return {}
        net = self.net
        for hook in self.hooks:
            net = hook.evaluated(net)
        how = partial(autocast, self.config.precision, self.device)
        found = scores_by_depth(net, self.validation, autocast=how, what="validation")
        scores, losses = found.means()
        record = {"validation": scores[self.layers], "depths": scores, "losses": losses}
        return self.share.from_main(record)  # rounding must not make processes decide differently

    def _finish(self) -> None:
        for hook in reversed(self.hooks):  # the average comes first, then the gates settle
            hook.finish(self.net)
        self.net.eval()
        check_end(self.net)

    def _check_finite(self, total: Tensor, epoch: int, step: int) -> None:
        losses, self._losses = self._losses, []
        if not torch.isfinite(total):
            losses = [self.share.total(loss) for loss in losses]
            steps = epoch * self.steps + step + 1
            said = diverged(self.net, self.config, losses, steps, self.folder)
            raise DivergedError(f"epoch {epoch + 1}: {said}")

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
                    self._keep(record["kept"])
            self.checkpoints.load(state)
            self.result = Run(state["history"], state["seconds"])
