"""Compare a fresh run with the committed one, for ``--check``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from autocompress.errors import ConfigError, ReproductionError
from autocompress.pipeline.config import settings_of_today
from autocompress.training.identity import at_default, unlike

__all__ = ["check", "check_same", "unmet"]

#: Scores that are accuracies, single or by depth; costs must be equal, others are not compared.
_ACCURACIES = ("validation", "test")
_COSTS = ("parameters", "flops")

#: Keys that must be equal for two results to be compared.
_SAME = ("claim", "preset", "faithful", "revision", "settings")


def check(
    fresh: Mapping[str, Any], committed: Mapping[str, Any], tolerance: float, settings: Any
) -> str:
    """Compare two results.json of one claim.

    For each arm and seed in both, accuracies at full depth must differ by at most ``tolerance``,
    parameters and FLOPs must be equal, and no statement may hold in one and be refuted in the
    other.

    Args:
        fresh: Content of the new file.
        committed: Content of the committed file.
        tolerance: Largest difference of accuracies, as a fraction.
        settings: Settings of the study, for the new results.

    Returns:
        A sentence about what was compared.

    Raises:
        ConfigError: The settings differ, or there is no common seed.
        ReproductionError: The results differ; all differences are listed.
    """
    check_same(fresh, committed, settings)
    kept = {(job["arm"], job["seed"]): job["scores"] for job in committed["jobs"]}
    pairs = [
        (f"{job['arm']}, seed {job['seed']}", job["scores"], kept[job["arm"], job["seed"]])
        for job in fresh["jobs"]
        if (job["arm"], job["seed"]) in kept
    ]
    if not pairs:
        raise ConfigError("these results and the committed ones have no seed in common")
    wrong = [line for pair in pairs for line in unmet(*pair, tolerance)]
    wrong += list(_flipped(fresh, committed))
    if wrong:
        raise ReproductionError("the committed results were not met:\n" + "\n".join(wrong))
    return (
        f"{len(pairs)} jobs agree with the committed ones: accuracies within "
        f"{100 * tolerance:g} points, costs equal, no statement turned round"
    )


def check_same(fresh: Mapping[str, Any], committed: Mapping[str, Any], settings: Any) -> None:
    """Raise ConfigError unless two results are of the same study, preset and settings.

    Args:
        fresh: The new results, or what all their jobs have in common.
        committed: Content of the committed file.
        settings: Settings of the study, for the new results.
    """
    old, new = ({key: of.get(key) for key in _SAME} for of in (settings_of_today(committed), fresh))
    if differs := unlike(old, new, at_default({"settings": settings})):
        raise ConfigError(
            "these results and the committed ones are of different studies or settings "
            f"({'; '.join(differs[:5])})"
        )


def unmet(
    name: str, new: Mapping[str, Any], old: Mapping[str, Any], tolerance: float
) -> Iterator[str]:
    """Yield what differs by more than ``tolerance`` in the scores of a job; costs must be equal."""
    for key in _ACCURACIES:
        if key in new and key in old:
            ours, theirs = _last(new[key]), _last(old[key])
            if abs(ours - theirs) > tolerance:
                yield f"  {name}: {key} {100 * ours:.2f} %, committed {100 * theirs:.2f} %"
    for key in _COSTS:
        if key in new and key in old and new[key] != old[key]:
            yield f"  {name}: {key} {_last(new[key])}, committed {_last(old[key])}"


def _flipped(fresh: Mapping[str, Any], committed: Mapping[str, Any]) -> Iterator[str]:
    old = {f["statement"]: f["outcome"] for f in committed.get("findings", ())}
    for finding in fresh.get("findings", ()):
        outcomes = {finding["outcome"], old.get(finding["statement"])}
        if outcomes == {"holds", "does not hold"}:
            yield f"  {finding['statement']}: {finding['outcome']}, committed the opposite"


def _last(value: Any) -> float:
    return float(value[-1] if isinstance(value, list) else value)
