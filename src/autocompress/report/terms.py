"""The terms of the page, each explained where it stands."""

from __future__ import annotations

__all__ = ["TERMS"]

#: Term to its explanation, in plain words; docs/glossary.md has more.
TERMS = {
    "ACN": "Auto-Compressing Network: every layer is connected directly to the output.",
    "depth": "The number of layers that run, from none to all of them.",
    "score": "Share of the test examples that the network answers as it should.",
    "R^2": "Share of the variance of the test labels that the network explains.",
    "validation": "Examples kept apart from training; the depth is chosen on them.",
    "test": "Examples that neither training nor the choice of the depth has seen.",
    "interval": "The score would lie in this range for 95 of 100 other test sets of this size.",
    "parameters": "The numbers that the network has learned.",
    "FLOPs": "Additions and multiplications of one forward pass for one example.",
    "latency": "Time of one forward pass: the median, and the range of 8 passes in 10.",
    "size": "Size of the file model.safetensors.",
    "residual baseline": "The same layers as an ordinary residual network, trained alike.",
    "shallow": "A residual network with only as many layers as were kept, trained for itself.",
    "cut": "Keep the first layers and the head, and drop the rest.",
    "confusion matrix": "How often each class (row) was given each answer (column).",
    "early exit": "Each example leaves as soon as the network is sure enough of its answer.",
    "gradient": "How strongly a layer's weights are pulled in a training step.",
}
