"""One module per claim; importing this makes them known, in the order of the pages."""

from autocompress.reproduce.claims import depth as _depth  # noqa: F401
