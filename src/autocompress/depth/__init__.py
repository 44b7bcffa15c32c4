"""Probe every depth, select one and cut the rest, or choose a depth for each example."""

from typing import TYPE_CHECKING

from autocompress.lazy import attach_imports

if TYPE_CHECKING:
    from autocompress.depth.choosing import choose_layers
    from autocompress.depth.cutting import cut
    from autocompress.depth.exit import Exits, Segments, early_exit
    from autocompress.depth.exit_record import ExitRecord
    from autocompress.depth.exit_regroup import ExitCosts, exit_costs
    from autocompress.depth.exit_rule import Exit, ExitRule
    from autocompress.depth.exit_thresholds import ExitCurve, ExitPoint, exit_curve
    from autocompress.depth.probing import DepthCurve, probe
    from autocompress.depth.ruler import PartCurve, curves_by_part
    from autocompress.depth.select import SelectConfig, Selection
else:
    __getattr__, __dir__ = attach_imports(__name__, __file__)

__all__ = [
    "DepthCurve",
    "Exit",
    "ExitCosts",
    "ExitCurve",
    "ExitRecord",
    "ExitRule",
    "ExitPoint",
    "Exits",
    "PartCurve",
    "Segments",
    "SelectConfig",
    "Selection",
    "choose_layers",
    "curves_by_part",
    "cut",
    "early_exit",
    "exit_costs",
    "exit_curve",
    "probe",
]
