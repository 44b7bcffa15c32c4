"""Probe every depth, select one, cut the rest."""

from autocompress.depth.cutting import cut
from autocompress.depth.probe import DepthCurve, probe
from autocompress.depth.select import Selection

__all__ = ["DepthCurve", "Selection", "cut", "probe"]
