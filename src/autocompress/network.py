"""Define Network (stem -> trunk -> head), the base of everything we train, probe and cut."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from importlib import import_module
from itertools import islice
from typing import Any, ClassVar, NamedTuple, TypeVar, cast

import torch
from torch import Tensor, nn
from typing_extensions import Self, final

from autocompress.compaction import Compactable
from autocompress.connectivity import Spec, as_name
from autocompress.errors import ConfigError, DepthError
from autocompress.io.describing import describe
from autocompress.io.hub import OnHub
from autocompress.io.saving import load as load_savable
from autocompress.savable import MODELS, RECORDED, Savable, build_savable, check_finals, recording
from autocompress.sharded import in_call, own_copy, twin_of, unsharded
from autocompress.trunk import Trunk

__all__ = [
    "ANY",
    "Network",
    "Pass",
    "build",
    "list_models",
    "load",
    "model_class",
    "register_model",
]

#: Marks in :attr:`Network.arguments` that a network accepts further, unnamed inputs.
ANY = "**"


class Pass(NamedTuple):
    """A forward pass that has reached some depth.

    Attributes:
        depth: Number of blocks that have run.
        inner: The connectivity's state at that depth.
        context: Keyword arguments passed to every block along with its input (e.g. masks).
    """

    depth: int
    inner: Any
    context: dict[str, Any]


class Network(
    Compactable,
    Savable,
    OnHub,
    library_name="autocompress",
    tags=["auto-compressing-networks", "image-classification"],
):
    """A stem, a trunk and one head that all depths share.

    Subclasses build the three parts; those that do not take images also override :meth:`example`.
    Methods marked final are the same for every network, so that training, probing and cutting
    agree; a subclass that overrides one is refused. Calling a subclass's constructor records the
    keyword arguments that rebuild the same network (JSON only, as stored in config.json) and checks
    them against the bounds in their annotations (:mod:`autocompress.bounds`).

    Args:
        stem, trunk, head: The three parts.
        settled: Constructor arguments whose final value differs from the one passed in, e.g. a
            size that was None.
        config: All constructor arguments; None uses the recorded ones.

    Attributes:
        stem, head: The modules that map the input to x_0, and a readout to the output.
        trunk: The blocks and the loop.
        config: Keyword arguments of the constructor.
        preprocess: The mapping from pictures to the input (:class:`autocompress.data.ImageInput`);
            None if unspecified. It is saved with the network.
        tokenizer: The text of the tokenizer.json that made a text network's tokens; saved too.
        task, class_names: The task (as in ``data.task``) and the class names by number, saved too.
    """

    #: Values of ``data.task`` that this class supports; empty if no config can name it.
    tasks: ClassVar[tuple[str, ...]] = ("image",)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        check_finals(cls, Network, ("states", "read", "only", "shortened", "recipe", "rule"))
        if "__init__" in vars(cls):
            cls.__init__ = recording(cls.__init__)  # type: ignore[method-assign]

    def __init__(
        self,
        stem: nn.Module,
        trunk: Trunk,
        head: nn.Module,
        config: Mapping[str, Any] | None = None,
        settled: Mapping[str, Any] | None = None,
    ) -> None:
        recorded = self.__dict__.pop(RECORDED, {})
        super().__init__()
        self.stem, self.trunk, self.head = stem, trunk, head
        self.config: dict[str, Any] = dict(recorded if config is None else config)
        self.config |= settled or {}
        self.config["connectivity"] = self.rule()
        self.preprocess: dict[str, Any] | None = None

    @property
    def depth(self) -> int:
        """Return L, the number of blocks."""
        return self.trunk.depth

    @property
    def classes(self) -> int | None:
        """Return the number of classes; None if the head is not a classifier."""
        return self.config.get("classes")

    @property
    def objective(self) -> str:
        """Return the name of the training objective (:mod:`autocompress.training.objectives`)."""
        return "classification"

    @property
    def arguments(self) -> frozenset[str] | None:
        """Return a mapping's input names (:data:`ANY`: any others too); None for a tensor input."""
        return None

    def example(self, batch: int = 2) -> Tensor:
        """Return noise of this network's input shape, (batch, channels, size, size)."""
        size, channels = self.config.get("image_size"), self.config.get("channels")
        if size is None or channels is None:
            raise ConfigError(
                f"{type(self).__name__} has no image_size or channels among its arguments, so it "
                "has to override example(batch), which returns random inputs"
            )
        return torch.randn(batch, channels, size, size, device=next(self.parameters()).device)

    def forward(self, x: Tensor, depth: int | None = None, mediated: float = 1.0) -> Tensor:
        """Return the head's output at ``depth`` (None: full depth).

        Args:
            x: A batch of inputs.
            depth: Number of blocks to run, 0..L.
            mediated: Weight of the mediated gradient (:meth:`Trunk.states`).

        Raises:
            DepthError: ``depth`` is not in 0..L.
            ShapeError: The stem cannot take the input.
        """
        trunk = self.trunk  # looked up once, as in small batches each look-up would show
        readout = trunk(self.stem(x), depth, mediated, **self.context(x))
        head = self.head_at(trunk.depth if depth is None else depth)
        return cast(Tensor, head(readout))

    def context(self, x: Tensor) -> dict[str, Any]:
        """Return the keyword arguments derived from the inputs for every block (e.g. masks)."""
        return {}

    def head_at(self, depth: int) -> nn.Module:
        """Return the head for this depth: the shared one, unless the depth has its own."""
        return self.head

    @property
    def trunks(self) -> tuple[Trunk, ...]:
        """Return the trunks in order: one per stage in stage-wise networks, otherwise just one."""
        return (self.trunk,)

    def states(
        self, x: Tensor, mediated: float = 1.0, dropped: Collection[int] = ()
    ) -> Iterator[Any]:
        """Yield the pass at depths 0, 1, .. L, running blocks lazily; read it with :meth:`read`.

        Args:
            x: A batch of inputs.
            mediated: Weight of the mediated gradient, as in :meth:`Trunk.states`.
            dropped: Layers to skip, as in :meth:`Trunk.states`.
        """
        return self.onwards(self.begin(x), 0, None, mediated, dropped)

    def begin(self, x: Tensor) -> Any:
        """Return the pass at depth 0, for :meth:`onwards`."""
        return Pass(0, self.trunk.connectivity.begin(self.stem(x)), self.context(x))

    def onwards(
        self,
        state: Any,
        first: int,
        depth: int | None = None,
        mediated: float = 1.0,
        dropped: Collection[int] = (),
    ) -> Iterator[Any]:
        """Yield the given pass at depth ``first`` and all later ones up to ``depth``."""
        passes = self.trunk.onwards(state.inner, first, depth, mediated, dropped, **state.context)
        for at, inner in enumerate(passes, first):
            yield Pass(at, inner, state.context)

    def read(self, state: Any) -> Tensor:
        """Return the head's output for a state from :meth:`states`, which is not modified."""
        return cast(Tensor, self.head_at(state.depth)(self.hidden(state)))

    def hidden(self, state: Any) -> Tensor:
        """Return what the head reads of a state from :meth:`states`: (B, tokens, width)."""
        return self.trunk.connectivity.readout(state.inner)

    def counted(self, x: Any) -> Tensor | None:
        """Return which tokens of a batch are not padding, bool (B, tokens); None: all of them."""
        return None

    @final
    def readouts(self, x: Tensor, depth: int | None = None) -> Iterator[Tensor]:
        """Yield the head's output at every depth 0..``depth``, lazily and from one pass."""
        stop = self.depth if depth is None else self.check_depth(depth)
        yield from in_call(self, lambda: map(self.read, islice(self.states(x), stop + 1)))

    @final
    def cut(self, depth: int | Sequence[int]) -> Self:
        """Return a smaller network of the first ``depth`` blocks with the same stem and head.

        Its weights are copies, and its output equals ``self(x, depth)`` bit for bit.

        Args:
            depth: Number of blocks; or the indices (from 0, ascending) of the blocks to keep, which
                need not be the first ones if the network is residual.

        Raises:
            ConfigError: The rule does not allow to leave out blocks before the last.
            DepthError: ``depth`` is not in 0..L, or there is no such block.

        Example:
            >>> import torch, autocompress as ac
            >>> net = ac.models.MLP(depth=4, width=8, classes=3, image_size=2, channels=1).eval()
            >>> small, x = net.cut(2), torch.randn(5, 1, 2, 2)
            >>> bool((small(x) == net(x, depth=2)).all())
            True
        """
        whole = unsharded(self)
        view = whole.first(depth) if isinstance(depth, int) else whole.only(depth)
        small = own_copy(view)  # copied last, so the other blocks never are
        small.shortened()
        return small

    @final
    def first(self, depth: int) -> Self:
        """Return a view of the first ``depth`` blocks that shares all weights (see :meth:`cut`).

        Raises:
            DepthError: ``depth`` is not in 0..L.
        """
        return self.only(range(self.check_depth(depth)))

    def only(self, layers: Sequence[int]) -> Self:
        """Return a view of these blocks (from 0, ascending) that shares all weights.

        Raises:
            ConfigError: The rule does not allow to leave out blocks before the last.
            DepthError: There is no such block.
        """
        trunk = self.trunk.only(layers)
        small = twin_of(self)
        # A subclass may have further parts, and further names of parts of the trunk, which go.
        inside = {*self.trunk.modules()}
        others = {name: part for name, part in self._modules.items() if part not in inside}
        small._modules = others | {"trunk": trunk}
        small.config = self.config | {"depth": len(layers), "connectivity": small.rule()}
        return small

    @final
    def keep(self, depth: int) -> None:
        """Drop the blocks above ``depth`` in place; the remaining ones stay the same objects.

        Raises:
            DepthError: ``depth`` is not in 0..L.
        """
        small = self.first(depth)
        self._modules, self.config = small._modules, small.config
        self.shortened()

    def shortened(self) -> None:
        """Update what else records the depth, after :meth:`cut` or :meth:`keep` removed blocks."""

    @final
    def check_depth(self, depth: int) -> int:
        """Return ``depth`` if this network has it, else raise DepthError."""
        if not 0 <= depth <= self.depth:
            raise DepthError(depth, self.depth)
        return depth

    def recipe(self) -> dict[str, Any]:
        """Return the constructor arguments that rebuild this network in its current form."""
        return self.config | {"connectivity": self.rule()}

    @final
    def check_savable(self) -> None:
        """Raise ConfigError, naming the reason, if a saved copy could not be loaded again.

        The network is rebuilt from what its folder would contain, and the two are compared. ``fit``
        with a run folder calls this before the first step, so no training ends without a model.
        """
        describe(self)

    def rule(self) -> str | dict[str, Any]:
        """Return the current connectivity as JSON: just its name if it has no other options."""
        return as_name(self.trunk.connectivity.to_config())

    def set_connectivity(self, spec: Spec) -> None:
        """Replace the rule over the same blocks (e.g. with a schedule's end point).

        Raises:
            ConfigError: The rule does not fit this depth.
        """
        self.trunk = Trunk(list(self.trunk.blocks), spec).train(self.training)
        self.config["connectivity"] = self.rule()

    @final
    def settle(self) -> None:
        """Fix scheduled gates at their current values, as at the end of a schedule.

        What the network computes stays the same; gates that are learned go on learning.
        """
        for trunk in self.trunks:
            trunk.connectivity = trunk.connectivity.settled()
        self.config["connectivity"] = self.rule()

    @final
    def predict(self, inputs: Any, top: int = 5, **options: Any) -> Any:
        """Return class names with probabilities; see :class:`autocompress.Predictor`."""
        room: Any = import_module("autocompress.predict")  # stands on this one
        return room.Predictor(self, **options)(inputs, top)


N = TypeVar("N", bound=type[Network])


def register_model(name: str) -> Callable[[N], N]:
    """Register a :class:`Network` under ``name``; use it as a class decorator.

    Raises:
        ConfigError: The name is taken.
    """

    def register(cls: N) -> N:
        MODELS.add(name, cls)
        cls.model_name = name
        return cls

    return register


def list_models() -> list[str]:
    """Return the registered names, sorted."""
    return list(MODELS)


def model_class(name: str) -> type[Network]:
    """Return the class registered under ``name``, or raise UnknownNameError."""
    return cast(type[Network], MODELS[name])


def build(name: str, /, **arguments: Any) -> Network:
    """Build the registered model ``name`` with these constructor arguments.

    Raises:
        UnknownNameError: There is no such model, or it does not take one of the arguments.

    Example:
        >>> build("mlp", depth=2, width=8, classes=3, image_size=2, channels=1).depth
        2
    """
    return cast(Network, build_savable(name, **arguments))


def load(
    directory: str | os.PathLike[str],
    device: torch.device | str = "cpu",
    *,
    model: nn.Module | None = None,
    hub: bool = False,
    depth: int | None = None,
) -> Network:
    """Load the network saved in ``directory``, in eval mode; see :func:`autocompress.io.load`.

    Example:
        >>> import tempfile, autocompress as ac
        >>> ac.save(ac.models.MLP(depth=2, width=8), folder := f"{tempfile.mkdtemp()}/net")
        >>> ac.load(folder).depth, ac.load(folder, depth=1).depth
        (2, 1)
    """
    return cast(Network, load_savable(directory, device, model=model, hub=hub, depth=depth))
