"""Networks of the user's own class, for all verbs that take a network.

Nothing named in a folder is imported; the user names the module on the command line.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import nn

from autocompress.errors import AutoCompressError, ConfigError, nearest
from autocompress.io import saved_config
from autocompress.network import Network, load
from autocompress.pipeline.saved import find_model

__all__ = ["load_own", "network"]


def network(path: str, own: str | None) -> Network:
    """Load the network at ``path``, a run folder or a saved network.

    Args:
        path: The folder.
        own: The user's ``package.module:Class``, or only a module that registers the parts of the
            network; None imports nothing, whatever the folder says.

    Raises:
        ConfigError: The class cannot be imported, or builds no network without arguments.
        CheckpointError: As for :func:`autocompress.load`.
    """
    folder = find_model(Path(path))
    return load_own(folder, own)


def load_own(folder: Path, own: str | None) -> Network:
    """Load the saved network in ``folder``; see :func:`network`."""
    made = None if own is None else _imported(own)
    said = saved_config(folder)
    if said.get("source") is None:
        return load(folder)  # one of our models, which does not need conversion
    from autocompress.conversion.own import refuse_own
    from autocompress.conversion.sources import OWN

    if said["source"] != OWN:
        return load(folder)
    if made is None:
        refuse_own(said.get("own_class"))
    try:
        host = made() if isinstance(made, type) or not isinstance(made, nn.Module) else made
    except AutoCompressError:
        raise
    except Exception as error:  # code of the user
        raise ConfigError(
            f"--import {own}: {_said(error)}; expected a class, or a function, that makes the "
            "whole network without arguments"
        ) from error
    if not isinstance(host, nn.Module):
        raise ConfigError(
            f"--import {own} makes a {type(host).__name__}, which is not an nn.Module"
        )
    return load(folder, model=host)


def _imported(own: str) -> Any:
    """Import the user's module and return the attribute after the colon, if there is one."""
    name, _, attribute = own.partition(":")
    if not all(part.isidentifier() for part in (*name.split("."), *filter(None, [attribute]))):
        raise ConfigError(f"--import {own!r:.120}: expected package.module:Class")
    here = str(Path.cwd())
    if here not in sys.path:  # last, so that no file here takes the place of an installed package
        sys.path.append(here)
    try:
        module = import_module(name)
    except AutoCompressError:
        raise
    except Exception as error:  # code of the user
        raise ConfigError(f"--import {own}: {name} cannot be imported: {_said(error)}") from error
    if not attribute:
        return None
    if not callable(getattr(module, attribute, None)):
        hint = nearest(attribute, [key for key in vars(module) if not key.startswith("_")])
        raise ConfigError(f"--import {own}: {name} has no class {attribute!r}{hint}")
    return getattr(module, attribute)


def _said(error: Exception) -> str:
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}".rstrip(": ")
