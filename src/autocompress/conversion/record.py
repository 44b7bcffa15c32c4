"""Keep a host's own record of its inputs and outputs in step with the network.

transformers keeps class names in ``config.id2label``; timm keeps the input's size, mean and
deviation, the number of classes and their names in ``pretrained_cfg``. Users and other code of
these libraries read them there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from autocompress.conversion.beside import files_beside
from autocompress.conversion.faces import comes_from, image_shape, is_transformer
from autocompress.network import Network

__all__ = ["Recorded", "names_of", "record_names", "record_pixels", "record_shape"]

_BYTES = 255.0


class Recorded(Network):
    """A network whose host keeps a record of its inputs and outputs, which changes with ours.

    Attributes:
        model: The host.
    """

    model: nn.Module
    _preprocess: dict[str, Any] | None = None
    _class_names: list[str] | None = None

    @property
    def preprocess(self) -> dict[str, Any] | None:
        """Return the mapping as in :class:`Network`; setting it also updates the host's record."""
        return self._preprocess

    @preprocess.setter
    def preprocess(self, said: dict[str, Any] | None) -> None:
        self._preprocess = said
        record_pixels(self.model, said)

    def beside(self) -> Mapping[str, Mapping[str, Any]]:
        """Return what transformers needs to prepare inputs in a folder of a transformers host."""
        if not is_transformer(self.model):
            return {}
        return files_beside(self.tokenizer, self.preprocess)

    @property
    def class_names(self) -> list[str] | None:
        """Return this network's names, or the host's; setting them updates the host's record."""
        own = self._class_names
        fits = own is not None and self.classes in (None, len(own))  # the head may be a new one
        return own if fits else names_of(self.model)

    @class_names.setter
    def class_names(self, names: list[str] | None) -> None:
        self._class_names = names
        record_names(self.model, names)


def record_names(host: nn.Module, names: Sequence[str] | None) -> None:
    """Write class names into a host's record, if it has one and as many outputs; None does nothing.

    Args:
        host: Host from any library.
        names: Names by class number.
    """
    model: Any = host
    if names is None:
        return
    if comes_from(host, "transformers") and getattr(model.config, "num_labels", 0) == len(names):
        model.config.id2label = dict(enumerate(names))
        model.config.label2id = {name: number for number, name in enumerate(names)}
    if comes_from(host, "timm") and getattr(model, "num_classes", 0) == len(names):
        _update(model, {"num_classes": len(names), "label_names": list(names)})


def names_of(host: nn.Module) -> list[str] | None:
    """Return the class names in a host's record; None if it has none but LABEL_0, LABEL_1, ..."""
    model: Any = host
    if comes_from(host, "transformers"):
        if not type(host).__name__.endswith("Classification"):
            return None
        known = getattr(model.config, "id2label", None) or {}
        names = [known.get(number) for number in range(len(known))]
        if all(isinstance(name, str) for name in names) and any(
            name != f"LABEL_{number}" for number, name in enumerate(names)
        ):
            return [str(name) for name in names]
    if comes_from(host, "timm"):
        listed = (getattr(model, "pretrained_cfg", None) or {}).get("label_names")
        if isinstance(listed, (list, tuple)) and len(listed) == model.num_classes:
            return [str(name) for name in listed]
    return None


def record_pixels(host: nn.Module, preprocess: Mapping[str, Any] | None) -> None:
    """Write the preparation of pixels into a timm host's record; None does nothing.

    timm's own transforms, created from that record, then prepare an image as this library does.

    Args:
        host: Host from any library; only timm's have such a record.
        preprocess: The ``preprocess`` of a network.
    """
    if preprocess is None or "mean" not in preprocess or not comes_from(host, "timm"):
        return
    factor = _BYTES * preprocess.get("scale", 1 / _BYTES)
    factor = 1.0 if abs(factor - 1) < 1e-12 else factor
    said: dict[str, Any] = {
        "mean": tuple(value / factor for value in preprocess["mean"]),
        "std": tuple(value / factor for value in preprocess["std"]),
    }
    size = preprocess.get("size")
    if size is not None:
        channels = preprocess.get("channels") or image_shape(host)[0]
        said |= {"input_size": (channels, *size), "interpolation": "bilinear"}
        said |= {"crop_pct": 1.0, "crop_mode": "squash"}
    _update(host, said)


def record_shape(host: nn.Module) -> None:
    """Write a timm host's input size and number of classes into its record."""
    model: Any = host
    if not comes_from(host, "timm") or not getattr(model, "pretrained_cfg", None):
        return
    said: dict[str, Any] = {"input_size": image_shape(host)}
    if getattr(model, "num_classes", None) is not None:
        said["num_classes"] = model.num_classes
    _update(model, said)


def _update(host: Any, said: Mapping[str, Any]) -> None:
    for key in ("pretrained_cfg", "default_cfg"):
        known = host.__dict__.get(key)
        if isinstance(known, Mapping):
            setattr(host, key, {**known, **said})
