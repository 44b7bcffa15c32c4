"""Network: stem -> trunk -> head, the shape of everything this library trains, probes and cuts."""

from __future__ import annotations

import copy
import inspect
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import wraps
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar, cast

import torch
from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, nn
from typing_extensions import Self

from autocompress.bounds import check_bounds
from autocompress.connectivity import Spec
from autocompress.errors import ConfigError, DepthError
from autocompress.io.describing import describe
from autocompress.io.saving import load as load_savable
from autocompress.io.saving import load_pretrained, write_network
from autocompress.savable import MODELS, Savable, build_savable
from autocompress.trunk import Trunk

__all__ = [
    "ANY",
    "Network",
    "Pass",
    "as_name",
    "build",
    "list_models",
    "load",
    "model_class",
    "register_model",
]

#: Stands among :attr:`Network.arguments` for whatever else there may be.
ANY = "**"


class Pass(NamedTuple):
    """A pass of a network that has come to some depth.

    Attributes:
        depth: number of blocks that have run.
        inner: the connectivity's state there.
        context: what every block is told beside its input (masks and the like).
    """

    depth: int
    inner: Any
    context: dict[str, Any]


class Network(
    Savable,
    PyTorchModelHubMixin,
    library_name="autocompress",
    tags=["auto-compressing-networks", "image-classification"],
):
    """A stem, a trunk and one head that all depths share.

    Subclasses build the three parts. The keyword arguments that make the same network again are
    recorded as their constructor is called (JSON only: it is what config.json holds), and held to
    the bounds of their annotations (:mod:`autocompress.bounds`).

    Args:
        stem, trunk, head: the three parts.
        settled: arguments of the subclass's constructor that it has settled otherwise than they
            were given, e.g. a size that was None.
        config: all of its arguments; None takes those that were recorded.

    Attributes:
        stem: input to x_0.
        trunk: the blocks and the loop.
        head: readout to output.
        config: keyword arguments of the constructor.
        preprocess: how raw pixels become the input, ``{"scale": .., "mean": .., "std": ..}`` for
            ``(pixels * scale - mean) / std``; None where nobody said. It is saved with the network.
        tokenizer: tokenizer.json of what made the tokens of a text network, as text; saved too.
    """

    #: The values of ``data.task`` that it is for; none for a network that no config names.
    tasks: ClassVar[tuple[str, ...]] = ("image",)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            cls.__init__ = _recording(cls.__init__)  # type: ignore[method-assign]

    def __init__(
        self,
        stem: nn.Module,
        trunk: Trunk,
        head: nn.Module,
        config: Mapping[str, Any] | None = None,
        settled: Mapping[str, Any] | None = None,
    ) -> None:
        recorded = self.__dict__.pop(_RECORDED, {})
        super().__init__()
        self.stem, self.trunk, self.head = stem, trunk, head
        self.config: dict[str, Any] = dict(recorded if config is None else config)
        self.config |= settled or {}
        self.config["connectivity"] = self.rule()
        self.preprocess: dict[str, Any] | None = None

    @property
    def depth(self) -> int:
        """L, the number of blocks."""
        return self.trunk.depth

    @property
    def classes(self) -> int | None:
        """Outputs of the head; None where it does not classify."""
        return self.config.get("classes")

    @property
    def objective(self) -> str:
        """Name of what the outputs are trained for; see :mod:`autocompress.training.objectives`."""
        return "classification"

    @property
    def arguments(self) -> frozenset[str] | None:
        """Names of the inputs that a mapping may hold; None for a network that takes one tensor.

        With :data:`ANY` among them there may be others.
        """
        return None

    def example(self, batch: int = 2) -> Tensor:
        """Noise of the shape that this network takes, (batch, channels, size, size)."""
        size, device = self.config["image_size"], next(self.parameters()).device
        return torch.randn(batch, self.config["channels"], size, size, device=device)

    def forward(self, x: Tensor, depth: int | None = None, mediated: float = 1.0) -> Tensor:
        """The head's output at ``depth`` (None: full depth).

        Args:
            x: a batch of inputs.
            depth: run this many blocks, 0..L.
            mediated: weight of the mediated gradient (:meth:`Trunk.states`).

        Raises:
            DepthError: no such depth. ShapeError: an input that the stem cannot take.
        """
        readout = self.trunk(self.stem(x), depth, mediated, **self.context(x))
        head = self.head_at(self.depth if depth is None else depth)
        return cast(Tensor, head(readout))

    def context(self, x: Tensor) -> dict[str, Any]:
        """Return what every block is told of the inputs beside its own (masks and the like)."""
        return {}

    def head_at(self, depth: int) -> nn.Module:
        """Return what reads depth k: the one head, or another at depths that have their own."""
        return self.head

    @property
    def trunks(self) -> tuple[Trunk, ...]:
        """The trunks in order: one, but for stage-wise networks, which have one per stage."""
        return (self.trunk,)

    def states(
        self, x: Tensor, mediated: float = 1.0, dropped: Collection[int] = ()
    ) -> Iterator[Any]:
        """The pass at depth 0, 1, .. L, each block run when asked for; :meth:`read` reads it.

        Args:
            x: a batch of inputs.
            mediated: weight of the mediated gradient.
            dropped: layers that are left out; both as in :meth:`Trunk.states`.
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
        """Yield the pass from a state at depth ``first`` on, itself included, to ``depth``."""
        passes = self.trunk.onwards(state.inner, first, depth, mediated, dropped, **state.context)
        for at, inner in enumerate(passes, first):
            yield Pass(at, inner, state.context)

    def read(self, state: Any) -> Tensor:
        """Return the head's output in a state of :meth:`states`. Changes nothing."""
        head = self.head_at(state.depth)
        return cast(Tensor, head(self.trunk.connectivity.readout(state.inner)))

    def readouts(self, x: Tensor, depth: int | None = None) -> Iterator[Tensor]:
        """The head's output at every depth 0..``depth``, lazily and from one pass of the trunk."""
        stop = self.depth if depth is None else self.check_depth(depth)
        for state in islice(self.states(x), stop + 1):
            yield self.read(state)

    def cut(self, depth: int) -> Self:
        """A smaller network of the first ``depth`` blocks, same stem and head.

        Its weights are copies; this network is left as it was. Its output equals
        ``self(x, depth)`` bit for bit.

        Raises:
            DepthError: ``depth`` is not in 0..L.

        Example:
            >>> import torch, autocompress as ac
            >>> net = ac.models.MLP(depth=4, width=8, classes=3, image_size=2, channels=1).eval()
            >>> small, x = net.cut(2), torch.randn(5, 1, 2, 2)
            >>> bool((small(x) == net(x, depth=2)).all())
            True
        """
        return copy.deepcopy(self.first(depth))  # only now: the blocks above are never copied

    def first(self, depth: int) -> Self:
        """What :meth:`cut` copies: a view of the first ``depth`` blocks that shares all weights.

        Raises:
            DepthError: ``depth`` is not in 0..L.
        """
        trunk = self.trunk.cut(depth)
        small = copy.copy(self)
        small._modules = {"stem": self.stem, "trunk": trunk, "head": self.head}
        small.config = self.config | {"depth": depth, "connectivity": small.rule()}
        return small

    def keep(self, depth: int) -> None:
        """Drop the blocks above ``depth``, in place; those that are left keep their identity.

        Raises:
            DepthError: ``depth`` is not in 0..L.
        """
        small = self.first(depth)
        self._modules, self.config = small._modules, small.config

    def check_depth(self, depth: int) -> int:
        """``depth`` if this network has it. Raises DepthError."""
        if not 0 <= depth <= self.depth:
            raise DepthError(depth, self.depth)
        return depth

    def recipe(self) -> dict[str, Any]:
        """Keyword arguments of the constructor that make this network as it is now."""
        return self.config | {"connectivity": self.rule()}

    def check_savable(self) -> None:
        """Raise ConfigError, naming the reason, for a network that could not be loaded again.

        It is built once more from what its folder would say, and the two are compared. ``fit`` with
        a run folder asks before the first step, so that no training ends without a model.
        """
        describe(self)

    def rule(self) -> str | dict[str, Any]:
        """The connectivity as it is now, as JSON: a name where a name says it all."""
        return as_name(self.trunk.connectivity.to_config())

    def set_connectivity(self, spec: Spec) -> None:
        """Give this network another rule over the same blocks (e.g. a schedule's end point).

        Raises:
            ConfigError: the rule does not fit this depth.
        """
        self.trunk = Trunk(list(self.trunk.blocks), spec).train(self.training)
        self.config["connectivity"] = self.rule()

    def settle(self) -> None:
        """Fix scheduled gates where they are: what a schedule leaves when it has ended."""
        for trunk in self.trunks:
            trunk.connectivity = trunk.connectivity.settled()
        self.config["connectivity"] = self.rule()

    # -- Hugging Face hub: save_pretrained, from_pretrained, push_to_hub ---------------------------

    def _save_pretrained(self, save_directory: Path) -> None:
        write_network(self, save_directory)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **options: Any) -> Self:
        """Return the network of a folder, or of a model on the hub.

        Args:
            pretrained_model_name_or_path: a folder, or ``"user/name"``.
            options: of the hub (``revision``, ``token``, ...), ``map_location``, and arguments of
                the constructor, which win over those that were saved.

        Raises:
            CheckpointError: as :func:`autocompress.load`.
        """
        path = Path(pretrained_model_name_or_path)
        if path.is_dir():  # before anybody else opens what may be a pipe, or nested without end
            from autocompress.io.schema import saved_config

            saved_config(path)
        return super().from_pretrained(pretrained_model_name_or_path, **options)

    @classmethod
    def _from_pretrained(cls, *, model_id: str, **options: Any) -> Self:
        net = load_pretrained(model_id, options)
        if not isinstance(net, cls):
            raise ConfigError(f"{model_id} holds a {type(net).__name__}, not a {cls.__name__}")
        return net


#: Where the arguments of a constructor are until Network.__init__ takes them.
_RECORDED = "_recorded_arguments"


def _recording(constructor: Callable[..., None]) -> Callable[..., None]:
    """Return a constructor that keeps its arguments, but for the connectivity, in their order."""
    signature = inspect.signature(constructor)

    @wraps(constructor)
    def recorded(self: Network, *args: Any, **options: Any) -> None:
        if _RECORDED not in self.__dict__:  # else a subclass has other arguments than this class
            bound = signature.bind(self, *args, **options)
            bound.apply_defaults()
            _, *given = bound.arguments.items()
            self.__dict__[_RECORDED] = {k: v for k, v in given if k != "connectivity"}
            check_bounds(constructor, dict(given))
        constructor(self, *args, **options)
        self.__dict__.pop(_RECORDED, None)  # of a class that does not call Network.__init__

    return recorded


N = TypeVar("N", bound=type[Network])


def register_model(name: str) -> Callable[[N], N]:
    """Class decorator: make a :class:`Network` known under ``name``.

    Raises:
        ConfigError: the name is taken.
    """

    def register(cls: N) -> N:
        MODELS.add(name, cls)
        cls.model_name = name
        return cls

    return register


def list_models() -> list[str]:
    """The registered names, sorted."""
    return list(MODELS)


def model_class(name: str) -> type[Network]:
    """The class registered under ``name``. Raises UnknownNameError."""
    return cast(type[Network], MODELS[name])


def build(name: str, /, **arguments: Any) -> Network:
    """The registered model ``name`` with these constructor arguments.

    Raises:
        UnknownNameError: no such model, or an argument that it does not take.

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
) -> Network:
    """Return the network that ``directory`` holds, in eval mode; see :func:`io.load`."""
    return cast(Network, load_savable(directory, device, model=model))


def as_name(config: dict[str, Any]) -> str | dict[str, Any]:
    """The short form of a connectivity's config where a name says it all."""
    return config["name"] if set(config) == {"name"} else config
