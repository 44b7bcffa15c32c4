"""The settings of a training run as one frozen object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from autocompress.bounds import check_numbers
from autocompress.errors import ConfigError, UnknownNameError
from autocompress.training.average import EmaConfig
from autocompress.training.cutting import CutConfig
from autocompress.training.distil import DistilConfig
from autocompress.training.growth import GrowConfig
from autocompress.training.hooks import HookOptions, check_hooks, said_by
from autocompress.training.layer_dropout import LayerDropConfig
from autocompress.training.live import LiveConfig
from autocompress.training.paths import PathConfig
from autocompress.training.pruning import PruneConfig

__all__ = ["FitConfig", "Run", "with_settings"]


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """Settings for training one network.

    Args:
        epochs: Number of passes over the training data.
        batch_size: Examples per batch, summed over all processes.
        accumulate: Number of batches whose gradients make one step. A step then counts
            ``batch_size * accumulate`` examples, with the memory of ``batch_size``, and its
            gradient is the mean over all of them, as that of one large batch.
        steps_per_epoch: Number of steps in an epoch; None is one pass over the data, whose length
            must then be known. A stream continues in the next epoch where the last one stopped.
        optimizer: ``adamw``, ``sgd`` (Nesterov momentum), ``lion`` or ``muon`` (for the matrices of
            the blocks, AdamW for the rest); the last two need the extra ``optim``.
        lr: Peak learning rate.
        schedule: Shape of the learning rate's decay: ``cosine``, ``linear``, or ``wsd``, which
            keeps it constant for 85 % of the run and then lowers it linearly; ``wsd`` suits runs
            in which the network grows or is cut.
        min_lr: Learning rate at the end of the schedule; its default is never above ``lr``.
        warmup_epochs: Number of epochs of linear warm-up before the schedule; None is 3, or a tenth
            of the run if that is less.
        gate_lr: Learning rate of learned gates, as a factor of ``lr``. A gate scales everything
            that passes through a connection, so steps of a weight's size are too large for it.
        weight_decay: Weight decay of matrices, decoupled for AdamW. Norms, biases, gates, class
            tokens, positions and the parameters in a host's ``no_weight_decay()`` do not decay.
        layer_decay: Factor of the learning rate from one layer to the one below it, as in timm:
            with L blocks, block i learns at ``lr * layer_decay ** (L + 1 - i)``, the stem as i = 0
            and the head at ``lr``. Above 1 the early layers learn faster than the later ones.
        betas: Averaging factors of AdamW and Lion.
        eps: AdamW's epsilon. Where gradients are about as small as it is, layers with larger
            gradients take larger steps (docs/blocks.md).
        momentum: Momentum of SGD and Muon.
        label_smoothing: Share of the target that is spread over all classes.
        clip_norm: Largest norm of the (unscaled) gradient; None disables clipping.
        precision: ``fp32``, ``bf16`` or ``fp16`` autocast.
        compile: Mode of torch.compile, or ``off``.
        ema: Decay of an exponential moving average of the weights, which is then evaluated and
            kept in place of the weights; None keeps the weights themselves.
        mediated: Weight, 0..1, of the gradient that reaches a block through later blocks; at 0 a
            block is trained only through its own long connection (the direct gradient).
        layer_drop: Probability that a step skips the last layer (LayerSkip). It falls to 0 at the
            first layer. A layer is skipped for the whole batch.
        layer_drop_grows: Whether the probability rises from 0 to ``layer_drop`` over the run, as
            LayerSkip advises for training from scratch.
        path: Path along which the connectivity's gates move; None keeps the connectivity.
        distil: Losses of shallower readouts; None uses only the loss at full depth.
        live: Rule that drops top layers which validation shows to be redundant; None keeps all.
        grow: Rule by which the run begins with few layers; None begins with all.
        cut: Cuts to the first layers at given shares of the run; None keeps all layers.
        prune: Rule that sets weights of the blocks to zero during training; None keeps all.
        hooks: Options of further hooks by their registered name
            (:func:`autocompress.training.register_hook`); in YAML and on the command line they
            stand beside the other options.
        seed: Seed of the data's order, augmentation and dropout.
        device: ``auto`` or ``cpu``.
        evaluate_every: Epochs between evaluations on validation data (always after the last).
        checkpoint_every: Epochs between checkpoints (always after the last).
        track: Tracker that receives each epoch's metrics: ``tensorboard``, ``trackio`` or
            ``wandb``, which needs the extra of that name. Empty tracks nothing.

    Raises:
        ConfigError: A value is out of range, or options cannot be combined.

    Example:
        >>> FitConfig(epochs=3, evaluate_every=2).evaluates_after(3)
        True
    """

    epochs: int = 20
    batch_size: int = 64
    accumulate: int = 1
    steps_per_epoch: int | None = None
    optimizer: Literal["adamw", "sgd", "lion", "muon"] = "adamw"
    lr: float = 1e-3
    schedule: Literal["cosine", "linear", "wsd"] = "cosine"
    min_lr: float = 1e-6
    warmup_epochs: float | None = None
    gate_lr: float = 0.01
    weight_decay: float = 0.05
    layer_decay: float = 1.0
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    momentum: float = 0.9
    label_smoothing: float = 0.1
    clip_norm: float | None = 1.0
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    compile: Literal["off", "default", "reduce-overhead", "max-autotune"] = "off"
    ema: float | None = None
    mediated: float = 1.0
    layer_drop: float = 0.0
    layer_drop_grows: bool = False
    path: PathConfig | None = None
    distil: DistilConfig | None = None
    live: LiveConfig | None = None
    grow: GrowConfig | None = None
    cut: CutConfig | None = None
    prune: PruneConfig | None = None
    hooks: Mapping[str, HookOptions] = field(default_factory=dict, hash=False)
    seed: int = 0
    device: Literal["auto", "cpu"] = "auto"
    evaluate_every: int = 1
    checkpoint_every: int = 1
    track: Literal["tensorboard", "trackio", "wandb"] | None = None

    def __post_init__(self) -> None:
        check_numbers(self)
        for name in (
            "epochs",
            "batch_size",
            "accumulate",
            "lr",
            "gate_lr",
            "layer_decay",
            "evaluate_every",
            "checkpoint_every",
        ):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} {getattr(self, name)} must be greater than 0")
        if self.steps_per_epoch is not None and self.steps_per_epoch < 1:
            raise ConfigError(
                f"steps_per_epoch {self.steps_per_epoch} must be at least 1, or left out"
            )
        for name in ("weight_decay", "eps", "warmup_epochs", "min_lr"):
            if (getattr(self, name) or 0) < 0:
                raise ConfigError(f"{name} {getattr(self, name)} must not be negative")
        if self.min_lr > self.lr and self.min_lr != FitConfig.min_lr:
            raise ConfigError(
                f"min_lr {self.min_lr:g} must not be above lr {self.lr:g}, which is the peak"
            )
        if not all(0 <= beta < 1 for beta in (*self.betas, self.momentum)):
            raise ConfigError(
                f"betas {list(self.betas)} and momentum {self.momentum} must be shares in [0, 1)"
            )
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(f"label_smoothing {self.label_smoothing} must be in [0, 1)")
        if self.clip_norm is not None and self.clip_norm <= 0:
            raise ConfigError(f"clip_norm {self.clip_norm} must be greater than 0, or left out")
        if not 0 <= self.mediated <= 1:
            raise ConfigError(f"mediated {self.mediated} must be a share between 0 and 1")
        check_hooks(self.hooks)
        for options in self.asked():
            said_by(options, "check")(self)
        self._check_choices()

    @property
    def warmup(self) -> float:
        """Return the number of epochs of warm-up.

        Example:
            >>> FitConfig(epochs=40).warmup, FitConfig(epochs=5).warmup
            (3.0, 0.5)
        """
        return min(3.0, 0.1 * self.epochs) if self.warmup_epochs is None else self.warmup_epochs

    def asked(self) -> list[HookOptions]:
        """Return the options of all hooks that this training asks for.

        The order is that in which the hooks are built: the gates of a path are parameters or
        buffers of the network, and an average begins as a copy of it.
        """
        ema = None if self.ema is None else EmaConfig(decay=self.ema)
        drop = None
        if self.layer_drop:
            drop = LayerDropConfig(most=self.layer_drop, grows=self.layer_drop_grows)
        fields_of = (self.path, ema, drop, self.grow, self.cut, self.live, self.prune)
        return [options for options in (*fields_of, *self.hooks.values()) if options is not None]

    def evaluates_after(self, epoch: int) -> bool:
        """Return whether all depths are scored when ``epoch`` (from 1) is over."""
        if epoch % self.evaluate_every == 0 or epoch == self.epochs:
            return True
        return any(said_by(options, "scored_after")(epoch, self.epochs) for options in self.asked())

    def plain(self) -> FitConfig:
        """Return these settings without anything that leads to fewer layers.

        Rivals and cut networks train with these. Pruning stays, so that a network that is compared
        with a sparse one is as sparse.
        """
        kept = self._changed(lambda options: None if said_by(options, "shallower") else options)
        return replace(kept, distil=None, mediated=1.0, layer_drop=0.0)

    def over(self, more: int) -> FitConfig:
        """Return the settings of a run of ``more`` epochs whose hooks end in the same state."""
        changed = self._changed(lambda options: said_by(options, "over")(self.epochs, more))
        return replace(changed, epochs=self.epochs + more)

    def settled(self) -> FitConfig:
        """Return the :meth:`plain` settings that train a network of these further."""
        return self.plain()._changed(lambda options: said_by(options, "settled")())

    def _changed(self, change: Callable[[HookOptions], HookOptions | None]) -> FitConfig:
        """Return the settings with the options of every hook changed, or without those for None."""
        of_fields: dict[str, Any] = {
            item.name: change(getattr(self, item.name))
            for item in fields(self)
            if hasattr(getattr(self, item.name), "shallower")
        }
        changed = {name: change(options) for name, options in self.hooks.items()}
        kept = {name: options for name, options in changed.items() if options is not None}
        return replace(self, **of_fields, hooks=kept)

    def _check_choices(self) -> None:
        legal = {
            "optimizer": ("adamw", "sgd", "lion", "muon"),
            "schedule": ("cosine", "linear", "wsd"),
            "precision": ("fp32", "bf16", "fp16"),
            "compile": ("off", "default", "reduce-overhead", "max-autotune"),
            "device": ("auto", "cpu"),
            "track": (None, "tensorboard", "trackio", "wandb"),
        }
        for name, values in legal.items():
            if getattr(self, name) not in values:
                raise ConfigError(
                    f"{name} {getattr(self, name)!r} is not one of {', '.join(map(str, values))}"
                )


def with_settings(config: FitConfig, settings: Mapping[str, Any]) -> FitConfig:
    """Return ``config`` with some settings replaced.

    Raises:
        UnknownNameError: There is no setting of that name.
        ConfigError: A value is invalid.

    Example:
        >>> with_settings(FitConfig(), {"epochs": 3}).epochs
        3
    """
    known = [item.name for item in fields(config)]
    for name in settings:
        if name not in known:
            raise UnknownNameError("setting of fit", name, known)
    return replace(config, **settings)


@dataclass
class Run:
    """The result of :func:`autocompress.fit`.

    Attributes:
        history: One record per epoch, as in metrics.jsonl.
        seconds: Wall-clock time of training, over all sessions of a resumed run.
    """

    history: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
