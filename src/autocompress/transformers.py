"""``import autocompress.transformers``: the ``Auto`` classes load what this library has saved.

``import autocompress`` alone does this as soon as transformers is imported too; this module has the
names. Each acn class can be imported from here, as ``AcnBertForSequenceClassification``.

Example:
    >>> "acn-bert" in MODEL_TYPES
    True
"""

from typing import Any

from autocompress.causal import as_causal_lm
from autocompress.conversion import hf_classes
from autocompress.conversion.hf_auto import register_auto
from autocompress.conversion.hf_classes import acn_class

__all__ = ["MODEL_TYPES", "acn_class", "as_causal_lm"]

#: Model types that ``AutoConfig`` and ``AutoModelFor...`` know after this import.
MODEL_TYPES = register_auto()


def __getattr__(name: str) -> Any:
    return getattr(hf_classes, name)
