"""Model folders as other programs, strangers and earlier versions leave them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file

from autocompress.io.header import HASH
from autocompress.io.schema import config_hash


def edit(folder: Path, **changes: Any) -> None:
    """Change keys of config.json; None takes one away. Its hashes are no longer right."""
    path = folder / "config.json"
    config = json.loads(path.read_text()) | changes
    config = {
        key: value for key, value in config.items() if value is not None or key not in changes
    }
    path.write_text(json.dumps(config))


def forge(folder: Path, **changes: Any) -> None:
    """Change keys of config.json as a stranger can, who makes the hashes anew."""
    edit(folder, **changes)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    rewrite(folder, metadata={HASH: config_hash(config)})
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    path.write_text(json.dumps(config | {"sha256": digest}))


def rewrite(folder: Path, metadata: dict[str, str], tensors: dict[str, Any] | None = None) -> None:
    """Write the weights anew, with other metadata beside the names of shared tensors."""
    path = folder / "model.safetensors"
    with safe_open(path, framework="pt") as file:
        kept = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        said = {key: value for key, value in (file.metadata() or {}).items() if key != HASH}
    save_file(kept if tensors is None else tensors, path, said | metadata)


def as_format_1(folder: Path, **changes: Any) -> None:
    """The folder as a version before 0.2 has written it: no hash of config.json, fewer keys."""
    edit(folder, format=1, tokenizer_sha256=None, changes=None, **changes)
    rewrite(folder, metadata={})
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    edit(folder, sha256=digest)
