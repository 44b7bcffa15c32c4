"""A classifier with scikit-learn's interface: train deep, keep the layers that are needed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted

from autocompress.data.listing import some
from autocompress.depth import cut, probe
from autocompress.errors import ConfigError, DataError, ShapeError
from autocompress.measurement.modes import device_of, evaluating
from autocompress.models import MLP, Mixer
from autocompress.network import Network
from autocompress.training import DistilConfig, FitConfig, fit
from autocompress.training.randomness import random_state_restored

__all__ = ["CompressedClassifier"]


class CompressedClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # untyped bases
    """A classifier that trains a deep network and keeps its first layers, as many as are needed.

    Features (n, d) go to a multilayer perceptron, square pictures (n, h, h) or (n, h, h, c) to an
    MLP-Mixer; both are standardised. The shallowest depth within ``tolerance`` of full depth on
    held-out examples is kept.

    Args:
        depth: Number of layers that are trained.
        width: Size of a layer.
        patch_size: Side of the patches of pictures; None is the largest of 8, 4, 2 and 1 that
            gives at least 16 of them.
        epochs: Number of passes over the training data.
        batch_size: Examples per step.
        lr: Peak learning rate.
        tolerance: Accepted loss of accuracy on the held-out examples, as a fraction.
        validation: Share of the examples that are held out to choose the depth, at least as many
            as there are classes.
        connectivity: Rule between the layers, trained as it is; None is ``residual``, taught, see
            above.
        random_state: Seed of the weights, the split and the order of the data; a ``RandomState`` or
            None (numpy's) draws one.
        progress: Whether to show the progress of training.

    Attributes:
        classes_: Labels, sorted.
        feature_names_in_: Names of the columns, if X was a table whose columns have names.
        depth_: Number of layers that were kept.
        curve_: The :class:`autocompress.DepthCurve` on the held-out examples.
        network_: The cut network.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> model = CompressedClassifier(depth=3, width=16, epochs=5, batch_size=16).fit(X, y)
        >>> model.predict(X[:2]).shape, model.predict_proba(X[:2]).shape
        ((2,), (2, 3))
    """

    def __init__(
        self,
        depth: int = 8,
        width: int = 64,
        *,
        patch_size: int | None = None,
        epochs: int = 20,
        batch_size: int = 64,
        lr: float = 3e-3,
        tolerance: float = 0.005,
        validation: float = 0.2,
        connectivity: Any = None,
        random_state: int | np.random.RandomState | None = 0,
        progress: bool = False,
    ) -> None:
        self.depth, self.width, self.patch_size = depth, width, patch_size
        self.epochs, self.batch_size, self.lr = epochs, batch_size, lr
        self.tolerance, self.validation, self.connectivity = tolerance, validation, connectivity
        self.random_state, self.progress = random_state, progress

    def fit(self, X: ArrayLike, y: ArrayLike) -> CompressedClassifier:
        """Train on examples (n, ...) with labels (n,) of any kind and return the classifier.

        Raises:
            DataError: Pictures are not square, or there are fewer than two classes.
            ConfigError: ``validation`` is not a share.
            AutoCompressError: Any error of :func:`autocompress.fit`.
        """
        check_consistent_length(X, y)
        check_classification_targets(y)
        examples = _checked(X)
        labels = column_or_1d(y, warn=True)
        self.classes_, numbers = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise DataError(f"all labels are {self.classes_[0]}; at least two classes are needed")
        counts = np.bincount(numbers)
        if counts.min() < 2:
            lonely = some([str(label) for label in self.classes_[counts < 2]])
            raise DataError(
                f"only one example has the label {lonely}; each class needs two or more, since a "
                "part of the examples is held out to choose the depth"
            )
        self.n_features_in_, self._shape = examples.shape[1], examples.shape[1:]
        self._record_columns(X)
        axes = (0,) if examples.ndim == 2 else (0, 2, 3)
        # float32 would lose the last digits of a sum over many examples
        self._mean = examples.mean(axes, keepdims=True, dtype=np.float64)
        deviation = examples.std(axes, keepdims=True, dtype=np.float64)
        varied = np.ptp(examples, axes, keepdims=True) > 0
        self._deviation = np.where(varied, deviation, 1)
        seed = _seed(self.random_state)
        train, held = train_test_split(
            np.arange(len(numbers)),
            test_size=self._held(counts),
            stratify=numbers,
            random_state=seed,
        )
        data = [(self._prepared(examples[rows]), numbers[rows]) for rows in (train, held)]
        config = FitConfig(
            epochs=self.epochs,
            batch_size=min(self.batch_size, len(train)),
            lr=self.lr,
            distil=DistilConfig.second_half() if self.connectivity is None else None,
            seed=seed,
        )
        with random_state_restored():
            torch.manual_seed(seed)
            net = self._network()
            fit(net, data[0], data[1], config, progress=self.progress)
            self.curve_ = probe(net, data[1])
        self.network_: Network = cut(net, self.curve_.select(tolerance=self.tolerance))
        self.depth_ = self.network_.depth
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return the probabilities (n, classes) of examples (n, ...), by class as in classes_.

        Raises:
            ShapeError: Examples have another shape than in :meth:`fit`.
            DataError: The columns of a table have other names, or another order, than in fit.
        """
        check_is_fitted(self, "network_")
        self._check_columns(X)
        examples, device = _checked(X), device_of(self.network_)
        if examples.shape[1:] != self._shape:
            raise ShapeError(
                f"examples are {examples.shape[1:]}; expected {self._shape}, as in fit"
            )
        inputs = torch.split(torch.as_tensor(self._prepared(examples)), 256)
        with evaluating(self.network_):
            found = [self.network_(part.to(device)).softmax(1).cpu() for part in inputs]
        return np.asarray(torch.cat(found))

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the labels (n,) of examples (n, ...)."""
        best = self.predict_proba(X).argmax(1)
        return np.asarray(self.classes_[best])

    def _held(self, counts: NDArray[Any]) -> int:
        """Return how many examples are held out, where each class has ``counts`` of them."""
        if not 0 < self.validation < 1:
            raise ConfigError(
                f"validation {self.validation} must be a share of the examples, above 0 and below 1"
            )
        classes, examples = len(counts), int(counts.sum())
        return min(max(math.ceil(self.validation * examples), classes), examples - classes)

    def _record_columns(self, given: ArrayLike) -> None:
        names = _names_in(given)
        if names is not None:
            self.feature_names_in_ = names
        elif hasattr(self, "feature_names_in_"):  # of an earlier fit
            del self.feature_names_in_

    def _check_columns(self, given: ArrayLike) -> None:
        """Raise DataError if a table has not the columns of that in fit, in their order."""
        names, known = _names_in(given), getattr(self, "feature_names_in_", None)
        if names is None or known is None:
            return
        for place, (name, wanted) in enumerate(zip(names, known, strict=False), 1):
            if name != wanted:
                raise DataError(
                    f"column {place} of X is {name!r}; expected {wanted!r}, as in fit: "
                    "X[model.feature_names_in_] brings the columns into order"
                )

    def _prepared(self, examples: NDArray[np.float32]) -> NDArray[np.float32]:
        scaled = ((examples - self._mean) / self._deviation).astype(np.float32)
        return np.asarray(scaled[:, :, None, None] if scaled.ndim == 2 else scaled)

    def _network(self) -> Network:
        size = 1 if len(self._shape) == 1 else self._shape[1]
        own: dict[str, Any] = {"depth": self.depth, "width": self.width, "image_size": size}
        own |= {"classes": len(self.classes_), "channels": self._shape[0]}
        own["connectivity"] = "residual" if self.connectivity is None else self.connectivity
        if len(self._shape) == 1:
            return MLP(**own)
        fitting = (side for side in (8, 4, 2) if size % side == 0 and size // side >= 4)
        return Mixer(**own, patch_size=self.patch_size or next(fitting, 1))


def _seed(state: int | np.random.RandomState | None) -> int:
    if isinstance(state, int | np.integer):
        return int(state)
    return int(check_random_state(state).randint(2**31))


def _names_in(given: ArrayLike) -> NDArray[Any] | None:
    """Return the names of a table's columns; None if they have none."""
    names = list(getattr(given, "columns", []))
    named = names and all(isinstance(name, str) for name in names)
    return np.array(names, dtype=object) if named else None


def _checked(given: ArrayLike) -> NDArray[np.float32]:
    """Return features (n, d) or pictures (n, C, H, H) as finite float32."""
    examples = check_array(given, dtype=np.float32, allow_nd=True)
    if examples.ndim == 2:
        return np.asarray(examples)
    if examples.ndim > 4 or examples.shape[1] != examples.shape[2]:
        raise DataError(
            f"X has the shape {examples.shape}; expected squares (n, h, h) or (n, h, h, c) as "
            "pictures, or features (n, d)"
        )
    pictures = examples[:, None] if examples.ndim == 3 else examples.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(pictures)
