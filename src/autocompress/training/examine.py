"""Checks that ``fit`` makes before its first step and after its last."""

from __future__ import annotations

from typing import Any

from autocompress.checks import check_network, not_finite_weights
from autocompress.data import AugmentConfig, Examples
from autocompress.errors import ConfigError, DivergedError
from autocompress.io.quantised import check_trainable
from autocompress.network import Network
from autocompress.training.forms import peek
from autocompress.training.inputs import Data, Normalise, check_data, network_batches
from autocompress.training.intake import Intake
from autocompress.training.objective import Objective
from autocompress.training.objectives import Regression, objective_of

__all__ = ["check_end", "check_learning", "check_sets", "check_settings", "examine"]


def check_sets(net: Network, train: Data, validation: Data | None) -> None:
    """Raise ConfigError if ``net`` is not our network, DataError if the data do not suit it."""
    check_network(net, "fit")
    check_trainable(net)
    _check_outside_inference(net)
    check_data(train, net.classes, "training")
    if validation is not None:
        check_data(validation, net.classes, "validation")


def _check_outside_inference(net: Network) -> None:
    """Raise ConfigError if weights were made in inference mode, which autograd never records."""
    for name, tensor in (*net.named_parameters(), *net.named_buffers()):
        if tensor.is_inference():
            raise ConfigError(
                f"this network was made inside torch.inference_mode() ({name} is an inference "
                "tensor), and torch cannot train such weights: build, convert or load it outside"
            )


def examine(
    net: Network,
    train: Data,
    validation: Data | None,
    augment: AugmentConfig | None,
    normalise: Normalise,
) -> Intake:
    """Check the settings and the first examples; return the intake of the training batches.

    Nothing is changed: no weight, no random state, no position in a data set.

    Raises:
        ConfigError: A setting is invalid for the network's objective.
        DataError, ShapeError: The examples do not fit the network.
        NotFiniteError: The outputs are not finite.
    """
    check_settings(objective_of(net), augment)
    intakes = []
    for data, what in ((train, "training"), (validation, "validation")):
        if data is not None:
            intake = Intake(net, what, values=not isinstance(data, Examples))
            intake.learn(peek(data, what), normalise.bytes)
            intakes.append(intake)
    if validation is not None and isinstance(intakes[0].objective, Regression):
        intakes[0].objective.check_varied(
            labels for _, labels in network_batches(net, validation, 256, "validation")
        )
    return intakes[0]


def check_settings(objective: Objective, augment: AugmentConfig | None) -> None:
    """Raise ConfigError for a setting that makes no sense for the objective."""
    if augment is not None and (augment.cutmix or augment.mixup):
        objective.check_mixing()


def check_learning(net: Network, optimizer: Any) -> None:
    """Raise ConfigError if a hook lets parameters learn that the optimizer does not know.

    They would stay as they are, and their gradients add up and count in the norm that is clipped.
    """
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    late = [n for n, p in net.named_parameters() if p.requires_grad and id(p) not in held]
    if late:
        raise ConfigError(
            f"a hook lets {len(late)} parameters learn that were frozen when fit was called, the "
            f"first is {late[0]}, and the optimizer has only those that were not: call fit with "
            "all of them trainable, and freeze them in the hook's begin() until they should learn"
        )


def check_end(net: Network) -> None:
    """Raise DivergedError if the last step has left weights that are not finite."""
    weights = not_finite_weights(net)
    if weights:
        raise DivergedError(
            f"after the last step {len(weights)} weights are not finite, the first is "
            f"{weights[0]}: train again with a lower lr or another precision"
        )
