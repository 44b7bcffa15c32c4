"""A run from its config to its report, stage by stage and resumable."""

from autocompress.pipeline.building import data_for
from autocompress.pipeline.compress import compress
from autocompress.pipeline.config import ModelConfig, RunConfig, SelectConfig
from autocompress.pipeline.folder import check_run, find_run, load_network, open_run
from autocompress.pipeline.recipes import explain, option_keys, read_config, to_yaml
from autocompress.pipeline.stream import StreamRun, run_stream
from autocompress.pipeline.train import train_network
from autocompress.pipeline.trial import check_choice, check_takes

__all__ = [
    "ModelConfig",
    "RunConfig",
    "SelectConfig",
    "StreamRun",
    "check_choice",
    "check_run",
    "check_takes",
    "compress",
    "data_for",
    "explain",
    "find_run",
    "load_network",
    "open_run",
    "option_keys",
    "read_config",
    "run_stream",
    "to_yaml",
    "train_network",
]
