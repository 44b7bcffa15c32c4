"""Reference networks, each short enough to read in one sitting."""

from typing import TYPE_CHECKING

from autocompress.lazy import attach_imports

if TYPE_CHECKING:
    from autocompress.models.branched import Branched
    from autocompress.models.decoder import Decoder
    from autocompress.models.encoder import Encoder
    from autocompress.models.mixer import Mixer
    from autocompress.models.mlp import MLP
    from autocompress.models.vit import ViT
    from autocompress.network import build, list_models, register_model
else:
    __getattr__, __dir__ = attach_imports(__name__, __file__)

__all__ = [
    "MLP",
    "Branched",
    "Decoder",
    "Encoder",
    "Mixer",
    "ViT",
    "build",
    "list_models",
    "register_model",
]
