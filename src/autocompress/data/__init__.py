"""Data: named sets, files and hub sets, split and on the device; augmentation in batches."""

from autocompress.data.augment import Augment
from autocompress.data.config import AugmentConfig, DataConfig
from autocompress.data.load import Splits, load_data, preprocess_of
from autocompress.data.registry import RawSplits, list_datasets, register_dataset
from autocompress.data.sources import Batch, Source, StreamSource, TensorSource

__all__ = [
    "Augment",
    "AugmentConfig",
    "Batch",
    "DataConfig",
    "RawSplits",
    "Source",
    "Splits",
    "StreamSource",
    "TensorSource",
    "list_datasets",
    "load_data",
    "preprocess_of",
    "register_dataset",
]
