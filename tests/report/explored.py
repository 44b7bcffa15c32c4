"""A report of schema 2 with all that its page can show, and the files beside it."""

from __future__ import annotations

import base64
import copy
from typing import Any

from autocompress.report.files import RunFiles

#: A PNG of one pixel.
PIXEL = base64.b64encode(
    bytes.fromhex(
        "89504e470d0a1a0a0000000d4948445200000001000000010800000000"
        "3a7e9b550000000a49444154789c63600000000200015bd1ae3f0000000049454e44ae426082"
    )
).decode()


def explored(names: tuple[str, ...] = ("cat", "dog", "owl")) -> dict[str, Any]:
    """A run with 4 layers of which 2 are kept, on 30 test examples of three classes."""
    depths = []
    for k, score in enumerate((0.3, 0.6, 0.9, 0.9, 0.9333)):
        depths.append(
            {
                "depth": k,
                "validation": round(score - 0.01, 4),
                "test": score,
                "parameters": 1000 + 2500 * k,
                "flops": 20_000 + 4_000_000 * k,
                "interval": [round(score - 0.05, 4), round(score + 0.05, 4)],
                "validation_interval": [round(score - 0.06, 4), round(score + 0.04, 4)],
                "bytes": 5_000 + 10_000 * k,
                "latency_ms": {"1": 0.5 + k, "256": 10.0 + 20 * k},
                "latency_spread_ms": {
                    "1": [0.4 + k, 0.75 + k],
                    "256": [9.0 + 20 * k, 12.0 + 20 * k],
                },
            }
        )

    def network(k: int, **other: Any) -> dict[str, Any]:
        kept = ("depth", "validation", "test", "parameters", "flops", "bytes", "latency_ms")
        return {
            **{key: copy.deepcopy(depths[k][key]) for key in kept},
            "peak_memory_bytes": 9,
            **other,
        }

    plain = ("depth", "validation", "test", "parameters", "flops")
    control = [{key: point[key] for key in plain} for point in depths]
    n = len(names)
    matrices = [
        [
            [10 if i == j else 0 for j in range(n)] if k > i else [10, *[0] * (n - 1)]
            for i in range(n)
        ]
        for k in range(5)
    ]
    return {
        "schema": 2,
        "task": {
            "dataset": "animals",
            "metric": "accuracy",
            "train": 90,
            "validation": 30,
            "test": 30,
        },
        "model": {"name": "mixer", "connectivity": {"name": "plane", "short": 0.5}, "depth": 4},
        "depths": depths,
        "rule": "depth 2 (the deepest of at most 9e+06 FLOPs per example)",
        "selected": 2,
        "full": network(4),
        "small": network(2),
        "baseline": network(4, depths=control, selected=4),
        "shallow": network(2),
        "checks": {"small_vs_probe_max_abs_difference": 0.0, "onnx_max_abs_difference": 1e-6},
        "seed": 0,
        "seconds": {"train": 3.0},
        "environment": {"device": "cpu"},
        "classes": {
            "names": list(names),
            "counts": {split: [10] * n for split in ("train", "validation", "test")},
            "accuracy": [[m[i][i] / 10 for i in range(n)] for m in matrices],
            "shown": list(range(n)),
            "confusion": matrices,
        },
        "examples": [
            {
                "index": 7,
                "label": 1,
                "answers": [0, 0, 1, 1, 0],
                "probabilities": [0.4, 0.5, 0.6, 0.7, 0.8],
                "picture": f"data:image/png;base64,{PIXEL}",
                "text": None,
            },
            {
                "index": 9,
                "label": 2,
                "answers": [2, 0, 0, 2, 2],
                "probabilities": [0.4, 0.5, 0.6, 0.7, 0.8],
                "picture": None,
                "text": "a text that changes",
            },
        ],
    }


def files() -> RunFiles:
    """Learning curves of three epochs, gradients of four layers, and five exits."""
    rows = [
        {
            "epoch": e,
            "loss": 2.0 / e,
            "validation": 0.3 * e,
            "depths": [0.1 * e * k for k in range(4)],
        }
        for e in (1, 2, 3)
    ]
    curve = [
        {
            "threshold": 0.1 * n,
            "score": 0.93 - 0.05 * n,
            "flops": 9e6 - 1e6 * n,
            "depth": 3.5 - 0.5 * n,
        }
        for n in range(5)
    ]
    exits = {"criterion": "entropy", "exits": [{"depth": 2, "threshold": 0.2}], "curve": curve}
    gradients = {"steps": [0, 5, 10], "full": [[1.0, 0.1, None], [2.0, 0.2, 0.3]]}
    return RunFiles({"network": rows, "baseline": rows}, gradients, exits, ["a note"])
