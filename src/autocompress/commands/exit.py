"""``acn exit``: choose a depth for each example."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from autocompress.commands.common import Answer, Common, model
from autocompress.commands.own import network
from autocompress.commands.shared import data_of, warn_of_overlap
from autocompress.data import DataConfig
from autocompress.depth import ExitCurve, ExitPoint, exit_curve
from autocompress.depth import exit_clock as clock
from autocompress.depth.exit_regroup import ExitCosts, exit_costs
from autocompress.errors import ConfigError
from autocompress.io.atomic import atomic_file
from autocompress.measurement.noise import is_noisy
from autocompress.network import Network
from autocompress.pipeline.saved import find_model
from autocompress.printing import figures
from autocompress.training.inputs import Data

__all__ = ["PICTURE", "Options", "run"]

#: Name of the picture beside exits.json.
PICTURE = "exits.svg"

Tried = Sequence[tuple[ExitPoint, clock.ExitTime]]


@dataclass(frozen=True, kw_only=True)
class Options(Common):
    """Options of ``acn exit``.

    Args:
        threshold: Threshold of the criterion; empty finds one.
        drop: Accuracy that may be lost, as a fraction; 0.005 if no other target is given.
        latency_ms: Milliseconds that a batch may take; finds the best accuracy within them.
        throughput: Examples per second that have to be answered; finds the best accuracy.
        criterion: Measure of certainty: entropy, margin, probability or patience.
        temperature: Whether to divide the logits of each exit by a temperature fitted on the
            validation data.
        depths: Depths at which examples may exit; empty takes those that save time here.
        batch_size: Examples per batch, for the times.
        clock: Whether to measure times; otherwise only FLOPs are counted.
        save: Whether to write exits.json and exits.svg beside the network.
        data: Data, if the network belongs to no run.
        import_: Your own class of the network, package.module:Class, or only a module
            that registers its parts.
    """

    model: str = model()
    threshold: float | None = None
    drop: float | None = None
    latency_ms: float | None = None
    throughput: float | None = None
    criterion: str = "entropy"
    temperature: bool = False
    depths: list[int] | None = None
    batch_size: int = 256
    clock: bool = True
    save: bool = True
    data: DataConfig | None = None
    import_: str | None = None

    def __post_init__(self) -> None:
        named = ("threshold", "drop", "latency_ms", "throughput")
        given = [name for name in named if getattr(self, name) is not None]
        if len(given) > 1:
            first, second = given[:2]
            raise ConfigError(
                f"--threshold sets the threshold, and --drop, --latency_ms and --throughput find "
                f"it: give one of them (--{first} and --{second} were given)"
            )
        if not self.clock and {"latency_ms", "throughput"} & {*given}:
            raise ConfigError(f"--{given[0]} is measured: leave --clock on")
        if self.drop is not None and not 0 <= self.drop < 1:
            raise ConfigError(
                f"drop {self.drop:g} must be at least 0 and below 1; half a point is 0.005"
            )
        for name in ("latency_ms", "throughput"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"{name} {value:g} must be above 0")
        if self.batch_size < 1:
            raise ConfigError(f"batch_size {self.batch_size} must be at least 1")


def run(args: Options) -> Answer:
    """Calibrate the threshold on validation data; the answer is what it does on test data."""
    net = network(args.model, args.import_)
    data = data_of(Path(args.model), args.data, net)
    warn_of_overlap(Path(args.model), args.data, data, "validation")
    curve = _curve(args, net, data.validation, args.depths)
    said = [f"Validation. {curve}"]
    times: list[clock.ExitTime] = []
    tried: Tried = []
    if args.clock:
        x = clock.examples_of(net, data.validation, args.batch_size)
        costs = None
        if args.batch_size >= 4:
            costs = exit_costs(net, x, depths=curve.depths)
            said.append(str(costs))
            curve, costs, told = _paying(args, net, data.validation, curve, costs)
            said += told
        tried = _tried(net, x, curve, args.batch_size, costs)
    chosen, target = _chosen(args, curve, tried)
    if args.clock:
        size = args.batch_size
        times = clock.time_exits(net, x, [curve.rule(chosen)], batch_size=size, regroup=costs)
        said += [_told(times[0]), *_doubt(_limit(args), times[0])]
        if times[0].slower and _may_drop(args):
            said.append("So no example leaves early: full depth is what is kept.")
            curve = _curve(args, net, data.validation, [net.depth], curve)
            chosen = _chosen(args, curve, tried)[0]
            times = clock.time_exits(net, x, [curve.rule(chosen)], batch_size=size)
    test = _curve(args, net, data.test, curve.depths, curve)
    record = clock.record_of(curve, chosen, target, times, test, tried)
    point, unit = test.at(chosen), curve.measure.unit
    said.append(
        f"Test, threshold {round(chosen, 3) + 0.0:.3f} {unit}: {100 * point.score:.2f} %, mean "
        f"depth {point.depth:.2f} of {net.depth}, {point.flops / 1e6:.2f} MFLOPs per example, "
        f"{curve.full_flops / point.flops:.2f} times less than full depth"
    )
    if args.save:
        folder = find_model(Path(args.model))
        said.append(f"Written to {record.save(folder)}, with the picture {PICTURE}")
        with atomic_file(folder / PICTURE) as temporary:
            clock.plot(curve, tried, curve.at(chosen)).savefig(temporary, format="svg")
    validation = asdict(curve.at(chosen))
    shown = {"validation": validation, "test": asdict(point), "full": curve.full_flops}
    return Answer("\n".join(said), {**shown, "record": record.to_json()})


def _curve(
    args: Options,
    net: Network,
    data: Data,
    depths: Sequence[int] | None,
    like: ExitCurve | None = None,
) -> ExitCurve:
    """Return the outcome of every threshold, with the temperatures of another curve if given."""
    scale: bool | list[float] = args.temperature
    if like is not None:
        known = dict(zip(like.depths, like.temperatures, strict=False))
        scale = [known[depth] for depth in depths or like.depths] if known else False
    return exit_curve(net, data, depths=depths, criterion=args.criterion, temperature=scale)


def _may_drop(args: Options) -> bool:
    """Return whether exits may be left out: not those that the user named, or whose time counts."""
    fixed = (args.depths, args.threshold, args.latency_ms, args.throughput)
    return all(value is None for value in fixed)


def _paying(
    args: Options, net: Network, data: Data, curve: ExitCurve, costs: ExitCosts
) -> tuple[ExitCurve, ExitCosts, list[str]]:
    """Return the curve and the costs of the exits that save more time than they take here.

    Exits of a criterion that counts exits in a row depend on one another, so all are kept.
    """
    if curve.measure.remembers or not _may_drop(args):
        return curve, costs, []
    certain = curve.certain(_chosen(args, curve, [])[0])[:, :-1]
    depths = costs.worth(certain, args.batch_size)
    dropped = [str(depth) for depth in curve.depths if depth not in depths]
    if not dropped:
        return curve, costs, []
    left = f"after {_layers(map(str, depths[:-1]))}" if depths[1:] else "nowhere"
    told = (
        f"Exits after {_layers(dropped)} are predicted to take more time than they save "
        f"in batches of {args.batch_size} on {costs.device}; examples leave early {left} "
        "(--depths sets others)"
    )
    return _curve(args, net, data, depths, curve), costs.only(depths), [told]


def _layers(numbers: Iterable[str]) -> str:
    found = list(numbers)
    return f"layer{'s' if found[1:] else ''} {', '.join(found)}"


def _tried(net: Network, x: Any, curve: ExitCurve, batch_size: int, costs: Any) -> Tried:
    """Return thresholds from no exits to all, each with its time."""
    points = clock.steps(curve)
    rules = [curve.rule(point.threshold) for point in points]
    times = clock.time_exits(
        net, x, rules, batch_size=batch_size, regroup=costs, repeats=5, limit_s=20.0
    )
    return list(zip(points, times, strict=True))


def _chosen(args: Options, curve: ExitCurve, tried: Tried) -> tuple[float, dict[str, float]]:
    """Return the threshold and the target that it was chosen by."""
    if args.threshold is not None:
        curve.measure.check(args.threshold)
        return args.threshold, {"threshold": args.threshold}
    if args.latency_ms is None and args.throughput is None:
        drop = 0.005 if args.drop is None else args.drop
        return curve.calibrate(drop).threshold, {"drop": drop}
    points, times = zip(*tried, strict=True)
    name = "throughput" if args.latency_ms is None else "latency_ms"
    target = {name: float(getattr(args, name)), "batch_size": float(args.batch_size)}
    return clock.fastest(points, times, _limit(args) or 0.0)[0].threshold, target


def _limit(args: Options) -> float | None:
    """Return the milliseconds that a batch may take; None if that is not the target."""
    if args.throughput is not None:
        return clock.slowest(args.throughput, args.batch_size)
    return args.latency_ms


def _doubt(limit: float | None, time: clock.ExitTime) -> list[str]:
    """Return a warning if the time of the choice, measured again, is not clearly in the limit."""
    if limit is None or time.ms_high <= limit:
        return []
    where = "below" if time.ms_low > limit else "within"
    return [
        f"The limit of {figures(limit)} ms lies {where} the spread of these times "
        f"({figures(time.ms_low)} to {figures(time.ms_high)}): the machine is busy or the limit is "
        "tight. Run this again on a quiet machine, or with a lower limit."
    ]


def _speed(time: clock.ExitTime) -> str:
    low, middle, high = time.speedup_low, time.speedup, time.speedup_high
    if is_noisy(low, middle, high):
        return f"noisy, {low:.2f} to {high:.2f} times as fast (repeat it on a quiet machine)"
    return f"{middle:.2f} times as fast ({low:.2f} to {high:.2f})"


def _told(time: clock.ExitTime) -> str:
    said = (
        f"Times on {time.device}, batches of {time.batch_size}: {figures(time.ms)} ms "
        f"({figures(time.ms_low)} to {figures(time.ms_high)}), full depth "
        f"{figures(time.full_ms)} ms: {_speed(time)}, by FLOPs {time.flops_speedup:.2f} times"
    )
    if not time.slower:
        return said
    return (
        f"{said}\nThese exits take longer than full depth here: the heads and decisions cost more "
        "time than the layers that they save. Allow fewer depths (--depths), a lower score "
        "(--drop), or cut the network instead (acn cut)."
    )
