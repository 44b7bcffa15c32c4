"""Continual learning: streams of tasks, protection of earlier tasks, measures of forgetting."""

from typing import TYPE_CHECKING

from autocompress.lazy import attach_imports

if TYPE_CHECKING:
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
else:
    __getattr__, __dir__ = attach_imports(__name__, __file__)

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
