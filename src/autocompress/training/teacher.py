"""A trained network that teaches another one, usually a shallower one: distillation.

The student learns the labels and, beside them, the teacher's distribution on the same (augmented)
inputs (Hinton et al. 2015, arXiv 1503.02531), and if asked the states between its layers (Sun et
al. 2019, arXiv 1908.09355). For readouts of one network that teach each other, see
:class:`autocompress.DistilConfig`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from autocompress.data import ImageInput
from autocompress.data.listing import some
from autocompress.errors import ConfigError
from autocompress.io.layers import hash_of_tensors
from autocompress.network import Network
from autocompress.training.devices import autocast
from autocompress.training.distil import Readouts
from autocompress.training.objective import Objective

__all__ = ["Taught", "Teacher", "as_teacher"]


class Taught(NamedTuple):
    """A teacher's outputs and hidden states for a batch, and which of its tokens count."""

    logits: Tensor  #: (B, K) or (B, N, K)
    hidden: list[Tensor] = []  # noqa: RUF012 - never changed
    counted: Tensor | None = None  #: bool (B, N); None: all
    factor: Tensor | None = None  #: scalar on the distance of hidden states; None: 1


@dataclass(frozen=True)
class Teacher:
    """A trained network whose outputs :func:`autocompress.fit` teaches to another network.

    Args:
        net: The network. It is not trained; ``fit`` leaves it on the student's device, in eval
            mode.
        weight: Weight of the distance from its outputs; the loss of the labels has weight 1.
        temperature: Temperature T of both distributions; the divergence is multiplied by T^2, so
            that its gradients keep their size. Numbers (regression) have none.
        hidden: Weight of the distance between hidden states (:meth:`loss`), which both networks
            need in the same width; 0 leaves them alone.
        at: Depths of this network whose hidden states the student's depths 1, 2, .. learn,
            ascending, one for each layer of the student, of which those count that run; None
            spreads them evenly over the layers that run, as 2, 4 and 6 for three of six.

    Raises:
        ConfigError: The network is not ours, or a number is out of range.

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
    hidden: float = 0.0
    at: Sequence[int] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.net, Network):
            raise ConfigError(
                f"a teacher must be a network of autocompress, not {type(self.net).__name__}: "
                "ac.convert makes one of a timm, transformers or own network"
            )
        for name in ("weight", "temperature"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"the teacher's {name} {getattr(self, name)} must be above 0")
        if not self.hidden >= 0:
            raise ConfigError(f"the teacher's hidden {self.hidden} must be a weight, 0 or more")

    def check(self, student: Network) -> None:
        """Raise ConfigError if the student shares weights with the teacher or does not fit it."""
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
        if not _same_words(self.net.tokenizer, student.tokenizer):
            raise ConfigError(
                "the teacher has another tokenizer than the network that it teaches, so the same "
                "token means another word to it: train both on tokens of one tokenizer"
            )
        theirs, ours = self.net.class_names, student.class_names
        if theirs and ours and theirs != ours and sorted(theirs) == sorted(ours):
            raise ConfigError(
                f"the teacher numbers the same classes in another order ({some(theirs)}) than the "
                f"network that it teaches ({some(ours)}), so it would teach the wrong ones"
            )
        if not self.hidden:
            return
        at = self.depths(student.depth) if self.at is None else self.at
        last = self.net.depth
        rises = all(low < high for low, high in zip([0, *at], [*at, last + 1], strict=True))
        if not rises or len(at) != student.depth:
            raise ConfigError(
                f"at {list(at)} must have an ascending depth, 1 to {last}, for each of the "
                f"{student.depth} layers of the network that learns hidden states"
            )

    def depths(self, layers: int) -> Sequence[int]:
        """Return the depths whose hidden states a student learns when this many layers run.

        Example:
            >>> import autocompress as ac
            >>> Teacher(ac.models.MLP(depth=6, width=4)).depths(3)
            [2, 4, 6]
        """
        if self.at is not None:
            return self.at[:layers]
        return [round(depth * self.net.depth / layers) for depth in range(1, layers + 1)]

    def input_of(self, inputs: Tensor, scaled: ImageInput) -> Tensor:
        """Return images that were scaled for the student as the teacher takes them.

        Args:
            inputs: Images (B, C, H, W).
            scaled: The student's scaling of pixels.
        """
        if self.net.preprocess is None:
            return inputs
        own = ImageInput.of(self.net.preprocess)
        return inputs if own.scales_like(scaled) else own.from_unit(scaled.to_unit(inputs))

    def teach(
        self, inputs: Any, layers: int, precision: str, factor: Tensor | None = None
    ) -> Taught:
        """Return what a student of this many layers learns from a batch of its inputs."""
        device = next(self.net.parameters()).device
        with torch.no_grad(), autocast(precision, device):
            if not self.hidden:
                return Taught(self.net(inputs))
            net = Readouts(self.net, self.depths(layers))
            (logits,), hidden = net(inputs, [self.net.depth])
            return Taught(logits, hidden, self.net.counted(inputs), factor)

    def loss(
        self,
        logits: Tensor,
        hidden: Sequence[Tensor],
        taught: Taught,
        targets: Tensor,
        objective: Objective,
    ) -> Tensor:
        """Return the weighted distances of the student from the teacher, a scalar.

        That of hidden states is the mean, over layers and tokens that are not padding, of
        ``|h / |h| - t / |t||^2`` for the student's h and the teacher's t (Sun et al., eq. 7).

        Args:
            logits: The student's outputs (B, K) or (B, N, K).
            hidden: The student's hidden states, (B, N, width) or (B, width), one for each layer.
            taught: The teacher's of the same shapes.
            targets: Targets in the objective's form; of tokens, they say which count.
            objective: The student's objective.

        Raises:
            ConfigError: The hidden states have different shapes.
        """
        ours, theirs = (outputs.float().flatten(0, -2) for outputs in (logits, taught.logits))
        tokens = targets if logits.ndim > 2 else None
        loss = self.weight * objective.imitation(ours, theirs, self.temperature, tokens)
        if not self.hidden or not hidden:  # a cut may leave no layer
            return loss
        apart = [
            _apart(own, other, taught.counted)
            for own, other in zip(hidden, taught.hidden, strict=True)
        ]
        distance = torch.stack(apart).mean()
        distance = distance if taught.factor is None else distance * taught.factor
        return loss + self.hidden * distance

    def identity(self) -> dict[str, Any]:
        """Return JSON that says who teaches and how, for checkpoints."""
        said: dict[str, Any] = {"weight": self.weight, "temperature": self.temperature}
        if self.hidden:
            said |= {"hidden": self.hidden, "at": None if self.at is None else list(self.at)}
        return {**said, "weights": hash_of_tensors(self.net.state_dict())[:16]}


def as_teacher(given: Teacher | Network | None) -> Teacher | None:
    """Return a network as the teacher that it is with the default options.

    Example:
        >>> as_teacher(None) is None
        True
    """
    return given if given is None or isinstance(given, Teacher) else Teacher(given)


def _same_words(one: str | None, other: str | None) -> bool:
    """Return whether two tokenizer.json number their words alike, as far as both are known."""
    if one is None or other is None or one == other:
        return True
    first, second = (json.loads(text) for text in (one, other))  # they may differ in padding
    return all(first.get(key) == second.get(key) for key in ("model", "added_tokens"))


def _apart(ours: Tensor, theirs: Tensor, counted: Tensor | None) -> Tensor:
    """Return the mean squared distance of normalised hidden states, over tokens that count."""
    if ours.shape != theirs.shape:
        raise ConfigError(
            f"hidden states of shape {tuple(ours.shape)} cannot learn the teacher's of shape "
            f"{tuple(theirs.shape)}: both networks need the same width, or set hidden to 0"
        )
    own, other = (F.normalize(states.float(), dim=-1) for states in (ours, theirs))
    distance = (own - other).square().sum(-1)
    if counted is None or counted.shape != distance.shape:
        return distance.mean()
    return (distance * counted).sum() / counted.sum().clamp(min=1)  # a text may be padding alone
