"""``acn probe``: show the score and cost of every depth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from autocompress.commands.common import Answer, Common, model
from autocompress.commands.own import network
from autocompress.commands.shared import data_of, warn_of_overlap
from autocompress.data import DataConfig, noisy
from autocompress.depth import curves_by_part, probe
from autocompress.pipeline import check_takes

__all__ = ["Options", "run"]


@dataclass(frozen=True, kw_only=True)
class Options(Common):
    """Options of ``acn probe``.

    Args:
        split: Split to score: train, validation or test; a depth is chosen on validation only.
        latency_batch: Batch size at which every depth is also timed.
        noise: Noise on the images as KIND:LEVEL, e.g. gaussian:0.2 or jpeg:3.
        data: Data, if the network belongs to no run.
        import_: Your own class of the network, package.module:Class, or only a module
            that registers its parts.
    """

    model: str = model()
    split: Literal["train", "validation", "test"] = "validation"
    latency_batch: int | None = None
    noise: str | None = None
    data: DataConfig | None = None
    import_: str | None = None


def run(args: Options) -> Answer:
    """Return the curve of every depth; on validation data, also the depth that the rule keeps."""
    net = network(args.model, args.import_)
    data = data_of(Path(args.model), args.data, net)
    warn_of_overlap(Path(args.model), args.data, data, args.split)
    examples = {"train": data.train, "validation": data.validation, "test": data.test}[args.split]
    if args.noise is not None:
        examples = noisy(examples, args.noise)
    check_takes(net, examples)
    curve = probe(net, examples, latency_batch=args.latency_batch)
    parts = curves_by_part(curve, examples, data.parts)
    rows = curve.to_json()
    for row in rows if parts else []:
        row["parts"] = {each.part.name: each.scores[row["depth"]] for each in parts}
    said = (
        f"By the default rule: {curve.select()}"
        if args.split == "validation"
        else f"Scores on {args.split}: no depth is chosen by them, since a depth is chosen on "
        "validation data only (--split validation)."
    )
    return Answer("\n".join([*map(str, parts), str(curve), said]), rows)
