"""autocompress: train deep networks that can be cut shallow (Auto-Compressing Networks).

The road, in the order it is walked: ``load_data``, ``models``, ``fit``, ``probe``, ``cut``,
``measure``, ``save``, ``export``. The command ``acn compress`` walks all of it. Networks of other
libraries take it after ``plan`` and ``convert``.
"""

from autocompress import interrupts

interrupts.guard_command()  # the rest takes seconds to import

from autocompress import connectivity, continual, diagnose, errors, models
from autocompress.clients import tell_clients
from autocompress.continual import ElasticWeightConsolidation, SynapticIntelligence
from autocompress.conversion import Converted, Plan, convert, plan, register_layer, restore
from autocompress.data import AugmentConfig, DataConfig, Noise, load_data, noisy
from autocompress.depth import (
    DepthCurve,
    ExitCurve,
    Selection,
    cut,
    early_exit,
    exit_curve,
    probe,
)
from autocompress.diagnose import GradientRecorder, LayerGradients, gradients
from autocompress.generation import Generated, generate
from autocompress.io import export, load, save
from autocompress.measurement import measure
from autocompress.network import Network
from autocompress.training import (
    DistilConfig,
    FitConfig,
    GrowConfig,
    LiveConfig,
    PathConfig,
    PruneConfig,
    Pruner,
    fit,
    prune,
    sparsity,
)
from autocompress.trunk import Block, Branch, Trunk, add_skip
from autocompress.version import __version__

tell_clients()

__all__ = [
    "AugmentConfig",
    "Block",
    "Branch",
    "Converted",
    "Plan",
    "DataConfig",
    "DepthCurve",
    "DistilConfig",
    "ElasticWeightConsolidation",
    "ExitCurve",
    "FitConfig",
    "Generated",
    "GradientRecorder",
    "GrowConfig",
    "LayerGradients",
    "LiveConfig",
    "Network",
    "Noise",
    "PathConfig",
    "PruneConfig",
    "Pruner",
    "Selection",
    "SynapticIntelligence",
    "Trunk",
    "__version__",
    "add_skip",
    "connectivity",
    "continual",
    "convert",
    "cut",
    "diagnose",
    "early_exit",
    "errors",
    "exit_curve",
    "export",
    "fit",
    "generate",
    "gradients",
    "load",
    "load_data",
    "measure",
    "models",
    "noisy",
    "plan",
    "probe",
    "prune",
    "register_layer",
    "restore",
    "save",
    "sparsity",
]
