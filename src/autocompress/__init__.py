"""autocompress: train deep networks that can be cut shallow (Auto-Compressing Networks).

The road, in the order it is walked: ``load_data``, ``models``, ``fit``, ``probe``, ``cut``,
``measure``, ``save``, ``export``. The command ``acn compress`` walks all of it.
"""

from importlib.metadata import version

from autocompress import connectivity, errors, models
from autocompress.data import AugmentConfig, DataConfig, load_data
from autocompress.depth import DepthCurve, Selection, cut, probe
from autocompress.io import export, load, save
from autocompress.measure import measure
from autocompress.network import Network
from autocompress.training import AnnealConfig, FitConfig, fit
from autocompress.trunk import Block, Branch, Trunk

__version__ = version("autocompress")

__all__ = [
    "AnnealConfig",
    "AugmentConfig",
    "Block",
    "Branch",
    "DataConfig",
    "DepthCurve",
    "FitConfig",
    "Network",
    "Selection",
    "Trunk",
    "connectivity",
    "cut",
    "errors",
    "export",
    "fit",
    "load",
    "load_data",
    "measure",
    "models",
    "probe",
    "save",
]
