"""Let a converted network be called like its host, and offer the host's config."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from autocompress.checks import rows_of
from autocompress.conversion.hidden_states import KINDS, check_kind
from autocompress.conversion.interfaces import Interface, inner_host, is_transformer
from autocompress.conversion.verify import runs
from autocompress.errors import ConfigError
from autocompress.measurement.modes import device_of
from autocompress.network import ANY, Network

__all__ = ["AsHost", "HostConfig", "host_call", "hub_name"]


class HostConfig(dict[str, Any]):
    """The arguments that rebuild a converted network by key, and the host's config by attribute.

    ``net.config["source"]`` names what the host is built from, and ``net.config.hidden_size`` is
    the host's ``config.hidden_size``; setting an attribute sets the host's.
    """

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._of_host(name), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._of_host(name), name, value)

    def _of_host(self, name: str) -> Any:
        host = vars(self).get("host")
        if host is None:
            raise AttributeError(
                f"this host has no config, so net.config has no {name!r} (by key it has "
                f"{', '.join(self)})"
            )
        return host

    def __reduce__(self) -> Any:
        return type(self), (dict(self),)

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        from copy import deepcopy

        return type(self)(deepcopy(dict(self), memo))


class AsHost(Network):
    """The part of a converted network's interface that comes from its host.

    Attributes:
        model: The host.
        config: Arguments that rebuild this network, and the host's config (:class:`HostConfig`).
    """

    model: nn.Module
    interface: Interface

    @property
    def config(self) -> HostConfig:
        """Return the arguments that rebuild this network, with the host's config behind them."""
        told: HostConfig = self.__dict__["_config"]
        vars(told)["host"] = getattr(self.model, "config", None)
        return told

    @config.setter
    def config(self, said: Mapping[str, Any]) -> None:
        self.__dict__["_config"] = HostConfig(said)

    @property
    def device(self) -> torch.device:
        """Return the device of the first parameter."""
        return device_of(self)

    @property
    def dtype(self) -> torch.dtype:
        """Return the data type of the first floating-point parameter."""
        found = (p.dtype for p in self.parameters() if p.is_floating_point())
        return next(found, torch.get_default_dtype())

    @property
    def classes(self) -> int | None:
        return self.interface.classes(self.model)

    @property
    def objective(self) -> str:
        return self.interface.objective(self.model)

    @property
    def arguments(self) -> frozenset[str] | None:
        host = inner_host(self.model)
        taken = inspect.signature(host.forward).parameters.values()
        names = {p.name for p in taken if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        # transformers collects arguments for its own use in **kwargs
        anything = any(p.kind is p.VAR_KEYWORD for p in taken)
        own = not is_transformer(host)
        return frozenset(names | {ANY} if anything and own else names)

    def example(self, batch: int = 2) -> Any:
        """Return noise, or token ids, of the host's input shape."""
        found = self.interface.examples(self.model, batch)
        tried = found if len(found) > 1 else ()
        return next((one for one in tried if runs(self.model, rows_of(one, range(1)))), found[0])

    @property
    def hidden_states_are(self) -> str:
        """Say what the host shows of its inside: ``"layers"`` or ``"readouts"``.

        Set it, and transformers' ``output_hidden_states`` and timm's ``forward_intermediates`` give
        the output of every layer, or what the head would read after it. In a residual network
        these are the same. transformers' hosts begin with layers, timm's with readouts.
        """
        return str(getattr(self._shows, "hidden_states_are", self._shown_at_first))

    @hidden_states_are.setter
    def hidden_states_are(self, kind: str) -> None:
        self._shows.hidden_states_are = check_kind(kind)

    def shows(self) -> dict[str, str]:
        """Return ``hidden_states_are`` as an option of config.json; empty for the usual kind."""
        kind = self.hidden_states_are
        return {} if kind == self._shown_at_first else {"hidden_states_are": kind}

    @property
    def _shows(self) -> Any:
        """The object that holds ``hidden_states_are``: transformers' config, or another host."""
        found = self._transformer
        return inner_host(self.model) if found is None else found.config

    @property
    def _shown_at_first(self) -> str:
        return KINDS[1] if self._transformer is None else KINDS[0]

    @property
    def _transformer(self) -> Any:
        """The first network of transformers in the host, which others may wrap; None without."""
        return next(filter(is_transformer, self.model.modules()), None)

    @property
    def base_model(self) -> str | None:
        """Return the name on the hub of what the host's weights came from; None if unknown."""
        return hub_name(self.model)

    @property
    def accepts_loss_kwargs(self) -> NoReturn:
        """Refuse transformers' Trainer, which alone reads this name, and say what to give it.

        Raises:
            ConfigError: Always, since the Trainer reads and writes its model as transformers does.
        """
        raise ConfigError(
            "transformers' Trainer takes the host, not the network around it: "
            "Trainer(model=net.model, ...). They share their weights, so net is trained as well"
        )


def hub_name(host: nn.Module) -> str | None:
    """Return ``owner/name`` of what a host's weights came from, as its config says; else None."""
    name = getattr(getattr(host, "config", None), "_name_or_path", "") or ""
    return name if name.count("/") == 1 and not os.path.exists(name) else None


def host_call(
    host: nn.Module, args: tuple[Any, ...], named: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return a call's arguments by the names that the host's forward gives them.

    Args:
        host: The module that is called.
        args: Positional arguments: the batch, then those of :meth:`Network.forward` or the host's.
        named: Keyword arguments.

    Returns:
        The arguments; None for a call in this library's form: a batch, perhaps with a depth and a
        weight.

    Raises:
        ConfigError: The host's forward does not take these arguments.
    """
    first, *others = args
    if not named and not any(isinstance(other, Tensor) for other in others):
        return None
    if isinstance(first, Mapping):
        named, args = {**first, **named}, ()
    elif first is None:
        args = ()
    else:
        stop = max((i for i, a in enumerate(args) if isinstance(a, Tensor)), default=0)
        args = args[: stop + 1]
    try:
        bound = inspect.signature(host.forward).bind(*args, **named)
    except TypeError as error:
        raise ConfigError(f"{type(host).__name__} is not called so: {error}") from error
    found = dict(bound.arguments)
    for name, parameter in bound.signature.parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            found |= found.pop(name, {})
    return found
