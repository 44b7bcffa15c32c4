"""What a file of a stranger's may hold; several tests put it in different places."""

from __future__ import annotations

from pathlib import Path


def code(marker: Path) -> list[dict[str, object]]:
    """Values with which configs of other programs run a command, or import a module."""
    return [
        {"class_path": "os.system", "init_args": {"command": f"touch {marker}"}},
        {"class_path": "pathlib.Path.touch", "init_args": {"self": str(marker)}},
        {"class_path": "subprocess.Popen", "dict_kwargs": {"args": ["touch", str(marker)]}},
        {"class_path": "marker_module.Maker"},
    ]
