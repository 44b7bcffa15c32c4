"""``import autocompress.timm``: ``timm.create_model("acn_...")`` builds networks with a trunk.

Example:
    >>> "acn_vit_tiny_patch16_224" in MODELS
    True
"""

from autocompress.conversion.timm_models import register_timm

__all__ = ["MODELS"]

#: Names that timm knows after this import.
MODELS = register_timm()
