"""A timm, transformers or own network becomes one of ours: plan first, then convert."""

from autocompress.convert.convert import convert
from autocompress.convert.converted import Converted
from autocompress.convert.layers import register_layer
from autocompress.convert.plan import Plan, plan
from autocompress.convert.restore import restore

__all__ = ["Converted", "Plan", "convert", "plan", "register_layer", "restore"]
