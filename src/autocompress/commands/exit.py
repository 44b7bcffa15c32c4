"""``acn exit``: choose a depth for each example."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from autocompress.commands.common import Answer, Common, model
from autocompress.commands.own import network
from autocompress.commands.shared import data_of
from autocompress.data import DataConfig
from autocompress.depth import exit_curve
from autocompress.errors import ConfigError

__all__ = ["Options", "run"]


@dataclass(frozen=True, kw_only=True)
class Options(Common):
    """Options of ``acn exit``.

    Args:
        threshold: Entropy in nats below which an example exits; empty finds the largest that loses
            at most ``drop``.
        drop: Accuracy that may be lost, as a fraction; 0.005 if neither is given.
        depths: Depths at which examples may exit; empty allows all.
        data: Data, if the network belongs to no run.
        import_: Your own class of the network, package.module:Class, or only a module
            that registers its parts.
    """

    model: str = model()
    threshold: float | None = None
    drop: float | None = None
    depths: list[int] | None = None
    data: DataConfig | None = None
    import_: str | None = None

    def __post_init__(self) -> None:
        if self.threshold is not None and self.drop is not None:
            raise ConfigError(
                "--threshold sets the threshold and --drop finds it: give one of them"
            )


def run(args: Options) -> Answer:
    """Calibrate the threshold on validation data; the answer is what it does on test data."""
    net = network(args.model, args.import_)
    data = data_of(Path(args.model), args.data)
    found = exit_curve(net, data.validation, depths=args.depths)
    chosen = (
        found.calibrate(0.005 if args.drop is None else args.drop).threshold
        if args.threshold is None
        else args.threshold
    )
    point = exit_curve(net, data.test, depths=args.depths).at(chosen)
    validation, test = asdict(found.at(chosen)), asdict(point)
    shown = {"validation": validation, "test": test, "full": found.full_flops}
    text = (
        f"Validation. {found}\nTest, threshold {chosen:.3f} nats: {100 * point.score:.2f} %, "
        f"mean depth {point.depth:.2f} of {net.depth}, {point.flops / 1e6:.2f} MFLOPs per example, "
        f"{found.full_flops / point.flops:.2f} times less than full depth"
    )
    return Answer(text, shown)
