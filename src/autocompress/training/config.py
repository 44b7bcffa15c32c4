"""Everything that a training run is told, as one frozen object."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from autocompress.errors import ConfigError

__all__ = ["AnnealConfig", "FitConfig"]


@dataclass(frozen=True, kw_only=True)
class AnnealConfig:
    """Move (s, g) along a straight line of the plane while training.

    Args:
        begin: strengths (short, long) at the start; (1, 0) is a residual network.
        end: strengths from ``stop`` on; (0, 1) is an ACN.
        start: share of all steps after which the gates begin to move.
        stop: share of all steps after which they stand still.
        inner: skip strength of all but the last branch of a layer; None follows the short one.
    """

    begin: tuple[float, float] = (1.0, 0.0)
    end: tuple[float, float] = (0.0, 1.0)
    start: float = 0.2
    stop: float = 0.7
    inner: float | None = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop <= 1:
            raise ConfigError(
                f"anneal.start {self.start} and anneal.stop {self.stop} must be shares of the run "
                "with 0 <= start < stop <= 1"
            )

    def at(self, progress: float) -> tuple[float, float]:
        """(s, g) when the share ``progress`` of the run is over.

        >>> AnnealConfig(start=0.0, stop=0.5).at(0.25)
        (0.5, 0.5)
        """
        p = min(1.0, max(0.0, (progress - self.start) / (self.stop - self.start)))
        s, g = ((1 - p) * a + p * b for a, b in zip(self.begin, self.end, strict=True))
        return s, g


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """How to train one network.

    Args:
        epochs: passes over the training data.
        batch_size: images per step, over all processes.
        optimizer: ``adamw`` or ``sgd`` (Nesterov momentum).
        lr: highest learning rate.
        min_lr: learning rate at the end of the cosine.
        warmup_epochs: epochs of linear warm-up before the cosine.
        weight_decay: decoupled for AdamW; matrices only, not norms, biases and gates.
        betas: AdamW's averaging factors.
        eps: AdamW's damping. Where gradients are of its size, layers with larger gradients take
            larger steps (docs/blocks.md).
        momentum: SGD's.
        label_smoothing: share of the target spread over all classes.
        clip_norm: largest norm of the true (unscaled) gradient; None does not clip.
        precision: ``fp32``, ``bf16`` or ``fp16`` autocast.
        compile: ``off``, or a mode of torch.compile.
        ema: decay of an exponential moving average of the weights, which is then what is
            evaluated and kept; None keeps the weights themselves.
        detached: train with the direct gradient only.
        anneal: move the connectivity's gates during the run; None trains the network as it is.
        seed: of the order of the data, augmentation and dropout.
        device: ``auto`` or ``cpu``.
        evaluate_every: epochs between two evaluations on validation data (the last always is).
        checkpoint_every: epochs between two checkpoints (the last always is).
    """

    epochs: int = 20
    batch_size: int = 64
    optimizer: Literal["adamw", "sgd"] = "adamw"
    lr: float = 1e-3
    min_lr: float = 1e-6
    warmup_epochs: float = 3.0
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    momentum: float = 0.9
    label_smoothing: float = 0.1
    clip_norm: float | None = 1.0
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    compile: Literal["off", "default", "reduce-overhead", "max-autotune"] = "off"
    ema: float | None = None
    detached: bool = False
    anneal: AnnealConfig | None = None
    seed: int = 0
    device: Literal["auto", "cpu"] = "auto"
    evaluate_every: int = 1
    checkpoint_every: int = 1

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "lr", "evaluate_every", "checkpoint_every"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} {getattr(self, name)} must be greater than 0")
        for name in ("weight_decay", "eps", "warmup_epochs", "min_lr"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} {getattr(self, name)} must not be negative")
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(f"label_smoothing {self.label_smoothing} must be in [0, 1)")
        if self.ema is not None and not 0 < self.ema < 1:
            raise ConfigError(f"ema {self.ema} must be between 0 and 1, or left out")
        if self.clip_norm is not None and self.clip_norm <= 0:
            raise ConfigError(f"clip_norm {self.clip_norm} must be greater than 0, or left out")
        self._check_choices()

    def _check_choices(self) -> None:
        legal = {
            "optimizer": ("adamw", "sgd"),
            "precision": ("fp32", "bf16", "fp16"),
            "compile": ("off", "default", "reduce-overhead", "max-autotune"),
            "device": ("auto", "cpu"),
        }
        for name, values in legal.items():
            if getattr(self, name) not in values:
                raise ConfigError(f"{name} {getattr(self, name)!r} is none of {', '.join(values)}")


@dataclass
class Run:
    """What :func:`autocompress.fit` returns.

    Attributes:
        history: one record per epoch, as in metrics.jsonl.
        seconds: wall-clock of the training itself, over all sessions of a resumed run.
    """

    history: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0


def difference(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """The keys on which two configs differ, with both values, for error messages."""
    keys = sorted({*old, *new})
    return [f"{k}: {old.get(k)!r} -> {new.get(k)!r}" for k in keys if old.get(k) != new.get(k)]
