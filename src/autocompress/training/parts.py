"""Check the arguments of ``fit`` and build what its loop works with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from autocompress.data import Augment, AugmentConfig
from autocompress.errors import ConfigError
from autocompress.network import Network
from autocompress.training.config import FitConfig
from autocompress.training.devices import on_device
from autocompress.training.epochs import Epochs
from autocompress.training.examine import check_sets, examine
from autocompress.training.forms import has_length
from autocompress.training.hooks import Hook, Participants, said_by
from autocompress.training.identity import defaults_of, identity_of
from autocompress.training.inputs import Data, Normalise, adopt_preprocess, steps_per_epoch
from autocompress.training.intake import Intake
from autocompress.training.optimization import make_optimizer, make_schedule
from autocompress.training.resuming import Checkpoints
from autocompress.training.shares import Share
from autocompress.training.step import StepLoss
from autocompress.training.teacher import Teacher
from autocompress.training.track import Tracking

__all__ = ["Parts", "assemble"]


@dataclass(frozen=True)
class Parts:
    """The parts of a run, each on the device it needs.

    Attributes:
        train, validation: Data; no validation data means that nothing is scored.
        steps: Number of steps per epoch.
        epochs: The batches of every epoch.
        share: This process's share of the work.
        intake: Checks that every batch passes through.
        optimizer: The optimizer, in Accelerate's wrapper if gradients are scaled.
        schedule: Schedule of the learning rate.
        loss: Function that computes the loss of a step.
        hooks: All hooks of the run, in the order in which they are called.
        checkpoints: Checkpoints of the run, for writing and resuming.
    """

    train: Data
    validation: Data | None
    steps: int
    epochs: Epochs
    share: Share
    intake: Intake
    optimizer: Any
    schedule: Any
    loss: StepLoss
    hooks: Participants
    checkpoints: Checkpoints


def assemble(
    net: Network,
    train: Data,
    validation: Data | None,
    config: FitConfig,
    augment: AugmentConfig | None,
    folder: Path | None,
    hooks: Sequence[Hook],
    accelerator: Accelerator,
    teacher: Teacher | None = None,
) -> Parts:
    """Check the arguments of ``fit``, move ``net`` to its device and build the parts of the run.

    Raises:
        ConfigError, DataError, ShapeError, NotFiniteError: As for :func:`autocompress.fit`.
    """
    check_sets(net, train, validation)
    device, share = accelerator.device, Share.of(accelerator)
    steps = steps_per_epoch(train, config.batch_size, config.steps_per_epoch, config.accumulate)
    net.to(device)  # a rule may run the network to learn its cost
    _check_options(config, net, steps, validation is not None, accelerator.num_processes)
    adopt_preprocess(net, train)
    if teacher is not None:
        teacher.check(net)
        teacher.net.to(device).eval()
    asked = _hooks_of(config, net)
    share.begin(net, (train, validation), config.batch_size)
    normalise = Normalise(net.preprocess, device)
    intake = examine(net, train, validation, augment, normalise)
    optimizer = _optimizer(net, config, accelerator)
    schedule = make_schedule(optimizer, config, steps)
    mixing = None if augment is None else Augment(augment, int(net.classes or 0))
    loss = StepLoss(net, config, intake.objective, normalise, mixing, device, teacher)
    told: list[Hook] = []
    if config.track is not None:
        told.append(Tracking(config.track, folder, accelerator.is_main_process))
    stored = _with_state(asked)
    stateful = {
        "net": net,
        "optimizer": optimizer,
        "schedule": schedule,
        "scaler": accelerator.scaler,
        **{hook.kept_as: hook for hook in stored if hook.kept_as},
    }
    kept = (*(hook for hook in stored if not hook.kept_as), *hooks)  # in this order in checkpoints
    moved, scored = on_device(train, device), on_device(validation, device)
    run = (net, config, augment)
    taught = {} if teacher is None or folder is None else {"teacher": teacher.identity()}
    identity = identity_of(*run) | taught | _length(train)
    defaults = defaults_of(*run) | {*_length(train)}  # earlier versions stored no length
    return Parts(
        train=moved,
        validation=scored,
        steps=steps,
        epochs=Epochs(
            share, moved, config.batch_size, intake, steps * config.accumulate, config.seed
        ),
        share=share,
        intake=intake,
        optimizer=optimizer,
        schedule=schedule,
        loss=loss,
        hooks=_in_order(asked, (*told, *hooks)),
        checkpoints=Checkpoints(folder, stateful, kept, moved, identity, defaults, device),
    )


def _hooks_of(config: FitConfig, net: Network) -> list[Hook]:
    """Return the hooks that ``config`` asks for, in the order in which they are built.

    Args:
        config: Settings of the training.
        net: The network. A path gives it scheduled gates, so this comes before the optimizer.
    """
    found: list[Hook] = []
    for options in config.asked():
        copies = [copy for hook in found for copy in hook.copies]
        found.append(options.hook(net, copies))
    return found


def _with_state(hooks: Sequence[Hook]) -> list[Hook]:
    """Return the hooks that have a state of their own, for the checkpoints."""
    return [hook for hook in hooks if type(hook).state_dict is not Hook.state_dict]


def _in_order(asked: Sequence[Hook], added: Sequence[Hook]) -> Participants:
    """Return all hooks in the order in which they are called.

    By their place, then those without a state, those with one, and the caller's.
    """
    stateful = _with_state(asked)
    free = [hook for hook in asked if hook not in stateful]
    return Participants(sorted((*free, *stateful, *added), key=lambda hook: hook.place))


def _length(train: Data) -> dict[str, int]:
    """Return the number of training examples, or of a DataLoader's batches; nothing of a stream."""
    return {"train_length": len(train)} if has_length(train) else {}  # type: ignore[arg-type]


def _optimizer(net: Network, config: FitConfig, accelerator: Accelerator) -> Any:
    optimizer = make_optimizer(net, config)
    if accelerator.scaler is None:  # Accelerate's wrapper would only cost time
        return optimizer
    return accelerator.prepare_optimizer(optimizer)


def _check_options(
    config: FitConfig, net: Network, steps: int, validated: bool, processes: int
) -> None:
    """Raise ConfigError for options that cannot do in this run what they ask for.

    A hook may also work in one process only, while there are several.
    """
    if config.distil is not None:
        config.distil.check(net)
    for options in config.asked():
        said_by(options, "check_run")(net, config.epochs * steps, validated)
        if processes > 1 and (why := said_by(options, "alone")):
            raise ConfigError(why)
