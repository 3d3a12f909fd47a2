"""What a model must beat: majority, TF-IDF with logistic regression, TF-IDF similarity, each word's commonest tag.

Each takes the splits (train, validation, test as data frames) and the label column, and returns test metrics.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import numpy as np

from toughen.assess.metrics import task_metrics
from toughen.assess.thresholds import tune_thresholds


def majority(splits: dict[str, Any], label: str) -> dict[str, Any]:
    """Always answer the training rows' commonest class."""
    train, test = splits["train"][label].to_numpy(), splits["test"][label].to_numpy()
    classes = sorted(set(train.tolist()))
    answers = np.tile(np.eye(len(classes))[int(np.bincount(train).argmax())], (len(test), 1))
    return task_metrics("single-label", answers, test, [str(c) for c in classes])


def tfidf(splits: dict[str, Any], label: str, **how: Any) -> dict[str, Any]:
    """TF-IDF of words and pairs of words, logistic regression."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    settings = {"ngram_range": (1, 2), "sublinear_tf": True} | how
    model = make_pipeline(TfidfVectorizer(**settings), LogisticRegression(C=10, max_iter=1000))
    model.fit(splits["train"]["text"], splits["train"][label])
    names = [str(c) for c in model.classes_]
    return task_metrics("single-label", model.predict_proba(splits["test"]["text"]), splits["test"][label], names)


def tfidf_characters(splits: dict[str, Any], label: str) -> dict[str, Any]:
    """TF-IDF of one to three characters: Chinese has no spaces."""
    return tfidf(splits, label, analyzer="char", ngram_range=(1, 3))


def tfidf_multilabel(splits: dict[str, Any], label: str) -> dict[str, Any]:
    """TF-IDF, a logistic regression per label, thresholds tuned on validation."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.pipeline import make_pipeline

    classes = 1 + max(max(row, default=0) for part in splits.values() for row in part[label])
    hot = {part: np.array([np.eye(classes)[row].sum(0) for row in rows[label]]) for part, rows in splits.items()}
    seen = np.flatnonzero(hot["train"].any(0))
    features = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    model = make_pipeline(features, OneVsRestClassifier(LogisticRegression(C=10, max_iter=1000)))
    model.fit(splits["train"]["text"], hot["train"][:, seen])
    found = {part: model.predict_proba(splits[part]["text"]) for part in ("validation", "test")}
    thresholds = tune_thresholds("multi-label", found["validation"], hot["validation"][:, seen])
    names = [str(c) for c in seen]
    return task_metrics("multi-label", found["test"], hot["test"][:, seen], names, thresholds)


def tfidf_similarity(splits: dict[str, Any], label: str) -> dict[str, Any]:
    """Cosine of the two sentences' TF-IDF, put on the labels' scale by least squares on train."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    features = TfidfVectorizer(sublinear_tf=True).fit([*splits["train"]["text_a"], *splits["train"]["text_b"]])

    def cosine(rows: Any) -> Any:
        product = features.transform(rows["text_a"]).multiply(features.transform(rows["text_b"]))
        return np.asarray(product.sum(1)).ravel()

    slope, offset = np.polyfit(cosine(splits["train"]), splits["train"][label], 1)
    return task_metrics("regression", slope * cosine(splits["test"]) + offset, splits["test"][label])


def commonest_tag(splits: dict[str, Any], label: str) -> dict[str, Any]:
    """Each word's commonest tag in train, the commonest of all for a new word."""
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for words, tags in zip(splits["train"]["tokens"], splits["train"][label], strict=True):
        for word, tag in zip(words, tags, strict=True):
            seen[word][tag] += 1
    overall = sum(seen.values(), Counter()).most_common(1)[0][0]
    names = sorted({tag for part in splits.values() for tags in part[label] for tag in tags})
    number = {name: i for i, name in enumerate(names)}
    answers = [
        np.eye(len(names))[[number[seen[w].most_common(1)[0][0] if w in seen else overall] for w in words]]
        for words in splits["test"]["tokens"]
    ]
    labels = [[number[tag] for tag in tags] for tags in splits["test"][label]]
    return task_metrics("tokens", answers, labels, names)
