"""Calibration written plainly, for tests to compare with."""

import numpy as np


def divided(log_probabilities, temperature):
    """Log-probabilities (n, k) divided by a temperature, that add up to 1 again."""
    scaled = np.maximum(np.asarray(log_probabilities, np.float64), -1e4) / temperature
    return scaled - np.logaddexp.reduce(scaled, axis=1, keepdims=True)


def expected_calibration_error(probabilities, label, bins=15):
    """Mean distance of confidence and share right over bins of equal width, closed on the left."""
    known = label >= 0
    sure, right = probabilities[known].max(axis=1), probabilities[known].argmax(axis=1) == label[known]
    place = np.minimum((sure.astype(np.float64) * bins).astype(int), bins - 1)
    gaps = [abs(sure[place == b].sum() - right[place == b].sum()) for b in range(bins)]
    return sum(gaps) / known.sum() if known.any() else float("nan")
