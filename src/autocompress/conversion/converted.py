"""Converted: a network of another library with our trunk in it, as a :class:`Network`."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from typing_extensions import Self

from autocompress.connectivity import Spec, as_name
from autocompress.connectivity.base import check_layers
from autocompress.conversion.acn_classes import use_acn_classes
from autocompress.conversion.as_host import AsHost, host_call
from autocompress.conversion.buffers import refill_buffers
from autocompress.conversion.hf_ours import model_type
from autocompress.conversion.hidden_states import keep_marks, run_noted
from autocompress.conversion.host import Call, HostTrunk, set_rules, trunks_of
from autocompress.conversion.hosting import host_network
from autocompress.conversion.interfaces import inner_host, interface_of, is_known
from autocompress.conversion.own import (
    check_split,
    class_of,
    example_like,
    outlined,
    refuse_own,
    shapes_of,
    takes_of,
)
from autocompress.conversion.passes import HostPasses
from autocompress.conversion.placement import check_alike, check_places
from autocompress.conversion.record import Recorded, record_shape
from autocompress.conversion.runs import (
    ArrivedError,
    counting,
    go_on,
    hand_back,
    hand_on,
    stop_here,
)
from autocompress.conversion.sources import OWN, build_named, recorded
from autocompress.conversion.views import Memo, recorders, replaced
from autocompress.errors import ConfigError, ConvertError
from autocompress.network import register_model
from autocompress.sharded import twin_of

__all__ = ["Converted", "wrapped"]


@register_model("converted")
class Converted(HostPasses, AsHost, Recorded):
    """A network of another library whose layers are run by our loop.

    It offers two views of the same weights. This object takes a batch and returns logits, as every
    :class:`Network` does; ``model`` is the host with everything that its library provides
    (``model.generate``, ``model.forward_features``). :func:`autocompress.convert` creates it, and
    loading does so by :meth:`from_config`.

    Args:
        model: The host, with trunks in place of its lists of layers.
        paths: Paths of the trunks in the host: one, or one per stage.
        source: Description that rebuilds the host: ``source`` and ``arguments`` of config.json.
        example: A batch from the user that shows which inputs the host takes.
        seen: Whether the host was observed to call each layer once per pass. If it was not, the
            calls of every pass are counted; those of a host that its owner builds are counted
            wherever a depth is read, as another input may be another path through its code.

    Attributes:
        model: The host.
        paths: Paths of the trunks.
    """

    model: nn.Module

    tasks = ()  # a config names its source instead

    def __init__(
        self,
        model: nn.Module,
        paths: Sequence[str],
        source: Mapping[str, Any],
        example: Any = None,
        seen: bool = True,
    ) -> None:
        nn.Module.__init__(self)
        self.model, self.paths = model, tuple(paths)
        self.interface = interface_of(model, example)
        self.seen = seen
        self.config = {**source, "depth": self.depth, "connectivity": self.rule()}
        if self.config["source"] == OWN:
            self.config.setdefault("own_class", class_of(model))
            self.config.setdefault("takes", shapes_of(example))
        record_shape(model)

    @classmethod
    def from_config(cls, **arguments: Any) -> Converted:
        """Build the network that config.json describes; see :func:`from_source`."""
        return from_source(**arguments)

    @classmethod
    def options(cls) -> Mapping[str, inspect.Parameter]:
        """Return the arguments that config.json may hold: those of :func:`from_source`."""
        return inspect.signature(from_source).parameters

    # -- what every network has --------------------------------------------------------------------

    @property
    def trunks(self) -> tuple[HostTrunk, ...]:
        return tuple(cast(HostTrunk, self.model.get_submodule(path)) for path in self.paths)

    @property
    def trunk(self) -> HostTrunk:  # type: ignore[override]  # part of the host, not an attribute
        """Return the trunk; raise ConfigError for a stage-wise network, which has several."""
        if len(self.paths) > 1:
            raise ConfigError("a stage-wise network has one trunk per stage: net.trunks")
        return self.trunks[0]

    @property
    def depth(self) -> int:
        """Return the number of layers in all stages together."""
        return sum(trunk.depth for trunk in self.trunks)

    def forward(
        self,
        x: Any = None,
        depth: int | None = None,
        mediated: float = 1.0,
        *more: Any,
        **named: Any,
    ) -> Any:
        """Return the host's logits, or the last hidden state of a host without a head.

        Called as its host is, by keyword or with several tensors, it returns what the host does:
        ``net(input_ids=ids, attention_mask=mask).logits``. ``depth`` goes with both.

        The arguments are those of :meth:`Network.forward`; ``x`` may also be a mapping of the
        host's keyword arguments.
        """
        call = host_call(self.model, (x, depth, mediated, *more), named)
        as_host = call is not None
        if as_host:
            x = call
            depth = None if isinstance(depth, Tensor) else depth
            mediated = 1.0 if isinstance(mediated, Tensor) else mediated
        if depth is None and mediated == 1 and (self.seen or torch.compiler.is_compiling()):
            return self._call(self.model, x, as_host)
        stops = self._per_stage(self.depth if depth is None else self.check_depth(depth))
        runs = [partial(run_noted, depth=stop, mediated=mediated) for stop in stops]
        return self._pass(runs, {}, x, as_host)

    def go_on(
        self, x: Any, first: int = 0, state: Any = None, depth: int | None = None
    ) -> tuple[Any, Tensor]:
        """Return the trunk's state at ``depth`` and the host's logits there.

        The host runs as usual, around a trunk that continues from an existing state (see
        :meth:`Trunk.onwards`): generation verifies a draft this way, without running the layers
        below ``first`` again.

        Args:
            x: A batch, as a tensor or a mapping of the host's keyword arguments.
            first: Depth of ``state``.
            state: State for the same batch; None starts with what the host makes of ``x``.
            depth: Depth to stop at, ``first``..L; None runs all layers.

        Raises:
            ConfigError: The network is stage-wise, with states in several trunks.
        """
        trunk = self.trunk
        seen: list[Any] = []
        stop = trunk.depth if depth is None else trunk.connectivity.check_depth(depth)
        run = partial(go_on, first=first, state=state, depth=stop, seen=seen)
        logits = self.interface.call(self._with([run], {}), x)
        return seen[0], logits

    def stem(self, x: Any) -> Tensor:  # type: ignore[override]  # the host's code, not a module
        """Return x_0 of a batch."""
        return self._arrive(x, 0, None, {})[0]

    def head(self, readout: Tensor, x: Any) -> Tensor:  # type: ignore[override]
        """Return the host's logits for a readout that was computed from the batch ``x``."""
        last = self.stages - 1
        hand = partial(hand_on, self._handed(readout))
        runs = [hand if j == last else hand_back for j in range(self.stages)]
        return cast(Tensor, self._pass(runs, {}, x))

    def only(self, layers: Sequence[int]) -> Self:
        check_layers(layers, self.depth)
        if list(layers) != list(range(len(layers))):
            check_alike(self.model)
        known = is_known(inner_host(self.model))  # its library rebuilds it
        cuts: dict[str, HostTrunk] = {}
        below = 0
        for path, trunk in zip(self.paths, self.trunks, strict=True):
            own = [index - below for index in layers if below <= index < below + trunk.depth]
            if known:
                check_places(path, trunk.blocks, own)
            cuts[path] = trunk.only(own)
            below += trunk.depth
        small = twin_of(self)
        small._modules = {"model": replaced(self.model, dict(cuts))}
        small.config = self.config | {"depth": len(layers)}
        small.config["connectivity"] = small.rule()
        return small

    def shortened(self) -> None:
        for trunk in self.trunks:
            trunk.renumber()
        self.interface.shorten(self.model, self.depth)  # update the host's own record

    def set_connectivity(self, spec: Spec) -> None:
        """Replace the rule over the same layers, in each stage of a stage-wise network.

        Raises:
            ConfigError: The rule does not fit the depth (of a stage).
        """
        set_rules(self.model, spec)
        self.config["connectivity"] = self.rule()

    @property
    def owner_builds(self) -> bool:  # type: ignore[override]  # it depends on the host
        """Return whether only the user can build its class: ``load(FOLDER, model=NEW_HOST)``."""
        return bool(self.config["source"] == OWN)

    def refill_buffers(self) -> None:
        refill_buffers(self.model)

    def recipe(self) -> dict[str, Any]:
        """Return the arguments that rebuild this network: its host is built, then cut."""
        now = {**recorded(self.model, self.config), **model_type(self.model), **self.shows()}
        return {**self.config, **now, **self.told(), "connectivity": self.rule()}

    def rule(self) -> str | dict[str, Any]:
        rules = [as_name(trunk.connectivity.to_config()) for trunk in self.trunks]
        told = [r for r, t in zip(rules, self.trunks, strict=True) if t.depth] or rules[:1]
        alike = len(told) == 1 or all(rule == told[0] and isinstance(rule, str) for rule in told)
        return told[0] if alike else {"name": "stages", "rules": rules}

    @property
    def stages(self) -> int:
        """Return the number of trunks."""
        return len(self.paths)

    def _call(self, model: nn.Module, x: Any, as_host: bool = False) -> Any:
        """Return the logits, without attention to padding, or as the host all that it returns."""
        if as_host:
            out = model(**x)
            keep_marks(self.model, model, self.paths)
            return out
        counted = self.counted(x) if isinstance(x, Tensor) else None
        if counted is not None:
            host: Any = model
            x = {host.main_input_name: x, "attention_mask": counted.long()}
        return self.interface.call(model, x)

    # -- views of the host -------------------------------------------------------------------------

    def _per_stage(self, depth: int) -> list[int]:
        """Return how many of the first ``depth`` layers are in each stage."""
        stops = []
        for trunk in self.trunks:
            stops.append(min(depth, trunk.depth))
            depth -= stops[-1]
        return stops

    def _with(self, runs: Sequence[Any], others: Mapping[str, nn.Module]) -> nn.Module:
        """Return a view of the host with these runs in its trunks and other modules replaced."""
        pairs = zip(self.paths, self.trunks, runs, strict=True)
        endings = {path: trunk.ending(run) for path, trunk, run in pairs}
        return replaced(self.model, {**others, **endings})

    def _pass(
        self,
        runs: Sequence[Any],
        others: Mapping[str, nn.Module],
        x: Any,
        as_host: bool = False,
    ) -> Any:
        """Return the host's logits when each trunk does its run.

        Raises:
            ConvertError: The host calls its list of layers twice for this input, or never.
        """
        if (self.seen and not self.owner_builds) or torch.compiler.is_compiling():
            return self._call(self._with(runs, others), x, as_host)
        counts = [0] * self.stages
        counted = [partial(counting, run, counts, stage) for stage, run in enumerate(runs)]
        out = self._call(self._with(counted, others), x, as_host)
        for path, trunk, count in zip(self.paths, self.trunks, counts, strict=True):
            if trunk.depth and count != 1:
                raise ConvertError(
                    f"{type(self.model).__name__} ran its layers at {path} {count} times in one "
                    "pass: long connections need every layer to run exactly once"
                )
        return out

    def _arrive(
        self, x: Any, stage: int, before: Tensor | None, memo: Memo
    ) -> tuple[Tensor, Sequence[Call]]:
        """Return a stage's x_0 and its layers' arguments, given the previous stage's readout.

        The outputs of the host's other modules on the way are recorded in ``memo``.
        """
        runs: list[Any] = [hand_back] * self.stages
        runs[stage] = stop_here
        if before is not None:
            runs[stage - 1] = partial(hand_on, self._handed(before))
        others = recorders(self.model, self.paths, memo, self.owner_builds)
        others |= self._replaying(memo)
        try:
            self._call(self._with(runs, others), x)
        except ArrivedError as there:
            return there.x, there.calls
        raise ConfigError(f"{type(self.model).__name__} never called {self.paths[stage]}")


def wrapped(host: nn.Module, source: dict[str, Any], example: Any, seen: bool = True) -> Converted:
    """Return the network for a host that already has its trunks."""
    paths = [path for path, module in host.named_modules() if isinstance(module, HostTrunk)]
    return Converted(host, paths, source, example, seen)


def from_source(
    source: str,
    arguments: Mapping[str, Any] | None = None,
    depth: int | None = None,
    connectivity: Spec = "acn",
    model: nn.Module | None = None,
    model_type: str | None = None,
    own_class: str | None = None,
    takes: Any = None,
    hidden_states_are: str | None = None,
    pixels: Mapping[str, Any] | None = None,
    split: Mapping[str, str] | None = None,
) -> Converted:
    """Build the network whose host ``source`` names.

    Args:
        source: Name of the host, e.g. ``"timm:vit_tiny_patch16_224"``: a name or class of an
            installed library, never a path (:func:`autocompress.convert` takes those).
        arguments: Keyword arguments of the host, limited to those that its class names itself.
        depth: Number of blocks to keep; None keeps all.
        connectivity: Rule between the layers.
        model: A new host of full depth, or its :func:`convert`, if the library cannot build it.
        model_type: Name by which transformers finds the host's class; it is not used here.
        own_class: Name of that class, for reading; never imported.
        takes: Shapes of its inputs (:func:`autocompress.conversion.own.shapes_of`).
        hidden_states_are: See :attr:`AsHost.hidden_states_are`; None is the host's own kind.
        pixels: Preparation of pictures by its host, where its name does not give it.
        split: Routes by which layers were split whose lists cannot be found alone: those of an
            own class and those named by ``blocks=``, by the path of their list (
            :attr:`StagePlan.route <autocompress.conversion.planning.StagePlan.route>`).

    Raises:
        ConfigError: The source cannot be built or converted.
    """
    if model is None:
        model = refuse_own(own_class) if source == OWN else build_named(source, arguments or {})
    told: dict[str, Any] = {"source": source, "arguments": dict(arguments or {})}
    if source == OWN:
        told |= {"own_class": own_class or class_of(model), "takes": takes or takes_of(model)}
        split = model.config.get("split") if isinstance(model, Converted) else split
    told |= check_split(split)
    example = example_like(takes) if source == OWN else None
    net = copy.copy(model) if isinstance(model, Converted) else _rebuilt(model, told, example)
    if depth is not None and depth != net.depth:
        net = net.cut(depth)
    net.config = {**net.config, **told}
    net.set_connectivity(connectivity)
    net.hidden_states_are = hidden_states_are or net.hidden_states_are
    net.retell(pixels)
    return net


def _rebuilt(model: nn.Module, source: Mapping[str, Any], example: Any) -> Converted:
    """Convert a model of a class that has been converted before, without the checks.

    Loading uses it, in place: the weights are not loaded yet, and the same class was checked when
    it was converted.
    """
    if trunks_of(model):
        return wrapped(model, dict(source), example)
    known = is_known(model)
    host_network(model, outlined(model, source.get("split"), example))
    use_acn_classes(model)
    return wrapped(model, dict(source), example, seen=known)
