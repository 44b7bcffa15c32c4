"""A timm, transformers or own network -> the same stem, trunk and head; plan first, then convert."""

from autocompress.convert.convert import convert
from autocompress.convert.converted import Converted
from autocompress.convert.layers import register_layer
from autocompress.convert.plan import Plan, plan

__all__ = ["Converted", "Plan", "convert", "plan", "register_layer"]
