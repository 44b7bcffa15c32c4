"""Networks as the Hugging Face hub knows them: ``from_pretrained``, ``save_pretrained``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from huggingface_hub import PyTorchModelHubMixin
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
from typing_extensions import Self, final

from autocompress.errors import ConfigError
from autocompress.io.card import CARD, Curve, card_of, is_own_card, write_card
from autocompress.io.saving import load_pretrained, not_found, write_network
from autocompress.io.schema import saved_config
from autocompress.savable import Savable

__all__ = ["OnHub"]


class OnHub(PyTorchModelHubMixin):
    """The hub's methods, which read and write our folders: nothing is unpickled."""

    def save_pretrained(
        self, save_directory: str | Path, *, curve: Curve | None = None, **options: Any
    ) -> str | None:
        """Write the network into a folder, as for the hub; see :func:`autocompress.save`.

        Args:
            save_directory: Folder, which may hold an earlier network. A README.md in it that you
                have written or changed is kept.
            curve: The scores by depth, from :func:`autocompress.probe`, for the model card.
            options: As for ``PyTorchModelHubMixin.save_pretrained``.
        """
        card = dict(options.pop("model_card_kwargs", None) or {})
        curve, text = card.setdefault("curve", curve), Path(save_directory) / CARD
        ours = not text.exists() or is_own_card(text)
        address = super().save_pretrained(save_directory, model_card_kwargs=card, **options)
        if ours and curve is not None:  # after all else, as a network that is refused leaves none
            write_card(text.parent, card_of(cast(Savable, self), curve), curve)
        return address

    def push_to_hub(self, repo_id: str, *, curve: Curve | None = None, **options: Any) -> str:
        """Upload the network to the hub.

        Args:
            repo_id: Name of the repository, ``"user/name"``.
            curve: The scores by depth, from :func:`autocompress.probe`: the model card then shows
                them as a picture and as a table.
            options: As for ``PyTorchModelHubMixin.push_to_hub``, e.g. ``private`` or ``token``.

        Returns:
            The address of the commit.
        """
        card = {"curve": curve, **(options.pop("model_card_kwargs", None) or {})}
        return super().push_to_hub(repo_id, model_card_kwargs=card, **options)

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
        try:
            return super().from_pretrained(pretrained_model_name_or_path, **options)
        except (HFValidationError, LocalEntryNotFoundError) as error:  # e.g. a path that is wrong
            raise not_found(str(path), error) from error

    @final
    @classmethod
    def _from_pretrained(cls, *, model_id: str, **options: Any) -> Self:
        net = load_pretrained(model_id, options)
        if not isinstance(net, cls):
            raise ConfigError(f"{model_id} holds a {type(net).__name__}, not a {cls.__name__}")
        return net
