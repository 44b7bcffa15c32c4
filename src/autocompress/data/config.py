"""Settings of the data, as frozen objects."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from autocompress.errors import ConfigError, UnknownNameError

__all__ = ["AugmentConfig", "DataConfig", "TaskName", "without_effect"]

TaskName = Literal["image", "masked-lm", "causal-lm", "text-classification"]

_IMAGES = ("image",)
_TEXTS = ("masked-lm", "causal-lm", "text-classification")

#: Settings that have an effect on some tasks only.
_ONLY_FOR: dict[tuple[str, ...], tuple[str, ...]] = {
    _IMAGES: ("image_column", "image_size", "channels", "classes"),
    _TEXTS: ("text_column", "validation_limit", "test_split", "tokenizer", "vocabulary", "length"),
    ("image", "text-classification"): ("label_column", "skip_broken"),
    ("text-classification",): ("second_column", "truncate"),
    ("masked-lm",): ("masked",),
}


def without_effect(task: str) -> dict[str, tuple[str, ...]]:
    """Return the settings that have no effect on a task, with the tasks that they are for.

    >>> without_effect("causal-lm")["masked"]
    ('masked-lm',)
    """
    rest = [(tasks, keys) for tasks, keys in _ONLY_FOR.items() if task not in tasks]
    return {key: tasks for tasks, keys in rest for key in keys}


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Settings for choosing a data set and splitting it.

    Args:
        task: ``image`` for images by class; for texts ``masked-lm`` or ``causal-lm``, to predict
            the masked words or the next word of a corpus, or ``text-classification`` for sentences
            or pairs of them by class.
        name: A bundled set (``digits``), a generated one (``doubling``, ``hierarchy``), a local
            .parquet file, a folder of train*.parquet and test*.parquet files, a folder of images
            by class (``CLASS/*.png``, or ``train/CLASS/*.png``, ``test/CLASS/*.png``), or a hub
            name (``owner/name``, or ``owner/name:config``). For texts also .csv, .tsv, .jsonl and
            .txt files and folders of them.
        image_column: Column that holds the images; empty finds it.
        label_column: Column that holds the labels: words, whole numbers, booleans or a ClassLabel;
            empty finds it.
        validation: Share of train that becomes validation if the set has no validation split.
        train_limit: Number of training images to keep, balanced over the classes as far as
            possible, before validation is split off.
        classes: Labels whose images are kept: the set's own numbers if it has numbers, otherwise
            positions in the order of its labels. They become 0, 1, ... in this order, before
            anything is limited or split; empty keeps all.
        image_size: Side of the squares to which images are resized; empty keeps their size.
        channels: Number of channels to convert to, 1 (grey) or 3 (RGB); empty keeps those of the
            first image.
        seed: Seed of ``train_limit`` and of the validation split.
        device_limit_mb: Largest size in MiB, when decoded, of a set that is kept on the device; a
            larger set is read from disk batch by batch.
        text_column: Column that holds the texts; empty finds it.
        second_column: Column of the second sentence, if a text is a pair.
        validation_limit: Number of validation texts to keep, drawn by ``seed``.
        test_split: Split of the set that serves as test, e.g. ``validation`` if the labels of its
            own test split are hidden; validation is then split off train.
        tokenizer: A tokenizer.json or a folder that has one; empty trains a WordPiece on train, or
            uses that of the network from which training starts.
        vocabulary: Number of tokens of a tokenizer that is trained.
        length: Number of tokens in a row of a corpus, and the most in a text; empty is 128, or the
            number of positions of the network from which training starts.
        truncate: Whether to cut longer texts; otherwise they are an error.
        masked: Share of the words that a masked language model has to predict.
        skip_broken: Whether to leave out images that cannot be read, and rows of a table without a
            text or a label; otherwise they are an error. What is left out is said and recorded.
        options: Options of a generated set, e.g. ``{"positions": 11}``; docs/ruler.md lists them.

    Raises:
        ConfigError: A value is out of range, or a setting has no effect on the task.
        UnknownNameError: There is no such task.
    """

    task: TaskName = "image"
    name: str = "digits"
    image_column: str | None = None
    label_column: str | None = None
    validation: float = 0.2
    train_limit: int | None = None
    classes: tuple[int, ...] | None = None
    image_size: int | None = None
    channels: int | None = None
    seed: int = 0
    device_limit_mb: int = 1024
    text_column: str | None = None
    second_column: str | None = None
    validation_limit: int | None = None
    test_split: str | None = None
    tokenizer: str | None = None
    vocabulary: int = 8192
    length: int | None = None
    truncate: bool = False
    masked: float = 0.15
    skip_broken: bool = False
    options: dict[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigError("data.name is empty; name a data set, e.g. digits")
        if not 0 < self.validation < 1:
            raise ConfigError(
                f"data.validation {self.validation} must be a share of train between 0 and 1, "
                "e.g. 0.2"
            )
        if self.channels not in (None, 1, 3):
            raise ConfigError(f"data.channels {self.channels} must be 1 (grey) or 3 (RGB)")
        for key, least in (("train_limit", 1), ("image_size", 1), ("seed", 0)):
            value = getattr(self, key)
            if value is not None and value < least:
                raise ConfigError(f"data.{key} {value} must be at least {least}")
        if self.seed >= 2**32:  # NumPy's limit
            raise ConfigError(f"data.seed {self.seed} must be below {2**32}")
        if self.classes is not None and len(set(self.classes)) != len(self.classes) > 0:
            raise ConfigError(f"data.classes {list(self.classes)} names a class twice")
        if self.classes is not None and len(self.classes) < 2:
            raise ConfigError(f"data.classes {list(self.classes)}: at least two are needed")
        if self.task not in get_args(TaskName):
            raise UnknownNameError("data.task", self.task, get_args(TaskName))
        if not 0 < self.masked < 1:
            raise ConfigError(f"data.masked {self.masked} must be a share between 0 and 1")
        for key, least in (("vocabulary", 8), ("length", 4), ("validation_limit", 1)):
            value = getattr(self, key)
            if value is not None and value < least:
                raise ConfigError(f"data.{key} {value} must be at least {least}")
        self._check_task()
        if self.device_limit_mb < 0:
            raise ConfigError(f"data.device_limit_mb {self.device_limit_mb} must not be negative")

    def _check_task(self) -> None:
        """Raise ConfigError for a setting that has no effect on this task."""
        defaults = {item.name: item.default for item in fields(self)}
        for key, tasks in without_effect(self.task).items():
            if getattr(self, key) != defaults[key]:
                kinds = {_IMAGES: "images", _TEXTS: "texts"}
                kind = kinds.get(tasks, f"data.task {' or '.join(tasks)}")
                raise ConfigError(
                    f"data.{key} is for {kind}; data.task is {self.task!r}, so leave it out"
                )

    @property
    def is_text(self) -> bool:
        """Return whether the examples are texts."""
        return self.task != "image"


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Settings for augmenting training images, in batches on their device; defaults do nothing.

    Args:
        crop_padding: Number of black pixels added on every side before a random crop.
        crops: Number of times that is done; the authors' code does it twice.
        flip: Whether to mirror half of the images left to right.
        auto_augment: Whether to apply the CIFAR-10 policy of AutoAugment.
        cutmix: Probability that a batch is mixed by CutMix.
        mixup: Probability that a batch is mixed by MixUp; at most 1 - cutmix.
        cutmix_beta: Both parameters of CutMix's Beta distribution.
        mixup_alpha: Both parameters of MixUp's Beta distribution.

    Raises:
        ConfigError: A value is out of range, or the two probabilities exceed 1 together.
    """

    crop_padding: int = 0
    crops: int = 1
    flip: bool = False
    auto_augment: bool = False
    cutmix: float = 0.0
    mixup: float = 0.0
    cutmix_beta: float = 1.0
    mixup_alpha: float = 0.2

    def __post_init__(self) -> None:
        if self.crop_padding < 0:
            raise ConfigError(f"augment.crop_padding {self.crop_padding} must be 0 or more pixels")
        if self.crops < 1:
            raise ConfigError(f"augment.crops {self.crops} must be 1 or more")
        for key in ("cutmix", "mixup"):
            if not 0 <= getattr(self, key) <= 1:
                raise ConfigError(
                    f"augment.{key} {getattr(self, key)} must be a probability in [0, 1]"
                )
        if self.cutmix + self.mixup > 1 + 1e-9:
            raise ConfigError(
                f"augment.cutmix {self.cutmix} + augment.mixup {self.mixup} exceed 1: a batch is "
                "mixed by one of them or by none"
            )
        for key in ("cutmix_beta", "mixup_alpha"):
            if not getattr(self, key) > 0:
                raise ConfigError(f"augment.{key} {getattr(self, key)} must be greater than 0")
