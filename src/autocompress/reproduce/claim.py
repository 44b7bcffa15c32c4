"""What a claim is: its settings, its arms, what each arm measures, and the rule of its verdict."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

from autocompress.errors import ConfigError, UnknownNameError
from autocompress.pipeline import RunConfig
from autocompress.statistics import Estimate, Outcome, judge

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from autocompress.reproduce.work import Work

__all__ = [
    "PRESETS",
    "Arm",
    "Claim",
    "Finding",
    "Results",
    "Table",
    "faithful",
    "find_claim",
    "finding",
    "list_claims",
    "overall",
    "register_claim",
]

S = TypeVar("S")

#: smoke: proves the machinery; cpu: real data on a small machine; paper: the paper's setting.
PRESETS = ("smoke", "cpu", "paper")


@dataclass(frozen=True)
class Arm:
    """One thing that is trained or measured, once for each seed.

    Args:
        name: of the arm, unique in its claim.
        after: arms of the same seed whose scores, or trained networks, this one needs.
    """

    name: str
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """One statement of a claim, tested.

    Args:
        statement: what is tested.
        rule: when it holds, in words.
        least: what the difference must exceed, in ``unit``.
        outcome: ``holds``, ``does not hold`` or ``undecided``.
        value, low, high: the paired difference and its 95 % interval, in ``unit``.
        unit: ``points``, ``layers``, ...
        seeds: number of pairs.
        of_paper: False for a question of ours that the paper leaves open; the verdict on the claim
            does not ask it.
    """

    statement: str
    rule: str
    least: float
    outcome: Outcome
    value: float
    low: float | None
    high: float | None
    unit: str
    seeds: int
    of_paper: bool = True


def finding(
    statement: str,
    estimate: Estimate,
    *,
    least: float,
    unit: str,
    scale: float = 1.0,
    of_paper: bool = True,
) -> Finding:
    """The statement that a paired difference is above ``least``, judged by its interval.

    Args:
        statement: in words, as it would read if it held.
        estimate: of the difference.
        least: what it must exceed, in the estimate's own unit.
        unit: what value and interval are shown in, ``scale`` times the estimate's own.
        scale: e.g. 100, from fractions to points.
        of_paper: whether the paper states it.

    Example:
        >>> test = finding("A beats B", Estimate(0.02, 0.01, 0.03, 3), least=0.0, unit="points",
        ...                scale=100)
        >>> test.outcome, test.rule
        ('holds', 'holds if the whole 95 % interval of the difference lies above 0 points')
    """
    low, high = (None if v is None else scale * v for v in (estimate.low, estimate.high))
    return Finding(
        statement,
        f"holds if the whole 95 % interval of the difference lies above {scale * least:g} {unit}",
        scale * least,
        judge(estimate, least),
        scale * estimate.value,
        low,
        high,
        unit,
        estimate.seeds,
        of_paper,
    )


def overall(findings: Sequence[Finding]) -> Outcome:
    """The verdict on a claim: all statements of the paper must hold, and one that does not refutes.

    Example:
        >>> overall([])
        'undecided'
    """
    outcomes = {f.outcome for f in findings if f.of_paper}
    if "does not hold" in outcomes:
        return "does not hold"
    return "holds" if outcomes == {"holds"} else "undecided"


@dataclass(frozen=True)
class Table:
    """Rows of text under their headings."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        r"""As Markdown.

        >>> Table(["a", "b"], [["1", "2"]]).markdown()
        '| a | b |\n|---|---|\n| 1 | 2 |'
        """
        lines = ["| " + " | ".join(cells) + " |" for cells in (self.headings, *self.rows)]
        return "\n".join([lines[0], "|" + "---|" * len(self.headings), *lines[1:]])


@dataclass(frozen=True)
class Results:
    """The scores of every arm and seed of one claim.

    Attributes:
        seeds: in order.
        scores: by (arm, seed), what :meth:`Claim.run` returned.
    """

    seeds: list[int]
    scores: Mapping[tuple[str, int], Mapping[str, Any]]

    def of(self, arm: str) -> list[Mapping[str, Any]]:
        """The scores of one arm, seed by seed."""
        return [self.scores[arm, seed] for seed in self.seeds]

    def column(self, arm: str, key: str) -> list[Any]:
        """One score of one arm, seed by seed."""
        return [scores[key] for scores in self.of(arm)]


class Claim(ABC, Generic[S]):
    """A claim of the paper: a subclass with a decorator, :func:`register_claim`.

    Class attributes:
        name: on the command line.
        shows: what it tests, one line.
        paper: what the paper states, with its numbers.
        presets: settings by the names in :data:`PRESETS`; frozen dataclasses, whose
            :class:`RunConfig` fields ``--faithful`` changes.
        costs: by preset, what it takes, in words.
        revision: to be raised when the same settings give other results than before.
        tolerance: by how much a repeated run may differ in its accuracies (``--check``): other
            processors round differently, and training carries that far.
    """

    name: ClassVar[str]
    shows: ClassVar[str]
    paper: ClassVar[str]
    presets: ClassVar[Mapping[str, Any]]
    costs: ClassVar[Mapping[str, str]]
    revision: ClassVar[int] = 1
    tolerance: ClassVar[float] = 0.03

    @abstractmethod
    def arms(self, settings: S) -> list[Arm]:
        """What is trained, the subject and its rivals; an arm comes after those it needs."""

    @abstractmethod
    def run(self, settings: S, arm: str, work: Work) -> dict[str, Any]:
        """One arm with one seed: its raw scores, JSON."""

    @abstractmethod
    def verdict(self, settings: S, results: Results) -> list[Finding]:
        """The claim's statements, tested."""

    @abstractmethod
    def table(self, settings: S, results: Results) -> Table:
        """What a reader wants to see first."""

    @abstractmethod
    def draw(self, figure: Figure, settings: S, results: Results) -> None:
        """The same as a picture, on an empty figure."""

    def describe(self, settings: S) -> str:
        """Data, network and training in words."""
        from autocompress.reproduce.words import describe_settings

        return describe_settings(settings)


_CLAIMS: dict[str, Claim[Any]] = {}

C = TypeVar("C", bound=type[Claim[Any]])


def register_claim(claim: C) -> C:
    """Decorator of a :class:`Claim`: ``acn reproduce NAME`` runs it.

    Raises:
        ConfigError: the name is taken, or a preset is none of :data:`PRESETS`.
    """
    if claim.name in _CLAIMS:
        raise ConfigError(f"claim {claim.name!r} is registered already")
    for preset in claim.presets:
        if preset not in PRESETS:
            raise UnknownNameError("preset", preset, PRESETS)
    _CLAIMS[claim.name] = claim()
    return claim


def list_claims() -> list[str]:
    """The registered names, in the order in which they joined."""
    return list(_CLAIMS)


def find_claim(name: str) -> Claim[Any]:
    """A claim by its name. Raises UnknownNameError."""
    if name not in _CLAIMS:
        raise UnknownNameError("claim", name, _CLAIMS)
    return _CLAIMS[name]


#: What gradients are multiplied by before fp16's backward pass (torch's GradScaler, at its start).
_SCALE = 65536.0

T = TypeVar("T")


def faithful(settings: T) -> T:
    """The same settings with the peculiarities of the authors' code in every run.

    Gradients are clipped at 1 while they are still scaled by 65,536, which is a true norm of
    1.5e-5; images are cropped at random twice, and not mirrored.

    Example:
        >>> round(faithful(RunConfig()).fit.clip_norm * 65536, 6)
        1.0
    """
    if isinstance(settings, RunConfig):
        augment = settings.augment
        crops = 2 if augment.crop_padding else augment.crops
        control = settings.control and replace(settings.control, clip_norm=1 / _SCALE)
        changed = replace(
            settings,
            augment=replace(augment, crops=crops, flip=False),
            fit=replace(settings.fit, clip_norm=1 / _SCALE),
            control=control,
        )
        return cast(T, changed)
    if is_dataclass(settings) and not isinstance(settings, type):
        parts = {f.name: faithful(getattr(settings, f.name)) for f in fields(settings)}
        return cast(T, replace(settings, **parts))
    if isinstance(settings, dict):
        return cast(T, {key: faithful(value) for key, value in settings.items()})
    if isinstance(settings, tuple):
        return cast(T, tuple(faithful(value) for value in cast(Iterable[Any], settings)))
    return settings
