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
    host = _made(made, str(own))
    _note_other(host, said.get("own_class"), str(own))
    return load(folder, model=host)


def _made(made: Any, own: str) -> nn.Module:
    """Return the host that the user's class or function makes."""
    try:
        host = made() if isinstance(made, type) or not isinstance(made, nn.Module) else made
    except AutoCompressError:
        raise
    except (Exception, SystemExit) as error:  # code of the user
        raise ConfigError(
            f"--import {own}: {_said(error)}; expected a class, or a function, that makes the "
            "whole network without arguments"
        ) from error
    if not isinstance(host, nn.Module):
        raise ConfigError(
            f"--import {own} makes a {type(host).__name__}, which is not an nn.Module"
        )
    return host


def _note_other(host: nn.Module, recorded: Any, own: str) -> None:
    """Say that a class has another name than the one that was saved; its weights may still fit."""
    from autocompress.conversion.own import class_of

    saved = str(recorded or "").rpartition(":")[2]
    now = class_of(getattr(host, "model", host) if isinstance(host, Network) else host)
    if saved and now.rpartition(":")[2] != saved:
        print(
            f"acn: note: --import {own} makes a {now}, but the network was saved as a {recorded}: "
            "if its weights fit, another class may still compute something else with them",
            file=sys.stderr,
        )


def _imported(own: str) -> Any:
    """Import the user's module and return the attribute after the colon, if there is one."""
    name, _, attribute = own.partition(":")
    if not all(part.isidentifier() for part in (*name.split("."), *filter(None, [attribute]))):
        raise ConfigError(f"--import {own!r:.120}: expected package.module:Class{_as_module(own)}")
    here = str(Path.cwd())
    if here not in sys.path:  # last, so that no file here takes the place of an installed package
        sys.path.append(here)
    try:
        module = import_module(name)
    except AutoCompressError:
        raise
    except (Exception, SystemExit) as error:  # code of the user
        raise ConfigError(
            f"--import {own}: {name} cannot be imported: {_said(error)}{_as_module(own)}"
        ) from error
    if not attribute:
        return None
    found = getattr(module, attribute, None)
    if not callable(found):
        known = [k for k, v in vars(module).items() if not k.startswith("_") and callable(v)]
        what = f"has no class {attribute!r}"
        if hasattr(module, attribute):
            what = f"has a {type(found).__name__} named {attribute!r}, not a class or a function"
        raise ConfigError(f"--import {own}: {name} {what}{nearest(attribute, known)}")
    return found


def _as_module(own: str) -> str:
    """Return a hint for a word that names a file, or a class without a colon; else nothing."""
    path, _, attribute = own.partition(":")
    file = Path(path)
    if file.suffix == ".py" and not file.is_absolute() and ".." not in file.parts:
        return f"; did you mean {'.'.join(file.with_suffix('').parts)}:{attribute or 'CLASS'}?"
    module, _, last = path.rpartition(".")
    if module and not attribute and last.isidentifier() and last[0].isupper():
        return f"; did you mean {module}:{last}?"
    return ""


def _said(error: BaseException) -> str:
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}".rstrip(": ")
