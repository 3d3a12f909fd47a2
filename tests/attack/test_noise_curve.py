"""The noise curve: scores, intervals and what is left out, on a model whose answer to noise is known."""

import json
from itertools import product

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest

from attack.bow import bag_of_words
from attack.test_corruptions import corrupt
from saved_models import save_classifier
from tiny import save_tiny_model
from toughen.assess.intervals import metric_intervals, metric_points, resampled_metrics
from toughen.attack import curve, noise_curve
from toughen.attack.noise.corruptions import GENERAL, SEVERITIES
from toughen.classifier.classifier import Classifier
from toughen.errors import InputError

WORDS = {"positive": (("good", "great", "superb"), ("nice", "fine")), "negative": (("poor", "awful"), ("dull", "weak"))}
ROWS = [
    (f"{one} {two} and the {thing} was {one}", label)
    for label, (first, second) in WORDS.items()
    for one, two, thing in product(first, second, ("film", "book", "meal"))
]


class Sharp:
    """Right about every clean text, wrong about every changed one; counts what it is asked."""

    label_names = ("negative", "positive")

    def __init__(self):
        self.truth = dict(ROWS)
        self.asked = []

    def probabilities(self, dataset, *, batch_size=64):
        texts = list(dataset["text"])
        self.asked += texts
        positive = np.array([self.truth.get(text) == "positive" for text in texts], dtype=float)
        unknown = np.array([text not in self.truth for text in texts])
        positive = np.where(unknown, 0.0, positive)
        return np.stack([1 - positive, positive], axis=1)


def test_each_point_is_the_accuracy_on_the_corrupted_texts():
    result = noise_curve(Sharp(), ROWS, seed=2, samples=200)
    assert result.clean.value == 1
    assert [(p.corruption, p.severity) for p in result.points] == [(c.name, s) for c in GENERAL for s in SEVERITIES]
    labels = np.array([label == "positive" for _, label in ROWS], dtype=int)
    for point in result.points:
        noisy = corrupt([text for text, _ in ROWS], point.corruption, severity=point.severity, seed=2)
        differs = np.array([new != text for new, (text, _) in zip(noisy, ROWS, strict=True)])
        right = ~differs | (labels == 0)
        assert point.changed == pytest.approx(differs.mean())
        assert point.value == pytest.approx(right.mean())
        answers = np.stack([1 - right * labels, right * labels], axis=1)
        by_hand = metric_intervals("single-label", answers, labels, metrics=["accuracy"], samples=200, seed=2)
        assert point.interval == by_hand["accuracy"]
    assert min(point.value for point in result.points) < 0.6, "the noise does bite"


def test_means_are_over_the_corruptions_and_fall_with_severity():
    result = noise_curve(Sharp(), ROWS, corruptions=["swap", "keyboard"], samples=500)
    for mean in result.means:
        own = [p.value for p in result.points if p.severity == mean.severity]
        assert mean.value == pytest.approx(np.mean(own))
        low, high = mean.interval
        assert low <= mean.value <= high
    values = [mean.value for mean in result.means]
    assert values == sorted(values, reverse=True)
    assert values[0] > values[-1]


def test_unchanged_texts_are_not_run_again():
    model = Sharp()
    noise_curve(model, ROWS, corruptions=["contraction"])
    assert len(model.asked) == len(ROWS)


def test_printing_saving_and_json(tmp_path):
    result = noise_curve(bag_of_words(), ROWS, corruptions=["swap"], limit=10, seed=5)
    found = json.loads(json.dumps(result.as_dict()))
    assert [point["corruption"] for point in found["points"]] == ["clean", *["mean"] * 5, *["swap"] * 5]
    assert found["n"] == 10
    assert len(result.rows()[0]) == 7
    result.save(tmp_path / "noise.parquet")
    rows = pq.read_table(tmp_path / "noise.parquet").to_pylist()
    assert rows
    for row in rows:
        assert row["text"] == ROWS[row["row"]][0]
        assert corrupt([row["text"]], "swap", severity=row["severity"], seed=5) == [row["noisy"]] != [row["text"]]


def test_the_language_of_the_texts_chooses_the_corruptions(monkeypatch):
    rows = [("这个很好", "positive"), ("服务不好", "negative")]
    monkeypatch.setattr(curve, "find_spec", lambda name: None)
    result = noise_curve(bag_of_words(), rows)
    assert {p.corruption for p in result.points} == {"zh-visual", "zh-variant", "zh-symbol"}
    assert result.left_out == ("zh-homophone",)


def test_a_users_misspellings_are_used():
    lists = {"superb": ["suberp"], "great": ["graet"], "good": ["gud"], "poor": ["pore"], "awful": ["offal"]}
    result = noise_curve(Sharp(), ROWS, corruptions=["misspelling"], misspellings=lists)
    plain = noise_curve(Sharp(), ROWS, corruptions=["misspelling"])
    assert result.points[-1].changed > plain.points[-1].changed


@pytest.mark.parametrize("task", ["multi-label", "regression"])
def test_other_tasks(task, tmp_path):
    folder = save_classifier(save_tiny_model(tmp_path / "base"), tmp_path / "model", task)
    labels = [[1.0, 0.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, 0.0]] if task == "multi-label" else [0.5, 1.5, 4.0]
    texts = ["a very good film", "awful room and cold meal", "the book was fine"]
    data = datasets.Dataset.from_dict({"text": texts, "label": labels, "row": [0, 1, 2]})
    result = noise_curve(Classifier.load(folder), data, corruptions=["drop"], samples=20)
    assert result.metric == ("accuracy" if task == "multi-label" else "pearson")
    assert None not in [mean.interval for mean in result.means]


def test_every_metric_of_evaluate_can_be_asked_for(tmp_path):
    folder = save_classifier(save_tiny_model(tmp_path / "base"), tmp_path / "model", "single-label")
    classifier = Classifier.load(folder)
    labels = [int(label == "positive") for _, label in ROWS]
    data = datasets.Dataset.from_dict({"text": [text for text, _ in ROWS], "label": labels, "row": range(len(ROWS))})
    outputs = classifier.outputs(data)
    points = metric_points("single-label", outputs, labels, classifier.label_names)
    for metric in resampled_metrics("single-label", classifier.label_names):
        result = noise_curve(classifier, data, metric=metric, corruptions=["drop"], samples=20)
        by_hand = metric_intervals("single-label", outputs, labels, metrics=[metric], samples=20)
        assert (result.metric, result.clean.value) == (metric, pytest.approx(points[metric]))
        assert result.clean.interval == pytest.approx(by_hand[metric])
        for mean, point in zip(result.means, result.points, strict=True):
            assert mean.interval == point.interval, "one corruption is its own mean"
    with pytest.raises(InputError, match=r"--metric must be one of accuracy, f1, .* for single-label, got 'bleu'"):
        noise_curve(classifier, data, metric="bleu")


def test_pairs_are_corrupted_on_both_sides():
    texts = {"text": ["wonderful " * 9], "text_pair": ["horrible " * 9], "label": [1], "row": [0]}
    seen = []

    class Pairs:
        label_names = ("no", "yes")

        def probabilities(self, dataset, *, batch_size=64):
            seen.extend(zip(dataset["text"], dataset["text_pair"], strict=True))
            return np.full((len(dataset), 2), 0.5)

    noise_curve(Pairs(), datasets.Dataset.from_dict(texts), corruptions=["swap"])
    assert all(one != texts["text"][0] and two != texts["text_pair"][0] for one, two in seen[3:])


def test_tags_and_unknown_names_are_refused():
    class Tagger(Sharp):
        task = "tokens"

    with pytest.raises(InputError, match="no noise for tokens"):
        noise_curve(Tagger(), ROWS)
    with pytest.raises(InputError, match="corruption must be one of"):
        noise_curve(Sharp(), ROWS, corruptions=["rain"])
