"""One module per claim; importing this makes them known, in the order of the pages."""

from autocompress.reproduce.claims import connectivity, depth, difficulty, low_data, summary

__all__ = ["connectivity", "depth", "difficulty", "low_data", "summary"]
