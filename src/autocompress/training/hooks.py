"""Hook: how anything beside the loop itself takes part in training.

Moving gates, growing and dropping layers, layer dropout, averaging weights and pruning are hooks,
as are a user's own penalties and masks. Each built-in hook has its own file and config.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from types import MethodType
from typing import Any, ClassVar, Protocol

from torch import Tensor

from autocompress.errors import ConfigError
from autocompress.network import Network
from autocompress.registry import Registry, registered_in

__all__ = ["HOOKS", "Hook", "HookOptions", "Moment", "Participants", "check_hooks"]
__all__ += ["register_hook", "said_by"]


@dataclass(frozen=True)
class Moment:
    """The position of a run before a step.

    Attributes:
        step: Number of steps already taken in the whole run.
        steps: Total number of steps of the run.
    """

    step: int
    steps: int

    @property
    def progress(self) -> float:
        """Return the share of the run that is done, 0..1."""
        return self.step / self.steps

    def before(self) -> Moment:
        """Return the moment one step earlier."""
        return Moment(self.step - 1, self.steps)


class Hook:
    """A participant in training, called by :func:`autocompress.fit` at the points below.

    Every method of this base class does nothing. State that a hook returns from :meth:`state_dict`
    is stored in the checkpoints, so that a resumed run equals an uninterrupted one.

    Example:
        >>> import torch, autocompress as ac
        >>> class WeightPenalty(ac.Hook):
        ...     def penalty(self, net):
        ...         return 1e-3 * sum(w.abs().sum() for w in net.trunk.parameters())
        >>> data = torch.utils.data.TensorDataset(torch.randn(8, 1, 2, 2), torch.arange(8) % 3)
        >>> net = ac.models.MLP(depth=1, width=4, classes=3, image_size=2, channels=1)
        >>> config = ac.FitConfig(epochs=1)
        >>> run = ac.fit(net, data, config=config, hooks=[WeightPenalty()], progress=False)
    """

    #: Networks that follow the trained one, such as the average of its weights.
    copies: Sequence[Network] = ()

    #: Name of the state in the checkpoints; empty stores it among those of the other hooks.
    kept_as: ClassVar[str] = ""

    #: Place among the hooks: those below 0 are called first, those above 0 last.
    place: ClassVar[int] = 0

    def begin(self, net: Network) -> None:
        """Run before training begins or resumes."""

    def penalty(self, net: Network) -> Tensor | None:
        """Return a term that is added to the loss of every step, in nats; None adds nothing."""
        return None

    def before_epoch(self, net: Network, epoch: int, epochs: int, steps: int) -> None:
        """Run before ``epoch`` (from 1) of ``epochs``, which takes ``steps`` steps."""

    def before_forward(self, net: Network, moment: Moment) -> None:
        """Run at the start of a step, before its forward pass."""

    def layers(self, depth: int, moment: Moment) -> int:
        """Return how many of ``depth`` layers run in this step; the smallest answer counts."""
        return depth

    def dropped(self, layers: int, moment: Moment) -> Sequence[int]:
        """Return the indices (from 0) of the layers that this step skips."""
        return ()

    def before_step(self, net: Network) -> None:
        """Run after the gradients are computed and clipped, before the weights change."""

    def after_step(self, net: Network) -> None:
        """Run after the weights have changed, while the gradients still exist."""

    def after_epoch(self, net: Network, epoch: int, epochs: int) -> None:
        """Run after ``epoch`` (from 1) of ``epochs``, before it is evaluated."""

    def evaluated(self, net: Network) -> Network:
        """Return the network to validate, which is also the one that the run ends with."""
        return net

    def depth_left(
        self, net: Network, history: Sequence[dict[str, Any]], epochs: int
    ) -> int | None:
        """Return the number of layers to continue with after an epoch; None keeps them all.

        Args:
            net: The network in its current form.
            history: Records of the epochs so far, as in metrics.jsonl.
            epochs: Number of epochs of the whole run.
        """
        return None

    def after_evaluation(self, net: Network, record: Mapping[str, Any]) -> None:
        """Run after an epoch has been evaluated and logged.

        Args:
            net: The network that is trained further.
            record: The epoch's record in metrics.jsonl: ``epoch``, ``loss``, ``lr``, ``seconds``,
                and if it was evaluated ``validation``, ``depths`` (the score of each depth) and
                ``losses``.
        """

    def after_cut(self, depth: int) -> None:
        """Run after the layers above ``depth`` have been removed."""

    def finish(self, net: Network) -> None:
        """Run when training has ended."""

    def state_dict(self) -> dict[str, Any]:
        """Return the hook's state: tensors and plain values.

        It is called between two steps: at the end of an epoch, or within one that a signal stops.
        A run stopped within an epoch resumes with :meth:`begin`, :meth:`before_epoch` and then
        :meth:`load_state_dict`.
        """
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state that :meth:`state_dict` returned."""


class HookOptions(Protocol):
    """The options of a hook that a config can ask for: a frozen dataclass that checks itself.

    Only :meth:`hook` must be defined; the rest is what the hook means for the whole run.
    """

    #: Whether the hook leads to fewer layers. Rivals and cut networks train without such hooks.
    shallower: ClassVar[bool] = False

    #: Why the hook works in one process only; empty if it works in several.
    alone: ClassVar[str] = ""

    def check(self, config: Any) -> None:
        """Raise ConfigError if other settings in the FitConfig do not go with these."""
        return

    def check_run(self, net: Network, steps: int, validated: bool) -> None:
        """Raise ConfigError if the hook could do nothing in a run, or would stop it later.

        Args:
            net: The network as it is given to ``fit``.
            steps: Number of steps of the whole run.
            validated: Whether there are validation data.
        """
        return

    def scored_after(self, epoch: int, epochs: int) -> bool:
        """Return whether the hook needs the score of every depth after ``epoch`` (from 1)."""
        return False

    def over(self, epochs: int, more: int) -> Any:
        """Return the options with which ``more`` epochs than ``epochs`` end in the same state."""
        return self

    def settled(self) -> Any:
        """Return the options with which a network that these have trained is trained further."""
        return self

    def hook(self, net: Network, copies: Sequence[Network]) -> Hook:
        """Return the hook.

        Args:
            net: The network that is trained, on its device.
            copies: Networks that follow it, such as the average of its weights.
        """
        ...


#: The options of hooks that any run can have, by name. Those of the library register themselves
#: (:func:`register_hook`) in a file of this folder.
HOOKS: Registry[type[HookOptions]] = Registry(
    "training hook",
    registered_in(Path(__file__).parent, "autocompress.training", "register_hook"),
)


def register_hook(name: str) -> Any:
    """Return a decorator that registers the options of a hook: ``--fit.NAME.OPTION``.

    Args:
        name: Name of the options in a run.

    Returns:
        The decorator. It returns the class as it is; where a class that is not a subclass of
        :class:`HookOptions` says nothing, the defaults of HookOptions hold.

    Raises:
        ConfigError: The class is not a dataclass with a method ``hook``, or the name is taken.

    Example:
        >>> @register_hook("head_penalty")
        ... @dataclass(frozen=True, kw_only=True)
        ... class HeadPenalty:
        ...     strength: float = 1e-3
        ...
        ...     def hook(self, net, copies):
        ...         return Hook()  # one with a penalty()
        >>> from autocompress import FitConfig
        >>> FitConfig(hooks={"head_penalty": HeadPenalty(strength=0.1)}).hooks["head_penalty"]
        HeadPenalty(strength=0.1)
        >>> HOOKS.remove("head_penalty") is HeadPenalty
        True
    """

    def register(kind: Any) -> Any:
        if not is_dataclass(kind) or not callable(getattr(kind, "hook", None)):
            raise ConfigError(
                f"the options of training hook {name!r} must be a dataclass with a method "
                f"hook(net, copies), which {getattr(kind, '__qualname__', repr(kind))} is not"
            )
        return HOOKS.register(name)(kind)

    return register


def said_by(options: Any, name: str) -> Any:
    """Return an attribute of a hook's options, or the default of :class:`HookOptions`.

    The class of a user's options need not be a subclass, and it is not ours to be completed.

    Example:
        >>> @dataclass(frozen=True)
        ... class Own:
        ...     alone = "it keeps a file open"
        >>> said_by(Own(), "alone"), said_by(Own(), "shallower"), said_by(Own(), "settled")()
        ('it keeps a file open', False, Own())
    """
    if hasattr(options, name):
        return getattr(options, name)
    default = vars(HookOptions)[name]
    return MethodType(default, options) if callable(default) else default


def check_hooks(hooks: Mapping[str, Any]) -> None:
    """Raise an error unless each entry is the options of the registered hook of that name.

    Raises:
        UnknownNameError: No such hook is registered.
        ConfigError: The options are of another class.
    """
    for name, options in hooks.items():
        kind = HOOKS[name]
        if not isinstance(options, kind):
            raise ConfigError(f"fit.{name} {options!r:.60} must be a {kind.__name__}")


class Participants(tuple[Hook, ...]):
    """All hooks of a run, in the order in which they are called, as the loop addresses them."""

    def tell(self, event: str, *told: Any) -> None:
        """Call the method ``event`` of every hook."""
        for hook in self:
            getattr(hook, event)(*told)

    def layers(self, depth: int, moment: Moment) -> int:
        """Return how many layers run now: the smallest answer."""
        return min((hook.layers(depth, moment) for hook in self), default=depth)

    def dropped(self, layers: int, moment: Moment) -> list[int]:
        """Return the layers that this step skips, of all hooks."""
        return [index for hook in self for index in hook.dropped(layers, moment)]

    def with_penalties(self, loss: Tensor, net: Network) -> Tensor:
        """Return the loss plus all penalties."""
        penalties = [hook.penalty(net) for hook in self]
        return sum((p for p in penalties if p is not None), loss)

    def evaluated(self, net: Network) -> Network:
        """Return the network to validate: each hook may replace that of the one before."""
        for hook in self:
            net = hook.evaluated(net)
        return net

    def depth_left(
        self, net: Network, history: Sequence[dict[str, Any]], epochs: int
    ) -> int | None:
        """Return the smallest number of layers that a hook asks to continue with, or None."""
        asked = [hook.depth_left(net, history, epochs) for hook in self]
        return min((depth for depth in asked if depth is not None), default=None)
