"""The hooks of a run: those that its settings ask for, and those that the caller adds."""

from __future__ import annotations

from collections.abc import Sequence

from autocompress.network import Network
from autocompress.training.config import FitConfig
from autocompress.training.hooks import Hook, Participants

__all__ = ["hooks_of", "in_order", "with_state"]


def hooks_of(config: FitConfig, net: Network) -> list[Hook]:
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


def with_state(hooks: Sequence[Hook]) -> list[Hook]:
    """Return the hooks that have a state of their own, for the checkpoints."""
    return [hook for hook in hooks if type(hook).state_dict is not Hook.state_dict]


def in_order(asked: Sequence[Hook], added: Sequence[Hook]) -> Participants:
    """Return all hooks in the order in which they are called.

    By their place, then those without a state, those with one, and the caller's.
    """
    stateful = with_state(asked)
    free = [hook for hook in asked if hook not in stateful]
    return Participants(sorted((*free, *stateful, *added), key=lambda hook: hook.place))
