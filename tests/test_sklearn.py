"""The classifier with scikit-learn's interface."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import autocompress as ac
from autocompress.errors import ConfigError, DataError, ShapeError

QUICK = {"depth": 3, "width": 16, "epochs": 12, "batch_size": 16, "tolerance": 0.05, "lr": 1e-2}


def test_features_with_labels_of_words() -> None:
    X, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    model = ac.CompressedClassifier(**QUICK).fit(X, names)
    assert list(model.classes_) == ["setosa", "versicolor", "virginica"]
    assert model.score(X, names) > 0.85
    assert model.predict_proba(X).shape == (150, 3)
    np.testing.assert_allclose(model.predict_proba(X[:5]).sum(1), 1, rtol=1e-5)
    assert (model.predict(X) == model.classes_[model.predict_proba(X).argmax(1)]).all()
    assert model.network_.depth == model.depth_ <= 3
    assert len(model.curve_.scores) == 4
    again = clone(model).fit(X, names)
    assert (again.predict_proba(X) == model.predict_proba(X)).all()
    with pytest.raises(ShapeError, match="expected"):
        model.predict(X[:, :3])


def test_columns_of_a_table_are_those_of_the_fit() -> None:
    """In another order each number would be taken for another feature."""
    X, y = load_iris(return_X_y=True, as_frame=True)
    model = ac.CompressedClassifier(**{**QUICK, "epochs": 1}).fit(X, y)
    assert list(model.feature_names_in_) == list(X.columns)
    moved = X[X.columns[::-1]]
    with pytest.raises(DataError, match=r"column 1 of X is 'petal width.*expected 'sepal l"):
        model.predict(moved)
    known = model.predict(X)
    assert (model.predict(moved[model.feature_names_in_]) == known).all()
    assert (model.predict(X.to_numpy()) == known).all()
    assert not hasattr(model.fit(X.to_numpy(), y), "feature_names_in_")
    assert (model.predict(X) == known).all()


def test_the_random_state_of_the_process_is_left_alone() -> None:
    """Bootstrap samples that are drawn between fits would otherwise all be the same."""
    X, y = load_iris(return_X_y=True)
    drawn = []
    for fits in (False, True):
        np.random.seed(1)
        random.seed(1)
        torch.manual_seed(1)
        if fits:
            ac.CompressedClassifier(**{**QUICK, "epochs": 1}).fit(X, y)
        drawn.append((np.random.rand(), random.random(), float(torch.rand(()))))
    assert drawn[0] == drawn[1]


def test_pictures_grey_and_in_colour() -> None:
    X, y = load_digits(return_X_y=True)
    pictures = X[:300].reshape(-1, 8, 8)
    model = ac.CompressedClassifier(**{**QUICK, "epochs": 4}).fit(pictures, y[:300])
    assert model.network_.model_name == "mixer"
    assert model.score(pictures, y[:300]) > 0.3
    colour = np.stack([pictures] * 3, -1).astype(np.uint8)
    model = ac.CompressedClassifier(**{**QUICK, "epochs": 1}, patch_size=4).fit(colour, y[:300])
    assert model.predict(colour[:2]).shape == (2,)


@pytest.mark.parametrize("level", [1013.2, 0.1])
def test_features_count_from_their_mean_in_units_of_their_spread(level: float) -> None:
    """Also those that are large, many, or constant in fit: the networks are the same."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 10_000)
    offsets = rng.integers(-2, 3, (10_000, 1)) / 4  # exact in float32, at each level
    X = np.float32(level) + np.hstack([offsets + y[:, None] / 4, np.zeros((10_000, 1))])
    model = ac.CompressedClassifier(depth=1, width=4, epochs=1, batch_size=1000).fit(X, y)
    plain = np.hstack([offsets + y[:, None] / 4, np.zeros((10_000, 1))])
    same = ac.CompressedClassifier(depth=1, width=4, epochs=1, batch_size=1000).fit(plain, y)
    other = np.array([[0.25, 0.5]])
    assert model.predict_proba(other + np.float32(level)) == pytest.approx(
        same.predict_proba(other), abs=1e-3
    )


def test_scikit_learn_can_search_and_cross_validate() -> None:
    X, y = load_iris(return_X_y=True)
    quick = ac.CompressedClassifier(**{**QUICK, "epochs": 2})
    assert len(cross_val_score(make_pipeline(StandardScaler(), quick), X, y, cv=2)) == 2
    search = GridSearchCV(quick, {"depth": [1, 2]}, cv=2).fit(X, y)
    assert search.best_params_["depth"] in (1, 2)
    assert quick.set_params(width=8).get_params()["width"] == 8


@pytest.mark.parametrize("share", [0.01, 0.2, 0.99])
def test_few_examples_of_many_classes(share: float) -> None:
    X, y = np.random.default_rng(0).normal(size=(60, 4)), np.arange(60) % 20
    quick = {**QUICK, "epochs": 1}
    model = ac.CompressedClassifier(**quick, validation=share).fit(X, y)
    assert model.predict_proba(X).shape == (60, 20)


def test_what_it_refuses() -> None:
    X, y = load_iris(return_X_y=True)
    for share in (0.0, 1.0, 5):
        with pytest.raises(ConfigError, match=f"validation {share} must be a share"):
            ac.CompressedClassifier(validation=share).fit(X, y)
    with pytest.raises(NotFittedError):
        ac.CompressedClassifier().predict(X)
    with pytest.raises(DataError, match="two classes"):
        ac.CompressedClassifier().fit(X[:50], y[:50])
    with pytest.raises(DataError, match="all labels are 0; at least"):
        ac.CompressedClassifier().fit(X[:50], y[:50])
    with pytest.raises(DataError, match="only one example has the label sole; each class needs"):
        ac.CompressedClassifier().fit(X[:50], ["sole", *["many"] * 49])
    with pytest.raises(DataError, match="expected squares"):
        ac.CompressedClassifier().fit(np.zeros((4, 3, 5)), [0, 1, 0, 1])
    with pytest.raises(ValueError, match="NaN"):
        ac.CompressedClassifier().fit(X * np.nan, y)
    with pytest.raises(ValueError, match="Unknown label type"):
        ac.CompressedClassifier().fit(X, y + 0.5)


def test_settings_and_arrays_without_ceremony() -> None:
    """``fit(net, (X, y), epochs=..)``, and data by their name."""
    X, y = load_digits(return_X_y=True)
    arrays = ((X / 16).reshape(-1, 1, 8, 8)[:200], y[:200])
    net = ac.models.MLP(depth=2, width=8, classes=10, image_size=8, channels=1)
    run = ac.fit(net, arrays, arrays, epochs=2, batch_size=50, progress=False)
    assert len(run.history) == 2
    assert ac.probe(net, arrays).scores == run.history[-1]["depths"]
    named = {"pixels": arrays[0], "labels": arrays[1]}
    assert ac.probe(net, named).scores == run.history[-1]["depths"]
    rows = [{"pixels": x, "label": int(n)} for x, n in zip(*arrays, strict=True)]
    assert ac.probe(net, rows).scores == run.history[-1]["depths"]
    assert ac.load_data("digits", train_limit=100, validation=0.5).sizes["train"] == 50
    with pytest.raises(ac.errors.UnknownNameError, match="did you mean 'epochs'"):
        ac.fit(net, arrays, epoch=2)
    with pytest.raises(ac.errors.UnknownNameError, match="did you mean 'image_size'"):
        ac.load_data("digits", img_size=2)
    with pytest.raises(DataError, match="200 and 199 rows"):
        ac.fit(net, (arrays[0], y[:199]), progress=False)
    with pytest.raises(DataError, match="return_inverse"):
        ac.fit(net, (arrays[0], np.array(["a"] * 200)), progress=False)


def test_labels_in_a_column_and_states_as_scikit_learn_takes_them() -> None:
    X, y = load_iris(return_X_y=True)
    quick = {**QUICK, "epochs": 1}
    model = ac.CompressedClassifier(**quick).fit(X, y)
    with pytest.warns(DataConversionWarning, match="column-vector"):
        column = ac.CompressedClassifier(**quick).fit(X, y[:, None])
    assert (column.predict_proba(X) == model.predict_proba(X)).all()
    states = (np.random.RandomState(seed) for seed in (1, 1, 2))
    a, b, c = (ac.CompressedClassifier(**quick, random_state=state).fit(X, y) for state in states)
    assert (a.predict_proba(X) == b.predict_proba(X)).all()
    assert (a.predict_proba(X) != c.predict_proba(X)).any()
    assert ac.CompressedClassifier(**quick, random_state=None).fit(X, y).depth_ <= 3
    with pytest.raises(ValueError, match="cannot be used to seed"):
        ac.CompressedClassifier(**quick, random_state="zero").fit(X, y)


def test_a_plain_module_is_told_what_to_do() -> None:
    import torch

    with pytest.raises(ac.errors.ConfigError, match=r"ac\.plan.*ac\.convert.*Network"):
        ac.fit(torch.nn.Sequential(torch.nn.Linear(2, 2)), ([[0.0]], [0]))  # type: ignore[arg-type]
