"""Texts unlike all others: far from their nearest neighbours among vectors of models that did not learn them."""

from __future__ import annotations

import numpy as np

from toughen.arrays import Floats, Ints

NEIGHBOURS = 10
FAR = 2.0
"""Modified z-score (Iglewicz and Hoaglin, "How to detect and handle outliers", 1993) above which a row is named."""


def outlier_scores(features: Floats, fold: Ints) -> Floats:
    """Return how far each row is from the nearest others of its fold, [N], as a modified z-score.

    The distance is the mean cosine distance to the `NEIGHBOURS` nearest; its logarithm is measured from the fold's
    median in units of 1.4826 times the median absolute deviation. Vectors of different models do not compare, so that
    each fold is a world of its own.

    Source: Sun et al., "Out-of-distribution detection with deep nearest neighbors" (2204.06507), without training rows.

    Args:
        features: [N, D].
        fold: [N] the model that made each row's vector.
    """
    from sklearn.neighbors import NearestNeighbors

    scores = np.zeros(len(fold))
    for number in np.unique(fold):
        rows = np.flatnonzero(fold == number)
        count = min(NEIGHBOURS, len(rows) - 1)
        if count < 1:
            continue
        x = features[rows]
        distances, _ = NearestNeighbors(n_neighbors=count, metric="cosine").fit(x).kneighbors()
        far = np.log(np.maximum(distances.mean(axis=1), 1e-9))
        spread = 1.4826 * np.median(np.abs(far - np.median(far)))
        scores[rows] = (far - np.median(far)) / max(spread, 1e-9)
    return scores
