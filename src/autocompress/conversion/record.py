"""Keep a host's own record of its inputs and outputs in step with the network.

transformers keeps class names in ``config.id2label``; timm keeps the input's size, mean and
deviation, the number of classes and their names in ``pretrained_cfg``. Users and other code of
these libraries read them there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from autocompress.conversion.hf_preparation import files_beside
from autocompress.conversion.interfaces import comes_from, image_shape, inner_host, is_transformer
from autocompress.data.image_input import ImageInput
from autocompress.errors import ConfigError
from autocompress.network import Network

__all__ = [
    "Recorded",
    "names_of",
    "pixels_of",
    "record_names",
    "record_pixels",
    "record_shape",
]

_BYTES = 255.0


class Recorded(Network):
    """A network whose host keeps a record of its inputs and outputs, which changes with ours.

    Attributes:
        model: The host.
    """

    model: nn.Module
    _preprocess: dict[str, Any] | None = None
    _class_names: list[str] | None = None

    def told(self) -> dict[str, Any]:
        """Return options of config.json that the arguments of the host do not hold."""
        own = own_pixels(self.model) if self.preprocess is None else None
        return {} if own is None else {"pixels": own}

    def retell(self, pixels: Mapping[str, Any] | None) -> None:
        """Write what :meth:`told` returned into the host's record; None does nothing."""
        record_pixels(self.model, pixels and ImageInput.of(pixels).to_json())

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
        host: Host from any library, or one in PEFT's wrapper.
        names: Names by class number.
    """
    model: Any = inner_host(host)
    if names is None:
        return
    if is_transformer(model) and getattr(model.config, "num_labels", 0) == len(names):
        model.config.id2label = dict(enumerate(names))
        model.config.label2id = {name: number for number, name in enumerate(names)}
    if comes_from(model, "timm") and getattr(model, "num_classes", 0) == len(names):
        _update(model, {"num_classes": len(names), "label_names": list(names)})


def names_of(host: nn.Module) -> list[str] | None:
    """Return the class names in a host's record; None if it has none but LABEL_0, LABEL_1, ..."""
    model: Any = inner_host(host)
    if is_transformer(model):
        if not type(model).__name__.endswith("Classification"):
            return None
        known = getattr(model.config, "id2label", None) or {}
        names = [known.get(number) for number in range(len(known))]
        if all(isinstance(name, str) for name in names) and any(
            name != f"LABEL_{number}" for number, name in enumerate(names)
        ):
            return [str(name) for name in names]
    if comes_from(model, "timm"):
        listed = (getattr(model, "pretrained_cfg", None) or {}).get("label_names")
        if isinstance(listed, (list, tuple)) and len(listed) == model.num_classes:
            return [str(name) for name in listed]
    return None


def pixels_of(host: nn.Module) -> dict[str, Any] | None:
    """Return how a timm host prepares pictures, by its own record; None for others.

    Args:
        host: Host from any library.

    Returns:
        The ``preprocess`` of a network (:class:`autocompress.data.ImageInput`); None if the host
        has no record, or one that this library cannot follow (``crop_mode`` ``"border"``).
    """
    host = inner_host(host)
    known = getattr(host, "pretrained_cfg", None)
    if not comes_from(host, "timm") or not isinstance(known, Mapping):
        return None
    channels, height, width = image_shape(host)
    said = {
        "scale": 1 / _BYTES,
        "mean": list(known.get("mean") or ()),
        "std": list(known.get("std") or ()),
        "size": [height, width],
        "channels": channels,
        "resize": True,
        "interpolation": known.get("interpolation"),
        "crop": known.get("crop_pct"),
        "fit": known.get("crop_mode") or "center",
    }
    try:
        found = ImageInput.of(said)
    except ConfigError:
        return None
    return found.to_json() if len(found.mean) in (1, channels) else None


def own_pixels(host: nn.Module) -> dict[str, Any] | None:
    """Return :func:`pixels_of` a host if its library, asked by name, would build another."""
    found = pixels_of(host)
    if found is None:
        return None
    from timm.models import get_pretrained_cfg

    known: Any = inner_host(host)
    usual: Any = get_pretrained_cfg(
        known.pretrained_cfg.get("architecture") or "", allow_unregistered=True
    )
    if usual is None:
        return found
    keys = ("mean", "std", "interpolation", "crop_pct", "crop_mode")
    now, then = ({key: d.get(key) for key in keys} for d in (known.pretrained_cfg, usual.to_dict()))
    return None if json.loads(json.dumps(now)) == json.loads(json.dumps(then)) else found


def record_pixels(host: nn.Module, preprocess: Mapping[str, Any] | None) -> None:
    """Write the preparation of pixels into a timm host's record; None does nothing.

    timm's own transforms, created from that record, then prepare an image as this library does.

    Args:
        host: Host from any library; only timm's have such a record.
        preprocess: The ``preprocess`` of a network.
    """
    host = inner_host(host)
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
        said |= {"input_size": (channels, *size)}
        said |= {"interpolation": preprocess.get("interpolation", "bilinear")}
        said |= {"crop_pct": preprocess.get("crop", 1.0)}
        said |= {"crop_mode": preprocess.get("fit", "squash")}
    _update(host, said)


def record_shape(host: nn.Module) -> None:
    """Write a timm host's input size and number of classes into its record."""
    model: Any = inner_host(host)
    if not comes_from(model, "timm") or not getattr(model, "pretrained_cfg", None):
        return
    said: dict[str, Any] = {"input_size": image_shape(model)}
    if getattr(model, "num_classes", None) is not None:
        said["num_classes"] = model.num_classes
    _update(model, said)


def _update(host: Any, said: Mapping[str, Any]) -> None:
    for key in ("pretrained_cfg", "default_cfg"):
        known = host.__dict__.get(key)
        if isinstance(known, Mapping):
            setattr(host, key, {**known, **said})
