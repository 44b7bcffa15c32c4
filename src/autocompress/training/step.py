"""The loss of one step: runs the network to the readouts that have a loss, compiled on request."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from autocompress.data import Augment
from autocompress.network import Network
from autocompress.training.config import FitConfig
from autocompress.training.devices import autocast
from autocompress.training.distil import Readouts, shallow_loss
from autocompress.training.hooks import Moment
from autocompress.training.inputs import Normalise, is_bytes, to_unit
from autocompress.training.objective import Objective
from autocompress.training.teacher import Taught, Teacher

__all__ = ["StepLoss"]


class StepLoss:
    """A callable that computes the loss of a batch.

    Args:
        net: The network.
        config: Settings of the training.
        objective: Objective of the network's outputs.
        normalise: Mapping from bytes to the network's inputs.
        augment: Augmentation of the images before that; None leaves them unchanged.
        device: Device of the training.
        teacher: Another network whose outputs this one learns; None: labels alone.
    """

    def __init__(
        self,
        net: Network,
        config: FitConfig,
        objective: Objective,
        normalise: Normalise,
        augment: Augment | None,
        device: torch.device,
        teacher: Teacher | None = None,
    ) -> None:
        self.net, self.config, self.objective, self.device = net, config, objective, device
        self.normalise, self.augment, self.teacher = normalise, augment, teacher
        self.rebuild()

    def rebuild(self) -> None:
        """Rebuild the loss function, for a network that has lost layers."""
        self._loss = self._make()

    def _readouts(self) -> Readouts:
        """Return the network, read also at the depths whose hidden states are taught."""
        taught = self.teacher is not None and self.teacher.hidden
        return Readouts(self.net, range(1, self.net.depth + 1) if taught else ())

    def _make(self) -> Callable[..., Tensor]:
        model, config, objective = self._readouts(), self.config, self.objective
        distil, device, teacher = config.distil, self.device, self.teacher

        def step_loss(
            inputs: Tensor,
            targets: Tensor,
            read: Sequence[bool],
            dropped: Sequence[int] = (),
            taught: Taught | None = None,
        ) -> Tensor:
            depths = [depth for depth, wanted in enumerate(read) if wanted]
            with autocast(config.precision, device):
                logits, hidden = model(inputs, depths, config.mediated, dropped)
            loss = objective.loss(logits[-1], targets, config.label_smoothing)
            if teacher is not None and taught is not None:
                loss = loss + teacher.loss(logits[-1], hidden, taught, targets, objective)
            if distil is None:
                return loss
            full, shallow = distil.balance(depths)
            return full * loss + shallow * shallow_loss(logits, depths, targets, distil, objective)

        if config.compile == "off":
            return step_loss
        compiled: Callable[..., Tensor] = torch.compile(step_loss, mode=config.compile)
        return compiled

    def __call__(
        self,
        inputs: Tensor,
        targets: Tensor,
        layers: int,
        moment: Moment,
        dropped: Sequence[int],
        factor: Tensor | None = None,
        *,
        scaled: bool = False,
    ) -> Tensor:
        """Return the loss, a scalar in nats or the objective's unit.

        Args:
            inputs: A batch of the network's inputs.
            targets: Targets in the objective's form.
            layers: Number of layers that run.
            moment: Position of the run.
            dropped: Indices of the layers to skip.
            factor: Scalar on the distance from the teacher's hidden states; None for 1.
            scaled: Whether :meth:`prepare` made the inputs of bytes, as the student takes them.
        """
        read = self._read(layers, moment)
        if self.teacher is None:
            return self._loss(inputs, targets, read, dropped)
        given = self.teacher.input_of(inputs, self.normalise.input) if scaled else inputs
        taught = self.teacher.teach(given, layers, self.config.precision, factor)
        return self._loss(inputs, targets, read, dropped, taught)

    def _read(self, layers: int, moment: Moment) -> tuple[bool, ...]:
        """Return for each depth, 0 to the deepest with a loss, whether its readout has one now.

        Truth values are constants for the compiler. It turns changing numbers into symbols, and
        searching a list of those misses some of them (torch 2.13).
        """
        distil, depths = self.config.distil, [layers]
        if distil is not None and moment.progress >= distil.start:
            depths = distil.depths(layers, moment.step)
        return tuple(depth in depths for depth in range(depths[-1] + 1))

    def prepare(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Turn a batch of bytes into augmented network inputs; leave other batches unchanged."""
        if not is_bytes(images):
            return images, labels
        unit = to_unit(images)
        if self.augment is None:
            return self.normalise(unit), labels
        return self.augment.mix(self.normalise(self.augment.pixels(unit)), labels)
