"""Tell a saved network's own files from those of a user, which overwriting must not delete."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from autocompress.errors import CheckpointError, OutputError
from autocompress.io.atomic import json_text
from autocompress.io.card import CARD, PICTURE, is_own_card
from autocompress.io.header import read_json, sha256, text_sha256
from autocompress.io.schema import CONFIG, TOKENIZER, WEIGHTS
from autocompress.savable import Savable

__all__ = ["texts_beside", "to_keep"]

#: Files beside the weights; those for transformers are only of networks that it opens.
_BESIDE = (TOKENIZER, "tokenizer_config.json", "preprocessor_config.json")

#: Files that a saved network's folder may hold when it is overwritten; others belong to the user.
_OURS = {
    *(CONFIG, WEIGHTS, CARD, PICTURE, ".gitattributes", *_BESIDE),
    *("exits.json", "exits.svg"),  # of the weights that are overwritten
}


def to_keep(path: Path, net: Savable) -> list[str]:
    """Return names of a user's files that stay when ``net`` replaces what is in the folder.

    Raises:
        OutputError: The folder holds files of a user that cannot stay beside another network.
    """
    ours = _OURS - _of_user(path, net)
    foreign = sorted(p.name for p in path.glob("*") if p.name not in ours)
    if foreign:
        raise OutputError(
            f"{path} holds {foreign[0]}, which is not part of a saved network; "
            "overwriting would delete it, so choose another folder"
        )
    if not (path / CARD).is_file() or is_own_card(path / CARD):
        return []
    return [name for name in (CARD, PICTURE) if (path / name).is_file()]


def _of_user(path: Path, net: Savable) -> set[str]:
    """Return names of files that are neither of the saved network of a folder nor of ``net``."""
    before: dict[str, Any] = {}
    with suppress(OSError, CheckpointError, AttributeError):  # there is none, or it is damaged
        said = read_json(path / CONFIG)
        if "model" not in said:  # as in a folder of transformers
            return {CONFIG}
        if said.get("format", 1) == 1:  # of earlier versions, which recorded no hashes
            return set()
        before = {TOKENIZER: said.get("tokenizer_sha256"), **dict(said.get("beside_sha256", {}))}
    after = {name: text_sha256(text) for name, text in texts_beside(net).items()}
    there = {name: sha256(path / name) for name in _BESIDE if (path / name).is_file()}
    return {name for name, said in there.items() if said not in (before.get(name), after.get(name))}


def texts_beside(net: Savable) -> dict[str, str]:
    """Return the text of each file beside the weights."""
    own = {} if net.tokenizer is None else {TOKENIZER: net.tokenizer}
    return own | {name: json_text(dict(content)) for name, content in net.beside().items()}
