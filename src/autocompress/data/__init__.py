"""Data: named sets, files and hub sets, split and on the device; augmentation of whole batches."""

from typing import TYPE_CHECKING

from autocompress.lazy import attach_imports

if TYPE_CHECKING:
    from autocompress.data.augment import Augment
    from autocompress.data.config import AugmentConfig, DataConfig
    from autocompress.data.describe import description_lines
    from autocompress.data.image_input import ImageInput
    from autocompress.data.load import load_data, preprocess_of
    from autocompress.data.noise import Noise, NoisySource, list_noises, noisy
    from autocompress.data.registry import RawSplits, list_datasets, register_dataset
    from autocompress.data.sequences import SequenceSource, SequenceSplits
    from autocompress.data.sources import (
        Batch,
        Examples,
        Labelled,
        Source,
        StreamSource,
        TensorSource,
    )
    from autocompress.data.splits import Part, Splits
    from autocompress.data.text import TextSplits
    from autocompress.data.tokenizer import Tokenizer, read_tokenizer
else:
    __getattr__, __dir__ = attach_imports(__name__, __file__)

__all__ = [
    "Augment",
    "AugmentConfig",
    "Batch",
    "DataConfig",
    "Examples",
    "ImageInput",
    "Labelled",
    "Noise",
    "NoisySource",
    "Part",
    "RawSplits",
    "SequenceSource",
    "SequenceSplits",
    "Source",
    "Splits",
    "StreamSource",
    "TensorSource",
    "TextSplits",
    "Tokenizer",
    "description_lines",
    "list_datasets",
    "list_noises",
    "load_data",
    "noisy",
    "preprocess_of",
    "read_tokenizer",
    "register_dataset",
]
