"""autocompress: train deep networks that can be cut shallow (Auto-Compressing Networks).

Typical workflow, in order: ``load_data``, ``models``, ``fit``, ``probe``, ``cut``, ``measure``,
``save``, ``export``. The command ``acn compress`` does all of it. Networks of other libraries join
after ``plan`` and ``convert``.

Names are imported when they are used, so that ``import autocompress`` takes no time of its own.
"""

from typing import TYPE_CHECKING

from autocompress import interrupts

interrupts.guard_command()  # everything else takes seconds to import

from autocompress.clients import tell_clients
from autocompress.lazy import attach
from autocompress.version import __version__

if TYPE_CHECKING:
    from autocompress import connectivity, continual, diagnose, errors, models
    from autocompress.connectivity import register_connectivity
    from autocompress.continual import ElasticWeightConsolidation, Replay, SynapticIntelligence
    from autocompress.conversion import (
        Converted,
        Plan,
        convert,
        plan,
        register_layer,
        restore,
        save_host,
    )
    from autocompress.data import AugmentConfig, DataConfig, Noise, load_data, noisy
    from autocompress.deploy import Exported, export
    from autocompress.depth import (
        DepthCurve,
        ExitCosts,
        ExitCurve,
        ExitRecord,
        ExitRule,
        Selection,
        choose_layers,
        cut,
        early_exit,
        exit_costs,
        exit_curve,
        probe,
    )
    from autocompress.diagnose import GradientRecorder, LayerGradients, gradients
    from autocompress.generation import Generated, generate
    from autocompress.io import save
    from autocompress.measurement import measure
    from autocompress.network import Network, load, register_model
    from autocompress.pipeline import RunConfig
    from autocompress.pipeline.running import compress
    from autocompress.predict import Predictor
    from autocompress.sklearn import CompressedClassifier
    from autocompress.training import (
        CutConfig,
        DistilConfig,
        FitConfig,
        GrowConfig,
        Hook,
        LiveConfig,
        PathConfig,
        PruneConfig,
        Pruner,
        Teacher,
        Track,
        fit,
        prune,
        sparsity,
    )
    from autocompress.trunk import Block, Branch, Trunk, add_skip

tell_clients()

__getattr__, __dir__ = attach(
    __name__,
    {
        "autocompress.connectivity": "register_connectivity",
        "autocompress.continual": "ElasticWeightConsolidation Replay SynapticIntelligence",
        "autocompress.conversion": "Converted Plan convert plan register_layer restore save_host",
        "autocompress.data": "AugmentConfig DataConfig Noise load_data noisy",
        "autocompress.deploy": "Exported export",
        "autocompress.depth": "DepthCurve ExitCosts ExitCurve ExitRecord ExitRule Selection "
        "choose_layers cut early_exit exit_costs exit_curve probe",
        "autocompress.diagnose": "GradientRecorder LayerGradients gradients",
        "autocompress.generation": "Generated generate",
        "autocompress.io": "save",
        "autocompress.measurement": "measure",
        "autocompress.network": "Network load register_model",
        "autocompress.pipeline": "RunConfig",
        "autocompress.pipeline.running": "compress",
        "autocompress.predict": "Predictor",
        "autocompress.sklearn": "CompressedClassifier",
        "autocompress.training": "CutConfig DistilConfig FitConfig GrowConfig Hook LiveConfig "
        "PathConfig PruneConfig Pruner Teacher Track fit prune sparsity",
        "autocompress.trunk": "Block Branch Trunk add_skip",
    },
)

__all__ = [
    "AugmentConfig",
    "Block",
    "Branch",
    "CompressedClassifier",
    "Converted",
    "CutConfig",
    "DataConfig",
    "DepthCurve",
    "DistilConfig",
    "ElasticWeightConsolidation",
    "ExitCosts",
    "ExitCurve",
    "ExitRecord",
    "ExitRule",
    "Exported",
    "FitConfig",
    "Generated",
    "GradientRecorder",
    "GrowConfig",
    "Hook",
    "LayerGradients",
    "LiveConfig",
    "Network",
    "Noise",
    "PathConfig",
    "Plan",
    "Predictor",
    "PruneConfig",
    "Pruner",
    "Replay",
    "RunConfig",
    "Selection",
    "SynapticIntelligence",
    "Teacher",
    "Track",
    "Trunk",
    "__version__",
    "add_skip",
    "choose_layers",
    "compress",
    "connectivity",
    "continual",
    "convert",
    "cut",
    "diagnose",
    "early_exit",
    "errors",
    "exit_costs",
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
    "register_connectivity",
    "register_layer",
    "register_model",
    "restore",
    "save",
    "save_host",
    "sparsity",
]
