"""Convert a timm, transformers or custom network: first plan, then convert."""

from typing import TYPE_CHECKING

from autocompress.lazy import attach_imports

if TYPE_CHECKING:
    from autocompress.conversion.converted import Converted
    from autocompress.conversion.converting import convert
    from autocompress.conversion.layers import register_layer
    from autocompress.conversion.native import save_host
    from autocompress.conversion.planning import Plan, plan
    from autocompress.conversion.restoring import restore
else:
    __getattr__, __dir__ = attach_imports(__name__, __file__)

__all__ = ["Converted", "Plan", "convert", "plan", "register_layer", "restore", "save_host"]
