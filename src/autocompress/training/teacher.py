"""A trained network that teaches another one, usually a shallower one: distillation of outputs.

The student learns the labels and, beside them, the teacher's distribution on the same (augmented)
inputs (Hinton et al. 2015, arXiv 1503.02531). For readouts of one network that teach each other,
see :class:`autocompress.DistilConfig`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from autocompress.errors import ConfigError
from autocompress.io.layers import hash_of_tensors
from autocompress.network import Network
from autocompress.training.devices import autocast
from autocompress.training.objective import Objective

__all__ = ["Teacher", "as_teacher"]


@dataclass(frozen=True)
class Teacher:
    """A trained network whose outputs :func:`autocompress.fit` teaches to another network.

    Args:
        net: The network. It is not trained; ``fit`` leaves it on the student's device, in eval
            mode.
        weight: Weight of the distance from its outputs; the loss of the labels has weight 1.
        temperature: Temperature T of both distributions; the divergence is multiplied by T^2, so
            that its gradients keep their size. Numbers (regression) have none.

    Raises:
        ConfigError: The network is not ours, or a number is not above 0.

    Example:
        >>> import torch, autocompress as ac
        >>> data = torch.utils.data.TensorDataset(torch.randn(8, 1, 2, 2), torch.arange(8) % 3)
        >>> whole = ac.models.MLP(depth=4, width=4, classes=3, image_size=2, channels=1)
        >>> small = ac.cut(whole, 2)
        >>> run = ac.fit(small, data, epochs=1, teacher=ac.Teacher(whole), progress=False)
    """

    net: Network
    weight: float = 1.0
    temperature: float = 2.0

    def __post_init__(self) -> None:
        if not isinstance(self.net, Network):
            raise ConfigError(
                f"a teacher must be a network of autocompress, not {type(self.net).__name__}: "
                "ac.convert makes one of a timm, transformers or own network"
            )
        for name in ("weight", "temperature"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"the teacher's {name} {getattr(self, name)} must be above 0")

    def check(self, student: Network) -> None:
        """Raise ConfigError if the student shares weights with the teacher or has other outputs."""
        if self.net.classes != student.classes:
            raise ConfigError(
                f"the teacher has {self.net.classes} outputs and the network that it teaches has "
                f"{student.classes}"
            )
        own = {id(parameter) for parameter in student.parameters()}
        if any(id(parameter) in own for parameter in self.net.parameters()):
            raise ConfigError(
                "the teacher shares weights with the network that it teaches, so it would change "
                "while it teaches: give a network of its own, e.g. one that ac.load has read"
            )

    def logits(self, inputs: Any, precision: str) -> Tensor:
        """Return the outputs (B, K) or (B, N, K) for a batch of the student's inputs."""
        device = next(self.net.parameters()).device
        with torch.no_grad(), autocast(precision, device):
            found: Tensor = self.net(inputs)
        return found

    def loss(self, logits: Tensor, taught: Tensor, targets: Tensor, objective: Objective) -> Tensor:
        """Return the weighted distance of the student's outputs from the teacher's, a scalar.

        Args:
            logits: The student's outputs (B, K) or (B, N, K).
            taught: The teacher's, of the same shape.
            targets: Targets in the objective's form; of tokens, they say which count.
            objective: The student's objective.
        """
        ours, theirs = (outputs.float().flatten(0, -2) for outputs in (logits, taught))
        tokens = targets if logits.ndim > 2 else None
        return self.weight * objective.imitation(ours, theirs, self.temperature, tokens)

    def identity(self) -> dict[str, Any]:
        """Return JSON that says who teaches and how, for checkpoints."""
        said = {"weight": self.weight, "temperature": self.temperature}
        return {**said, "weights": hash_of_tensors(self.net.state_dict())[:16]}


def as_teacher(given: Teacher | Network | None) -> Teacher | None:
    """Return a network as the teacher that it is with the default options.

    Example:
        >>> as_teacher(None) is None
        True
    """
    return given if given is None or isinstance(given, Teacher) else Teacher(given)
