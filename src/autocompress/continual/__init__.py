"""Continual learning: streams of tasks, protection of earlier tasks, measures of forgetting."""

from autocompress.continual.config import StreamConfig
from autocompress.continual.consolidation import (
    Consolidation,
    ElasticWeightConsolidation,
    Protection,
    Replay,
    SynapticIntelligence,
)
from autocompress.continual.learned import Stream
from autocompress.continual.matrix import TaskMatrix
from autocompress.continual.stream import learn
from autocompress.continual.tasks import Task, split_classes

__all__ = [
    "Consolidation",
    "ElasticWeightConsolidation",
    "Protection",
    "Replay",
    "Stream",
    "StreamConfig",
    "SynapticIntelligence",
    "Task",
    "TaskMatrix",
    "learn",
    "split_classes",
]
