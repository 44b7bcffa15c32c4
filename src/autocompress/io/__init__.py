"""Saving, loading and export: nothing is left half-written, and nothing is loaded unchecked."""

from autocompress.io.atomic import atomic_dir, atomic_file, write_json
from autocompress.io.exporting import ExportCheck, export
from autocompress.io.saving import load, save, saved_config
from autocompress.io.temporary import is_temporary, remove_leftovers
from autocompress.io.weights import weights_bytes

__all__ = [
    "ExportCheck",
    "atomic_dir",
    "atomic_file",
    "export",
    "is_temporary",
    "load",
    "remove_leftovers",
    "save",
    "saved_config",
    "weights_bytes",
    "write_json",
]
