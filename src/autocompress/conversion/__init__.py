"""Convert a timm, transformers or custom network: first plan, then convert."""

from autocompress.conversion.converted import Converted
from autocompress.conversion.converting import convert
from autocompress.conversion.layers import register_layer
from autocompress.conversion.planning import Plan, plan
from autocompress.conversion.restoring import restore

__all__ = ["Converted", "Plan", "convert", "plan", "register_layer", "restore"]
