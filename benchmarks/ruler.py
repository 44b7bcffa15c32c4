"""Run recipes/doubling.yaml with several seeds: scores of every depth, and the depth kept.

    python benchmarks/ruler.py --out benchmarks/results/ruler
    python benchmarks/ruler.py --out benchmarks/results/ruler --seeds 3 4 5

One network is trained for each seed, without rivals. Finished seeds are not trained again, and
several of these commands may run at the same time, with different seeds.
"""

from __future__ import annotations

import argparse
import platform
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import autocompress as ac
from autocompress.depth import curves_by_part
from autocompress.io import write_json
from autocompress.pipeline import build_network, load_for, read_config, resolve

RECIPE = Path(__file__).parent.parent / "recipes" / "doubling.yaml"


def main() -> None:
    """Train and probe each seed that has no result yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(6)))
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for seed in options.seeds:
        target = options.out / f"seed{seed}.json"
        if not target.exists():
            result = one(seed)
            write_json(target, result)
            print(
                f"seed {seed}: keeps {result['selected']} of {len(result['validation']) - 1} layers"
            )


def one(seed: int) -> dict[str, Any]:
    """Return the result of one seed: validation and test scores as fractions, and the depth."""
    config = resolve(read_config(RECIPE))
    config = replace(config, fit=replace(config.fit, seed=seed, device="cpu"))
    data = load_for(config)
    net = build_network(config.model, data, config.fit.seed)
    busy = time.process_time()
    ac.fit(net, data.train, data.validation, config.fit, progress=False)
    busy = time.process_time() - busy
    curve = ac.probe(net, data.validation)
    parts = curves_by_part(curve, data.validation, data.parts)
    return {
        "recipe": "recipes/doubling.yaml",
        "seed": seed,
        "selected": curve.select(tolerance=config.select.tolerance).depth,
        "validation": curve.scores,
        "test": ac.probe(net, data.test).scores,
        "parts": [part.to_json() for part in parts],
        "core_seconds": round(busy, 1),
        "versions": {
            "autocompress": ac.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }


if __name__ == "__main__":
    main()
