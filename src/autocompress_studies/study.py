"""The definition of a study, and the registry of studies."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from autocompress.errors import ConfigError, UnknownNameError
from autocompress.pipeline import RunConfig, resolve
from autocompress_studies.results import Arm, Results
from autocompress_studies.statements import Finding, Statement, tested
from autocompress_studies.studies import STUDIES
from autocompress_studies.words import describe_settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from autocompress_studies.work import Work

__all__ = ["PRESETS", "Study", "faithful", "find_study", "forget_study", "list_studies"]
__all__ += ["register_study"]

S = TypeVar("S")
K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

#: smoke: tests the machinery; cpu: real data on a small machine; paper: the paper's setting.
PRESETS = ("smoke", "cpu", "paper")


@dataclass(frozen=True, kw_only=True)
class Study(Generic[S, K]):
    """Networks (arms) times seeds, with their training, examination and statements.

    Args:
        name: Name on the command line.
        shows: The tested question, in one line.
        paper: The paper's statement with its numbers; empty for a question of ours.
        presets: Settings by the names in :data:`PRESETS`; frozen dataclasses, whose
            :class:`RunConfig` fields ``--faithful`` changes.
        costs: Cost of each preset in words.
        arms: Function that returns the arms: the subject and its rivals.
        run: Function that trains and examines one arm with one seed and returns raw scores, JSON.
        table: Function that returns a summary of the results as Markdown.
        draw: Function that draws the results on an empty figure.
        statements: Function that yields the statements to test; None for a descriptive study.
        headlines: Those statements, in their own words, that answer the question of the study; a
            page of all studies shows them, however they came out.
        describe: Function that describes data, networks and training in words.
        marks: Tables of a page of docs/, by the marks between which they stand.
        revision: A number to raise when the same settings give other results than before.
        tolerance: Largest difference of a repeated run's accuracies (``--check``): other processors
            round differently, and training amplifies that.
    """

    name: str
    shows: str
    paper: str = ""
    presets: Mapping[str, S]
    costs: Mapping[str, str]
    arms: Callable[[S], list[Arm[K]]]
    run: Callable[[S, K, Work], dict[str, Any]]
    table: Callable[[S, Results[K]], str]
    draw: Callable[[Figure, S, Results[K]], None]
    statements: Callable[[S, Results[K]], Iterable[Statement]] | None = None
    headlines: tuple[str, ...] = ()
    describe: Callable[[S], str] = describe_settings
    marks: Mapping[str, Callable[[S, Results[K]], str]] = field(default_factory=dict)
    revision: int = 1
    tolerance: float = 0.03

    def __post_init__(self) -> None:
        for preset in self.presets:
            if preset not in PRESETS:
                raise UnknownNameError("preset", preset, PRESETS)

    def settings(self, preset: str, as_authors: bool = False) -> S:
        """Return the settings of a preset, its runs resolved.

        Args:
            preset: Its name.
            as_authors: Whether to use the peculiarities of the authors' code, see :func:`faithful`.

        Raises:
            UnknownNameError: The study has no such preset.
        """
        if preset not in self.presets:
            raise UnknownNameError(f"preset of {self.name!r}:", preset, self.presets)
        chosen = each_run(self.presets[preset], resolve)
        return faithful(chosen) if as_authors else chosen

    def findings(self, settings: S, results: Results[K]) -> list[Finding]:
        """Return the statements, tested, with Holm's correction for their number."""
        return [] if self.statements is None else tested(self.statements(settings, results))


_REGISTERED: dict[str, Study[Any, Any]] = {}


def register_study(study: Study[S, K]) -> Study[S, K]:
    """Register a user's own study, so that ``reproduce`` finds it by its name.

    Raises:
        ConfigError: The name is taken.
    """
    if study.name in list_studies():
        raise ConfigError(f"study {study.name!r} is registered already")
    _REGISTERED[study.name] = study
    return study


def forget_study(name: str) -> None:
    """Remove a user's own study; a name that is not registered is not an error."""
    _REGISTERED.pop(name, None)


def list_studies() -> list[str]:
    """Return the names of all studies, in the order of the pages."""
    return [*STUDIES, *_REGISTERED]


def find_study(name: str) -> Study[Any, Any]:
    """Return a study by its name, or raise UnknownNameError."""
    if name in STUDIES:
        module = import_module(f"autocompress_studies.studies.{name.replace('-', '_')}")
        return cast("Study[Any, Any]", module.STUDY)
    if name not in _REGISTERED:
        raise UnknownNameError("study", name, list_studies())
    return _REGISTERED[name]


#: Factor of gradients before fp16's backward pass (the initial scale of torch's GradScaler).
_SCALE = 65536.0


def faithful(settings: T) -> T:
    """Return the same settings with the peculiarities of the authors' code in every run.

    Gradients are clipped at 1 while they are still scaled by 65,536, which is a true norm of
    1.5e-5; images are cropped at random twice, and not mirrored.

    Example:
        >>> round(faithful(RunConfig()).fit.clip_norm * 65536, 6)
        1.0
    """
    return each_run(settings, _faithful)


def _faithful(run: RunConfig) -> RunConfig:
    augment = run.augment
    crops = 2 if augment.crop_padding else augment.crops
    return replace(
        run,
        augment=replace(augment, crops=crops, flip=False),
        fit=replace(run.fit, clip_norm=1 / _SCALE),
        control=run.control and replace(run.control, clip_norm=1 / _SCALE),
    )


def each_run(settings: T, change: Callable[[RunConfig], RunConfig]) -> T:
    """Return the same settings with every run in them changed."""
    if isinstance(settings, RunConfig):
        return cast(T, change(settings))
    if is_dataclass(settings) and not isinstance(settings, type):
        parts = {f.name: each_run(getattr(settings, f.name), change) for f in fields(settings)}
        return cast(T, replace(settings, **parts))
    if isinstance(settings, dict):
        return cast(T, {key: each_run(value, change) for key, value in settings.items()})
    if isinstance(settings, tuple):
        parts_of = cast(Iterable[Any], settings)
        return cast(T, tuple(each_run(value, change) for value in parts_of))
    return settings
