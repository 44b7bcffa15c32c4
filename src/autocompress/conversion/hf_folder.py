"""Write the files beside the weights in a folder that transformers saves of a host with a trunk.

The folder opens wherever autocompress is imported. For programs that import nothing of ours and
let a checkpoint's code run (``trust_remote_code=True``), config.json names a module of a few lines
that imports this library; nothing here ever runs it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autocompress.conversion.as_host import hub_name
from autocompress.conversion.host import trunks_of
from autocompress.conversion.pickling import PREFIX
from autocompress.io.atomic import atomic_file
from autocompress.io.card import Curve, card_text, write_card
from autocompress.printing import layer_words

__all__ = ["MODULE", "auto_map", "write_beside"]

#: Name of the module in the folder.
MODULE = "modeling_acn"

_TEXT = '''"""Opens this folder in programs that pass trust_remote_code=True; needs autocompress.

Where you write the program yourself, `import autocompress` opens it without this file.
"""

from autocompress.transformers import {names}

__all__ = [{quoted}]
'''

_OPENS = """import autocompress  # registers the model type with transformers
from transformers import {auto}

model = {auto}.from_pretrained("FOLDER")"""


def auto_map(host: Any) -> dict[str, Any]:
    """Return ``{"auto_map": ...}`` for config.json: which Auto class finds which class here.

    It is empty for a class that no module of transformers has, which only its owner can import.
    """
    import transformers
    from transformers.models.auto import modeling_auto

    plain = type(host).__mro__[2]  # of the acn class: our mixin comes before it
    if getattr(transformers, plain.__name__, None) is not plain:
        return {}
    config_class = type(host.config)
    found = {"AutoConfig": f"{MODULE}.{config_class.__name__}"}
    for name, auto in vars(modeling_auto).items():
        if name.startswith(("AutoModel", "AutoBackbone")) and hasattr(auto, "_model_mapping"):
            known = auto._model_mapping.get(config_class, None)
            if known is type(host):
                found[name] = f"{MODULE}.{PREFIX}{plain.__name__}"
            elif name == "AutoModel" and known is not None:  # e.g. for embeddings
                found[name] = f"{MODULE}.{PREFIX}{known.__name__}"
    return {"auto_map": found}


def write_beside(host: Any, directory: Path, curve: Curve | None = None) -> None:
    """Write the module and the model card; a user's own card is kept.

    Args:
        host: A transformers model of an acn class, whose config has its ``auto_map``.
        directory: An existing folder.
        curve: Scores of its depths, or of those of the network it was cut from, for the card.
    """
    refers: dict[str, str] = getattr(host.config, "auto_map", None) or {}
    names = sorted({reference.partition(".")[2] for reference in refers.values()})
    if names:
        quoted = ", ".join(f'"{name}"' for name in names)
        text = _TEXT.format(names=", ".join(names), quoted=quoted)
        with atomic_file(directory / f"{MODULE}.py") as temporary:
            temporary.write_text(text, encoding="utf-8")
    write_card(directory, _card(host, curve), curve)


def _card(host: Any, curve: Curve | None) -> str:
    autos = [name for name in getattr(host.config, "auto_map", None) or {} if name != "AutoConfig"]
    auto = next((name for name in autos if name != "AutoModel"), "AutoModel")
    depth = sum(trunk.depth for trunk in trunks_of(host))
    base, name = hub_name(host), type(host).__name__
    facts = {
        "base model": base or f"{name}, with weights of unknown origin",
        "depth": layer_words(depth),
        "connectivity": f"`{host.config.connectivity}`",
    }
    opens = _OPENS.format(auto=auto)
    return card_text(f"{name} of depth {depth}", facts, base, "transformers", opens, curve)
