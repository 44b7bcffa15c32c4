"""A run from its config to its report, in resumable stages."""

from typing import TYPE_CHECKING

from autocompress.lazy import attach_imports

if TYPE_CHECKING:
    from autocompress.depth import SelectConfig
    from autocompress.pipeline.building import build_network
    from autocompress.pipeline.compressing import run_stages
    from autocompress.pipeline.config import ModelConfig, RunConfig
    from autocompress.pipeline.folder import check_run, open_run
    from autocompress.pipeline.hints import option_keys
    from autocompress.pipeline.loading import data_for, load_for
    from autocompress.pipeline.numbered import next_free
    from autocompress.pipeline.options import MODELS, RULES, check_rule
    from autocompress.pipeline.recipes import read_config, read_recipe, to_yaml
    from autocompress.pipeline.resolving import resolve
    from autocompress.pipeline.saved import find_run, load_network
    from autocompress.pipeline.stream import StreamRun, build_for, run_stream
    from autocompress.pipeline.train import train_network
    from autocompress.pipeline.trial import check_choice, check_takes
    from autocompress.pipeline.values import as_values, make_config
    from autocompress.pipeline.words import Options, Said, read_words
else:
    __getattr__, __dir__ = attach_imports(__name__, __file__)

__all__ = [
    "MODELS",
    "RULES",
    "ModelConfig",
    "Options",
    "RunConfig",
    "Said",
    "SelectConfig",
    "StreamRun",
    "as_values",
    "make_config",
    "build_for",
    "build_network",
    "check_choice",
    "check_rule",
    "check_run",
    "check_takes",
    "run_stages",
    "data_for",
    "find_run",
    "load_for",
    "load_network",
    "next_free",
    "open_run",
    "option_keys",
    "read_config",
    "read_recipe",
    "read_words",
    "resolve",
    "run_stream",
    "to_yaml",
    "train_network",
]
