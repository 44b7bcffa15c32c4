"""Protect the weights that mattered to earlier tasks, or replay examples of those tasks.

All protections are hooks of :func:`autocompress.fit`. Call :meth:`Protection.consolidate` after
each task, as :func:`autocompress.continual.learn` does.

    protect = ac.SynapticIntelligence()
    for task in tasks:
        ac.fit(net, task, config=config, hooks=[protect])
        protect.consolidate(net, task)
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from autocompress.bounds import Within
from autocompress.continual.heads import with_head
from autocompress.errors import ConfigError, DataError
from autocompress.measurement.modes import device_of, in_eval_mode
from autocompress.network import Network
from autocompress.training.forms import as_set
from autocompress.training.hooks import Hook
from autocompress.training.inputs import Data, Normalise, batches, drawn, network_batches
from autocompress.training.intake import Intake
from autocompress.training.objectives import objective_of

__all__ = [
    "Consolidation",
    "ElasticWeightConsolidation",
    "Protection",
    "Replay",
    "SynapticIntelligence",
]


_STRENGTH = Within(0, words="0 or more, and finite")
_EXAMPLES = Within(1, words="at least 1, and finite", below=math.inf)


class Protection(Hook):
    """A hook of ``fit`` that is notified when a task has been learned."""

    def settings(self) -> dict[str, Any]:
        """Return its options as JSON: a stream is resumed only with those that it began with."""
        return {}

    def consolidate(self, net: Network, data: Data) -> None:
        """Record that a task has been learned.

        Args:
            net: The network after the task.
            data: Data of the task.
        """

    def recall(self, net: Network, data: Data) -> None:
        """Rebuild the state of each task that is not checkpointed; called on resume.

        Args:
            net: The network with the head of that task.
            data: Data of the task.
        """

    def forget(self) -> None:
        """Drop what it has recorded of tasks; called on resume before :meth:`load_state_dict`."""

    def release(self, prefix: str) -> None:
        """Drop the parameters with this name prefix: the next task reuses their names."""


class Consolidation(Protection):
    """A quadratic pull to the weights after the last task: strength x sum importance (w - w*)^2.

    Args:
        strength: Strength of the pull.

    Raises:
        ConfigError: The strength is negative or not finite.
    """

    def __init__(self, strength: float) -> None:
        _STRENGTH.check("strength", strength)
        self.strength = float(strength)
        self.importance: dict[str, Tensor] = {}
        self.anchor: dict[str, Tensor] = {}
        #: The network, and its depth, that the records are known to fit.
        self._fits: tuple[int, int] | None = None

    def settings(self) -> dict[str, Any]:
        return {"strength": self.strength}

    def penalty(self, net: Network) -> Tensor | None:
        if (id(net), net.depth) != self._fits:  # not in every step: a cut alone changes shapes
            self._shorten(net)
        pulls = [
            (self.importance[name] * (w - self.anchor[name]).square()).sum()
            for name, w in _learned(net)
            if name in self.importance
        ]
        return self.strength * torch.stack(pulls).sum() if pulls else None

    def consolidate(self, net: Network, data: Data) -> None:
        """Add the importance for the task just learned, and pull to the present weights.

        Args:
            net: The network after the task.
            data: Data of the task, for protections that measure the importance on them.
        """
        self._shorten(net)
        for name, mattered in self._mattered(net, data).items():
            self.importance[name] = self.importance.get(name, torch.zeros(())) + mattered
        self.anchor |= _copy(net)  # weights that are frozen now keep theirs

    def release(self, prefix: str) -> None:
        for kept in (self.importance, self.anchor):
            for name in [name for name in kept if name.startswith(prefix)]:
                del kept[name]

    def _records(self) -> tuple[dict[str, Tensor], ...]:
        """Return all that is recorded by weight."""
        return self.importance, self.anchor

    def _shorten(self, net: Network) -> None:
        """Keep the first entries for weights of which a cut has left the first (learned gates).

        Raises:
            ConfigError: A weight has another shape than that of any cut.
        """
        for name, w in _learned(net):
            for record in self._records():
                held = record.get(name, w)
                if held.shape != w.shape:
                    record[name] = held[tuple(map(slice, w.shape))].clone()
                    if record[name].shape != w.shape:
                        raise ConfigError(
                            f"{type(self).__name__} protects a weight {name} of shape "
                            f"{tuple(held.shape)}, which this network has as {tuple(w.shape)}: "
                            "another network needs a protection of its own"
                        )
        self._fits = id(net), net.depth

    @abstractmethod
    def _mattered(self, net: Network, data: Data) -> dict[str, Tensor]:
        """Return the importance of each weight for the task that has just been learned."""

    def state_dict(self) -> dict[str, Any]:
        return {"importance": self.importance, "anchor": self.anchor}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.importance, self.anchor = state["importance"], state["anchor"]
        self._fits = None


class SynapticIntelligence(Consolidation):
    """Synaptic Intelligence (Zenke, Poole and Ganguli, ICML 2017).

    A weight is as important as its path has lowered the loss: w accumulates -gradient x step, and
    the importance is that (at least 0) over (distance moved in the task)^2 + damping. The gradient
    is the one that makes the step: clipped (``FitConfig.clip_norm``), and with that of the pull to
    earlier tasks. The authors' code takes that of the task's loss. The smaller ``clip_norm``, the
    larger a strength must be.

    Args:
        strength: Strength of the pull; 1 in the paper's setting.
        damping: Damping term; 0.1 in the code on which the paper's authors built.

    Raises:
        ConfigError: The strength is negative, the damping is not positive, or one is not finite.

    Example:
        >>> import autocompress as ac
        >>> tasks = ac.continual.split_classes(ac.load_data(), tasks=5)
        >>> net = ac.models.MLP(depth=2, width=16, classes=2)
        >>> protect, config = ac.SynapticIntelligence(), ac.FitConfig(epochs=1)
        >>> stream = ac.continual.learn(net, tasks[:2], config, protect=protect)
        >>> stream.matrix().tasks
        2
    """

    def __init__(self, strength: float = 1.0, damping: float = 0.1) -> None:
        super().__init__(strength)
        if not 0 < damping < math.inf:
            raise ConfigError(f"damping {damping} must be above 0, and finite, e.g. 0.1")
        self.damping = float(damping)
        self.path: dict[str, Tensor] = {}
        self.start: dict[str, Tensor] = {}
        self._before: dict[str, Tensor] = {}

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "damping": self.damping}

    def begin(self, net: Network) -> None:
        for name, w in _copy(net).items():
            if name not in self.start:  # the task may be trained in several parts
                self.start[name], self.path[name] = w, torch.zeros_like(w)

    def before_step(self, net: Network) -> None:
        self._before = _copy(net)

    def after_step(self, net: Network) -> None:
        for name, w in _learned(net):
            if w.grad is not None and name in self.path:
                self.path[name] -= w.grad * (w.detach() - self._before[name])

    def _mattered(self, net: Network, data: Data) -> dict[str, Tensor]:
        moved = {
            name: (w.detach() - self.start[name]).square()
            for name, w in _learned(net)
            if name in self.start
        }
        found = {
            name: self.path[name].clamp(min=0) / (way + self.damping) for name, way in moved.items()
        }
        self.path, self.start = {}, {}
        return found

    def _records(self) -> tuple[dict[str, Tensor], ...]:
        return (*super()._records(), self.path, self.start)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "path": self.path, "start": self.start}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.path, self.start = state["path"], state["start"]


class ElasticWeightConsolidation(Consolidation):
    """Elastic Weight Consolidation (Kirkpatrick et al., PNAS 2017).

    The importance of a weight is the diagonal of the Fisher information: the mean over examples
    of the squared gradient of log p(y), with y drawn from the network's own distribution.

    Args:
        strength: Factor lambda; the pull is lambda / 2 times the sum.
        examples: Largest number of the task's examples in the mean: the first in the order of the
            data, so data that are sorted by class should be shuffled before.

    Raises:
        ConfigError: The strength is negative or not finite, or there are no examples.
    """

    def __init__(self, strength: float = 100.0, examples: int = 256) -> None:
        _STRENGTH.check("strength", strength)
        super().__init__(strength / 2)
        _EXAMPLES.check("examples", examples)
        self.examples = int(examples)

    def settings(self) -> dict[str, Any]:
        return {"strength": 2 * self.strength, "examples": self.examples}

    def begin(self, net: Network) -> None:
        objective_of(net).check_entropy()

    def _mattered(self, net: Network, data: Data) -> dict[str, Tensor]:
        found = {name: torch.zeros_like(w) for name, w in _learned(net)}
        seen = 0
        with in_eval_mode(net):
            for x, _ in network_batches(net, as_set(data, "consolidated"), 1, "consolidated"):
                log = net(x).float().log_softmax(-1)
                drawn = torch.multinomial(log.detach().exp().flatten(0, -2), 1)
                chosen = log.flatten(0, -2).gather(-1, drawn).view(len(log), -1)
                for example in chosen[: self.examples - seen].sum(1):  # a DataLoader has batches
                    net.zero_grad()
                    example.backward(retain_graph=len(log) > 1)
                    for name, w in _learned(net):
                        if w.grad is not None:
                            found[name] += w.grad.square()
                    seen += 1
                if seen >= self.examples:
                    break
        net.zero_grad()
        return {name: total / max(1, seen) for name, total in found.items()}


class Replay(Protection):
    """Replay of some examples of every earlier task beside the new ones.

    This is the control that keeps data (e.g. Rolnick et al., Experience Replay, 2019): each step
    adds the loss of a batch of one earlier task, drawn at random, with that task's head. The
    examples are kept in memory and not in checkpoints.

    Args:
        examples: Number of examples kept of each task, drawn at random; of a DataLoader or a stream
            the first ones.
        batch: Largest number of these in each step.
        strength: Weight of their loss.

    Raises:
        ConfigError: The number of examples is not positive, or the strength is negative or not
            finite.
    """

    def __init__(self, examples: int = 50, batch: int = 32, strength: float = 1.0) -> None:
        if examples < 1 or batch < 1:
            raise ConfigError(
                f"replay of {examples} examples in batches of {batch} is too few: both must be at "
                "least 1"
            )
        _STRENGTH.check("strength", strength)
        self.examples, self.batch, self.strength = int(examples), int(batch), float(strength)
        self.memory: list[tuple[Tensor, Tensor, nn.Module]] = []

    def settings(self) -> dict[str, Any]:
        return {"examples": self.examples, "batch": self.batch, "strength": self.strength}

    def forget(self) -> None:
        self.memory.clear()

    def consolidate(self, net: Network, data: Data) -> None:
        data, device = as_set(data, "replayed"), device_of(net)
        order = drawn(data, self.examples, seed=len(self.memory))
        found = batches(data, self.examples, device, order, Intake(net, "replayed"))
        images, labels = _first(found, self.examples)
        inputs = Normalise(net.preprocess, device).bytes(images)
        self.memory.append((inputs, labels, net.head))

    def recall(self, net: Network, data: Data) -> None:
        self.consolidate(net, data)

    def penalty(self, net: Network) -> Tensor | None:
        if not self.memory:
            return None
        inputs, labels, head = self.memory[int(torch.randint(len(self.memory), ()))]
        rows = torch.randperm(len(labels))[: self.batch].to(labels.device)
        logits = with_head(net, head)(inputs[rows])
        objective = objective_of(net)
        targets = objective.targets(labels[rows], logits.shape, "replayed", values=False)
        return self.strength * objective.loss(logits, targets)


def _first(found: Iterator[tuple[Tensor, Tensor]], size: int) -> tuple[Tensor, Tensor]:
    """Return the first examples of batches, which may be smaller or larger."""
    images, labels = next(found)
    while len(labels) < size and (more := next(found, None)) is not None:
        try:
            images, labels = torch.cat([images, more[0]]), torch.cat([labels, more[1]])
        except RuntimeError as error:
            raise DataError(
                f"batches of the replayed data have inputs of shapes {tuple(images.shape)} and "
                f"{tuple(more[0].shape)}; expected one shape for all examples: pad them alike"
            ) from error
    return images[:size], labels[:size]


def _learned(net: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return [(name, w) for name, w in net.named_parameters() if w.requires_grad]


def _copy(net: nn.Module) -> dict[str, Tensor]:
    return {name: w.detach().clone() for name, w in _learned(net)}
