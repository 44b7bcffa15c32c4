"""Name weights that the hub should have brought, on a machine that does not reach it."""

from __future__ import annotations

from huggingface_hub.errors import LocalEntryNotFoundError

from autocompress.errors import ConfigError

__all__ = ["check_reached"]


def check_reached(source: str, error: BaseException) -> None:
    """Raise ConfigError if a library could not load ``source`` as the hub was out of reach.

    Args:
        source: Name as the user gave it, e.g. ``"timm:vit_tiny_patch16_224"``.
        error: Exception of the library; what caused it counts as well.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, LocalEntryNotFoundError):
            raise ConfigError(
                f"{source} is not in the hub's cache on this machine, and the hub could not be "
                "reached (offline, or HF_HUB_OFFLINE is set): with a connection it is downloaded "
                "once; without one, name a folder in its place, a FOLDER of ac.save or hf:FOLDER "
                "of transformers' save_pretrained"
            ) from error
        cause = cause.__cause__ or cause.__context__
