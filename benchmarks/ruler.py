"""Run recipes/doubling.yaml with several seeds: scores of every depth, and the depth kept.

    python benchmarks/ruler.py --seeds 6 --out benchmarks/results

One network is trained for each seed, without rivals. Finished seeds are not trained again.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import autocompress as ac
from autocompress.depth import curves_by_part
from autocompress.pipeline import build_network, load_for, read_config, resolve

RECIPE = Path(__file__).parent.parent / "recipes" / "doubling.yaml"


def main() -> None:
    """Train and probe each seed that has no result yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--connectivity", default="acn", help="acn, or residual for the control")
    options = parser.parse_args()
    for seed in range(options.seeds):
        target = options.out / f"ruler-doubling-{options.connectivity}-seed{seed}.json"
        if not target.exists():
            target.write_text(json.dumps(one(seed, options.connectivity), indent=1) + "\n")


def one(seed: int, connectivity: str) -> dict[str, object]:
    """Return the result of one seed: validation and test scores as fractions, and the depth."""
    config = resolve(read_config(RECIPE))
    config = replace(config, fit=replace(config.fit, seed=seed, device="cpu"))
    if connectivity == "residual":
        config = replace(config, model=config.model.residual(config.model.depth or 8))
    data = load_for(config)
    net = build_network(config.model, data, config.fit.seed)
    start, cpu = time.perf_counter(), time.process_time()
    run = ac.fit(net, data.train, data.validation, config.fit, progress=False)
    seconds = [
        round(clock - began, 1)
        for clock, began in ((time.perf_counter(), start), (time.process_time(), cpu))
    ]
    curve = ac.probe(net, data.validation)
    parts = curves_by_part(curve, data.validation, data.parts)
    return {
        "recipe": "recipes/doubling.yaml",
        "connectivity": connectivity,
        "seed": seed,
        "selected": curve.select(tolerance=0.005).depth,
        "validation": curve.scores,
        "test": ac.probe(net, data.test).scores,
        "parts": [part.to_json() for part in parts],
        "history": [
            {"epoch": r["epoch"], "loss": r["loss"], "depths": r["depths"]}
            for r in run.history
            if "depths" in r
        ],
        "seconds": seconds[0],
        "cpu_seconds": seconds[1],
        "version": ac.__version__,
    }


if __name__ == "__main__":
    main()
