"""Prediction: names and probabilities from a network and a file or a text."""

from autocompress.predict.answers import Guess, Prediction, Predictions
from autocompress.predict.predictor import Predictor

__all__ = ["Guess", "Prediction", "Predictions", "Predictor"]
