"""Things that a trunk in a host can do in one pass instead of running all its layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from torch import Tensor

from autocompress.conversion.host import Call, HostTrunk

__all__ = ["ArrivedError", "counting", "go_on", "hand_back", "hand_on", "stop_here"]


class ArrivedError(Exception):
    """Raised to stop a pass where a trunk begins; it carries the trunk's arguments."""

    def __init__(self, x: Tensor, calls: Sequence[Call]) -> None:
        self.x, self.calls = x, calls


def counting(
    run: Any, counts: list[int], stage: int, trunk: HostTrunk, x: Tensor, calls: Sequence[Call]
) -> Tensor:
    """Do ``run`` and count the call of this stage's trunk."""
    counts[stage] += 1
    return cast(Tensor, run(trunk, x, calls))


def hand_back(trunk: HostTrunk, x: Tensor, calls: Sequence[Call]) -> Tensor:
    """Return the trunk's input unchanged, as if it had no layers."""
    return x


def stop_here(trunk: HostTrunk, x: Tensor, calls: Sequence[Call]) -> Tensor:
    """Stop the pass before the first layer by raising the trunk's arguments."""
    raise ArrivedError(x, calls)


def hand_on(readout: Tensor | None, trunk: HostTrunk, x: Tensor, calls: Sequence[Call]) -> Any:
    """Return a readout that was computed before."""
    return readout


def go_on(
    trunk: HostTrunk,
    x: Tensor,
    calls: Sequence[Call],
    first: int,
    state: Any,
    depth: int,
    seen: list[Any],
) -> Tensor:
    """Continue from a state at depth ``first`` to ``depth``; append the last state to ``seen``."""
    state = trunk.connectivity.begin(x) if state is None else state
    *_, last = trunk.onwards(state, first, depth, calls=calls)
    seen.append(last)
    return trunk.connectivity.readout(last).clone()  # the host may change it in place
