"""Saving, loading and export: nothing is left half-written, and nothing is loaded unchecked."""

from typing import TYPE_CHECKING

from autocompress.lazy import attach_imports

if TYPE_CHECKING:
    from autocompress.io.atomic import atomic_dir, atomic_file, write_json
    from autocompress.io.exporters import register_exporter
    from autocompress.io.exporting import ExportCheck, export_file
    from autocompress.io.saving import load, save, saved_config
    from autocompress.io.temporary import is_temporary, remove_leftovers
    from autocompress.io.weights import weights_bytes
else:
    __getattr__, __dir__ = attach_imports(__name__, __file__)

__all__ = [
    "ExportCheck",
    "atomic_dir",
    "atomic_file",
    "export_file",
    "is_temporary",
    "load",
    "register_exporter",
    "remove_leftovers",
    "save",
    "saved_config",
    "weights_bytes",
    "write_json",
]
