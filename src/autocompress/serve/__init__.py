"""A network behind HTTP (extra ``serve``): prediction in batches, metrics, and a page to try it."""

from typing import TYPE_CHECKING

from autocompress.lazy import attach_imports

if TYPE_CHECKING:
    from autocompress.serve.app import Limits, build_app
    from autocompress.serve.batching import Batcher, BusyError
else:
    __getattr__, __dir__ = attach_imports(__name__, __file__)

__all__ = ["Batcher", "BusyError", "Limits", "build_app"]
