"""Live depth: top layers that validation shows to be redundant are dropped during training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from autocompress.bounds import check_numbers
from autocompress.errors import ConfigError
from autocompress.network import Network
from autocompress.training.hooks import Hook, HookOptions

__all__ = ["LiveConfig", "LiveDepth"]


@dataclass(frozen=True, kw_only=True)
class LiveConfig(HookOptions):
    """Settings for dropping top layers during training, once validation shows them redundant.

    At each evaluation, the sufficient depth is the shallowest one within ``tolerance`` of full
    depth's score. When each of the last ``patience`` evaluations finds that fewer layers suffice,
    all layers above the deepest of these depths plus ``spare`` are dropped.

    Args:
        tolerance: Accepted loss of score as a fraction; 0.002 is 0.2 percentage points.
        patience: Number of consecutive evaluations that must agree, all at the current depth.
        start: Share of all epochs before which nothing is dropped. With a path, layers are best
            judged once the gates have arrived.
        spare: Number of layers kept above the deepest of these depths.

    Raises:
        ConfigError: A value is out of range.
    """

    tolerance: float = 0.002
    patience: int = 3
    start: float = 0.5
    spare: int = 1
    shallower: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_numbers(self, "live.")
        if not (0 <= self.tolerance < 1 and 0 <= self.start <= 1):
            raise ConfigError(
                f"live.tolerance {self.tolerance} and live.start {self.start} must be shares, the "
                "tolerance below 1"
            )
        if self.patience < 1 or self.spare < 0:
            raise ConfigError(
                f"live.patience {self.patience} must be at least 1, and live.spare {self.spare} "
                "at least 0"
            )

    def check(self, config: Any) -> None:
        """Raise ConfigError if other hooks decide on the depth as well."""
        if config.grow is not None:
            raise ConfigError("live depth cannot be combined with a progressive start (grow)")
        if config.cut is not None:
            raise ConfigError("live depth cannot be combined with a cut within the run (cut)")

    def check_run(self, net: Network, steps: int, validated: bool) -> None:
        """Raise ConfigError if there are no validation data to judge the layers by."""
        if not validated:
            raise ConfigError(
                "live depth drops layers by their validation scores, and there are no validation "
                "data: give fit some, or leave live out (cut.layers needs none)"
            )

    def hook(self, net: Network, copies: Sequence[Network]) -> LiveDepth:
        """Return the hook that drops layers."""
        return LiveDepth(self)

    def depth(self, history: Sequence[dict[str, Any]], epochs: int) -> int | None:
        """Return the depth to continue with, or None to keep the current one.

        >>> seen = [{"epoch": 8, "depths": [0.1, 0.9, 0.9, 0.9]}]
        >>> LiveConfig(patience=1, spare=0).depth(seen, epochs=10)
        1
        """
        seen = [record["depths"] for record in history if "depths" in record][-self.patience :]
        if len(seen) < self.patience or history[-1]["epoch"] < self.start * epochs:
            return None
        if len({len(scores) for scores in seen}) > 1 or "depths" not in history[-1]:
            return None
        would_do = [
            next(k for k, score in enumerate(scores) if score >= scores[-1] - self.tolerance)
            for scores in seen
        ]
        depth = max(1, max(would_do) + self.spare)
        return depth if depth < len(seen[-1]) - 1 else None


class LiveDepth(Hook):
    """A hook that drops the layers which ``config`` finds redundant.

    Args:
        config: The rule.
    """

    def __init__(self, config: LiveConfig) -> None:
        self.config = config

    def depth_left(
        self, net: Network, history: Sequence[dict[str, Any]], epochs: int
    ) -> int | None:
        """Return the depth that the rule finds sufficient, or None."""
        return self.config.depth(history, epochs)
