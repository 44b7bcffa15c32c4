"""Learning one task after another without forgetting: what protects the weights that mattered.

Both are hooks of :func:`autocompress.fit`. After each task call :meth:`Consolidation.consolidate`.

    protect = ac.SynapticIntelligence()
    for task in tasks:
        ac.fit(net, task, config=config, hooks=[protect])
        protect.consolidate(net, task)
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from autocompress.network import Network
from autocompress.training.hooks import Hook
from autocompress.training.inputs import Data, network_batches

__all__ = ["Consolidation", "ElasticWeightConsolidation", "SynapticIntelligence"]


class Consolidation(Hook):
    """A quadratic pull to the weights after the last task: strength x sum importance (w - w*)^2.

    Args:
        strength: of the pull.
    """

    def __init__(self, strength: float) -> None:
        self.strength = strength
        self.importance: dict[str, Tensor] = {}
        self.anchor: dict[str, Tensor] = {}

    def penalty(self, net: Network) -> Tensor | None:
        pulls = [
            (self.importance[name] * (w - self.anchor[name]).square()).sum()
            for name, w in _learned(net)
            if name in self.importance
        ]
        return self.strength * torch.stack(pulls).sum() if pulls else None

    def consolidate(self, net: Network, data: Data) -> None:
        """A task has been learned: add what mattered to it, and pull to the weights as they are.

        Args:
            net: after the task.
            data: of the task, where the importance is measured on them.
        """
        for name, mattered in self._mattered(net, data).items():
            self.importance[name] = self.importance.get(name, torch.zeros(())) + mattered
        self.anchor = _copy(net)

    @abstractmethod
    def _mattered(self, net: Network, data: Data) -> dict[str, Tensor]:
        """Importance of each weight for the task that has just been learned."""

    def state_dict(self) -> dict[str, Any]:
        return {"importance": self.importance, "anchor": self.anchor}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.importance, self.anchor = state["importance"], state["anchor"]


class SynapticIntelligence(Consolidation):
    """Synaptic Intelligence (Zenke, Poole and Ganguli, ICML 2017).

    A weight matters as much as its way has lowered the loss: w accumulates -gradient x step, and
    its importance is that, no less than 0, over (distance of the task)^2 + damping.

    Args:
        strength: of the pull; 1 in the paper's setting.
        damping: 0.1 in the code that the paper's authors built on.
    """

    def __init__(self, strength: float = 1.0, damping: float = 0.1) -> None:
        super().__init__(strength)
        self.damping = damping
        self.path: dict[str, Tensor] = {}
        self.start: dict[str, Tensor] = {}
        self._before: dict[str, Tensor] = {}

    def begin(self, net: Network) -> None:
        if not self.start:
            self.start = _copy(net)
            self.path = {name: torch.zeros_like(w) for name, w in self.start.items()}

    def before_step(self, net: Network) -> None:
        self._before = _copy(net)

    def after_step(self, net: Network) -> None:
        for name, w in _learned(net):
            if w.grad is not None:
                self.path[name] -= w.grad * (w.detach() - self._before[name])

    def _mattered(self, net: Network, data: Data) -> dict[str, Tensor]:
        moved = {name: (w.detach() - self.start[name]).square() for name, w in _learned(net)}
        found = {
            name: self.path[name].clamp(min=0) / (way + self.damping) for name, way in moved.items()
        }
        self.path, self.start = {}, {}
        return found

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "path": self.path, "start": self.start}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.path, self.start = state["path"], state["start"]


class ElasticWeightConsolidation(Consolidation):
    """Elastic Weight Consolidation (Kirkpatrick et al., PNAS 2017).

    A weight matters as much as the diagonal of the Fisher information says: the mean over examples
    of the squared gradient of log p(y), y drawn from the network's own distribution.

    Args:
        strength: lambda; the pull is lambda / 2 of the sum.
        examples: at most, of the task's data, that the mean is over.
    """

    def __init__(self, strength: float = 100.0, examples: int = 256) -> None:
        super().__init__(strength / 2)
        self.examples = examples

    def _mattered(self, net: Network, data: Data) -> dict[str, Tensor]:
        found = {name: torch.zeros_like(w) for name, w in _learned(net)}
        seen = 0
        was_training = net.training
        net.eval()
        for x, _ in network_batches(net, data, 1):
            if seen == self.examples:
                break
            seen += 1
            log = net(x).float().log_softmax(-1)
            drawn = torch.multinomial(log.detach().exp().flatten(0, -2), 1)
            net.zero_grad()
            log.flatten(0, -2).gather(-1, drawn).sum().backward()
            for name, w in _learned(net):
                if w.grad is not None:
                    found[name] += w.grad.square()
        net.zero_grad()
        net.train(was_training)
        return {name: total / max(1, seen) for name, total in found.items()}


def _learned(net: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return [(name, w) for name, w in net.named_parameters() if w.requires_grad]


def _copy(net: nn.Module) -> dict[str, Tensor]:
    return {name: w.detach().clone() for name, w in _learned(net)}
