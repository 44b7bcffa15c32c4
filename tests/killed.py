"""A job that kills its process the first time; a module that a spawned process can import."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class KilledOnce:
    path: Path
    seed: int = 0
    after: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return self.path.name

    def run(self) -> None:
        if self.path.exists():
            self.path.write_text(self.path.read_text() + ", done")
        else:
            self.path.write_text("killed")
            os.kill(os.getpid(), signal.SIGKILL)
