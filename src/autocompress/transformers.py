"""``import autocompress.transformers``: the ``Auto`` classes load what this library has saved.

Example:
    >>> "acn-bert" in MODEL_TYPES
    True
"""

from autocompress.convert.hf_classes import acn_class, register_auto

__all__ = ["MODEL_TYPES", "acn_class"]

#: Model types that ``AutoConfig`` and ``AutoModelFor...`` know after this import.
MODEL_TYPES = register_auto()
