"""Networks as the Hugging Face hub knows them: ``from_pretrained``, ``save_pretrained``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from huggingface_hub import PyTorchModelHubMixin
from typing_extensions import Self, final

from autocompress.errors import ConfigError
from autocompress.io.saving import load_pretrained, write_network
from autocompress.io.schema import saved_config
from autocompress.savable import Savable

__all__ = ["OnHub"]


class OnHub(PyTorchModelHubMixin):
    """The hub's methods, which read and write our folders: nothing is unpickled."""

    @final
    def _save_pretrained(self, save_directory: Path) -> None:
        write_network(cast(Savable, self), save_directory)

    @final
    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **options: Any) -> Self:
        """Load a network from a folder or from the hub.

        Args:
            pretrained_model_name_or_path: A folder, or ``"user/name"``.
            options: Hub options (``revision``, ``token``, ...), ``map_location``, and constructor
                arguments, which override the saved ones.

        Raises:
            CheckpointError: As for :func:`autocompress.load`.
        """
        path = Path(pretrained_model_name_or_path)
        if path.is_dir():  # checked first: other loaders might open a pipe or endless nesting
            saved_config(path)
        return super().from_pretrained(pretrained_model_name_or_path, **options)

    @final
    @classmethod
    def _from_pretrained(cls, *, model_id: str, **options: Any) -> Self:
        net = load_pretrained(model_id, options)
        if not isinstance(net, cls):
            raise ConfigError(f"{model_id} holds a {type(net).__name__}, not a {cls.__name__}")
        return net
