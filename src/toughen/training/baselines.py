"""Simple models on the same rows, which say what fine-tuning has to beat: the majority, words, frozen features."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import hstack

from toughen.arrays import Floats
from toughen.tasks import TaskName

GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Inverse strengths of the penalty that are tried on standardised features."""
WORDS_GRID = (1.0, 10.0, 100.0)
"""The same on TF-IDF."""
FOLDS = 3
_TINY = 1e-12
# Thai, Lao, Burmese, Khmer, kana and ideographs: scripts that put no space between words.
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_LETTER = re.compile(r"[^\W\d_]")

Matrix = Any
"""Features [N, D], dense or sparse."""


@dataclass(frozen=True)
class Fitted:
    """A linear model of the task's kind.

    Attributes:
        task: what a label is.
        classes: outputs, C or K.
        models: one, or of several labels one each.
        scale: what standardises the features, or None.
        losses: [N] of each training row under a model that did not see it; [0] where there were too few to divide.
        strength: of the penalty, chosen by these losses.
    """

    task: TaskName
    classes: int
    models: Sequence[Any]
    scale: Any
    losses: Floats
    strength: float

    def outputs(self, x: Matrix) -> Floats:
        """Return what a classifier of the task returns for features [N, D]: probabilities [N, C], or values [N]."""
        return _outputs(self.task, self.models, self.classes, x if self.scale is None else self.scale.transform(x))


def majority(task: TaskName, y: NDArray[Any], rows: int, classes: int) -> Floats:
    """Return the answer that does not read: the training labels' rates [rows, C], or their mean [rows]."""
    if task == "regression":
        return np.full(rows, float(np.mean(y)))
    rates = np.mean(y, axis=0) if task == "multi-label" else np.bincount(y, minlength=classes) / len(y)
    return np.tile(rates, (rows, 1))


def fit_linear(task: TaskName, x: Matrix, y: NDArray[Any], classes: int, grid: Sequence[float], seed: int) -> Fitted:
    """Fit logistic (of a number: ridge) regression, its penalty chosen by cross-validation on the same rows.

    Args:
        task: what a label is.
        x: features [N, D]; dense ones are standardised.
        y: class ids [N], 0 and 1 [N, K], or numbers [N].
        classes: C or K.
        grid: inverse strengths of the penalty; the first of equals is taken.
        seed: of the division into folds.
    """
    rows = x.shape[0]
    folds = _folds(task, y, seed)
    losses = {strength: np.zeros(rows) for strength in grid} if folds else {}
    for learn, held in folds:
        scale, part = _standardise(x[learn])
        held_x = x[held] if scale is None else scale.transform(x[held])
        for strength in grid:
            models = _models(task, part, y[learn], classes, strength)
            losses[strength][held] = row_losses(task, _outputs(task, models, classes, held_x), y[held])
    strength = min(losses, key=lambda s: losses[s].mean()) if losses else grid[len(grid) // 2]
    scale, whole = _standardise(x)
    models = _models(task, whole, y, classes, strength)
    return Fitted(task, classes, models, scale, losses.get(strength, np.zeros(0)), strength)


def row_losses(task: TaskName, outputs: Floats, y: NDArray[Any]) -> Floats:
    """Return the loss of each row [N]: log loss in nats (the mean of several labels), or a number's squared error."""
    if task == "regression":
        return np.asarray((outputs - y) ** 2, np.float64)
    p = np.clip(outputs, _TINY, 1.0)
    if task == "multi-label":
        return np.asarray(-(y * np.log(p) + (1 - y) * np.log(np.clip(1 - outputs, _TINY, 1.0))).mean(1))
    return np.asarray(-np.log(p[np.arange(len(y)), y]))


def word_features(train: Any, others: Sequence[Any]) -> tuple[Matrix, list[Matrix]]:
    """Return TF-IDF of words and pairs of words, of the first and of the second texts side by side.

    Of texts in a script without spaces it is TF-IDF of one to three characters. A pair adds the product of both texts'
    features: the words that they share, which no sum over either shows.

    Args:
        train: the rows (``text``, and ``text_pair`` of pairs) that the words and their weights are taken from.
        others: rows of which features are wanted too.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    columns = [name for name in ("text", "text_pair") if name in train.column_names]
    texts = [text for name in columns for text in train[name][:]]
    if _is_unspaced(texts):
        vectors = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True)
    else:
        vectors = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\w+|[^\w\s]")
    vectors.fit(texts)

    def features(rows: Any) -> Matrix:
        parts = [vectors.transform(rows[name][:]) for name in columns]
        return parts[0] if len(parts) == 1 else hstack([*parts, parts[0].multiply(parts[1])], format="csr")

    return features(train), [features(rows) for rows in others]


def _is_unspaced(texts: Sequence[str], looked_at: int = 1000) -> bool:
    text = " ".join(texts[:looked_at])
    return len(_UNSPACED.findall(text)) > 0.3 * max(len(_LETTER.findall(text)), 1)


def _folds(task: TaskName, y: NDArray[Any], seed: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Divide the rows, each class alike where a text has one; none where there are too few."""
    from sklearn.model_selection import KFold, StratifiedKFold

    if task == "single-label":
        least = int(np.bincount(y)[np.unique(y)].min())
        if len(np.unique(y)) < 2 or least < 2:
            return []
        return list(StratifiedKFold(min(FOLDS, least), shuffle=True, random_state=seed).split(np.zeros(len(y)), y))
    return list(KFold(FOLDS, shuffle=True, random_state=seed).split(y)) if len(y) >= 2 * FOLDS else []


def _standardise(x: Matrix) -> tuple[Any, Matrix]:
    """Return what standardises dense features, and them; sparse ones stay."""
    from sklearn.preprocessing import StandardScaler

    if not isinstance(x, np.ndarray):
        return None, x
    scale = StandardScaler().fit(x)
    return scale, scale.transform(x)


def _models(task: TaskName, x: Matrix, y: NDArray[Any], classes: int, strength: float) -> list[Any]:
    from sklearn.linear_model import Ridge

    if task == "regression":
        return [Ridge(alpha=1 / strength).fit(x, y)]
    if task == "multi-label":
        return [_logistic(x, column.astype(np.int64), 2, strength) for column in y.T]
    return [_logistic(x, y, classes, strength)]


def _logistic(x: Matrix, y: NDArray[np.int64], classes: int, strength: float) -> Any:
    """Fit one logistic regression; of labels that are all alike it is that label's row of probabilities [classes]."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(y)) == 1:
        return np.eye(classes)[y[0]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a baseline need not be fitted to the last digit
        return LogisticRegression(C=strength, max_iter=200, tol=1e-3).fit(x, y)


def _outputs(task: TaskName, models: Sequence[Any], classes: int, x: Matrix) -> Floats:
    if task == "regression":
        return np.asarray(models[0].predict(x), np.float64)
    if task == "multi-label":
        return np.column_stack([_probabilities(model, x, 2)[:, 1] for model in models])
    return _probabilities(models[0], x, classes)


def _probabilities(model: Any, x: Matrix, classes: int) -> Floats:
    """Return [N, classes], 0 where the model never saw a class."""
    if isinstance(model, np.ndarray):
        return np.tile(model, (x.shape[0], 1))
    found = np.zeros((x.shape[0], classes))
    found[:, model.classes_] = model.predict_proba(x)
    return found
