"""Slices partition the texts, mistakes are the worst ones, confusion counts every answer."""

import numpy as np
import pytest

from saved_models import NAMES, dataset
from toughen.assess.confusion import confusion
from toughen.assess.mistakes import worst_mistakes
from toughen.assess.slices import Scorable, slices
from toughen.errors import InputError

RNG = np.random.default_rng(1)
N = 80


def scored(task="single-label", thresholds=None, **columns) -> Scorable:
    """Random outputs of a task for texts of 1 to 20 words."""
    words = [["word"] * int(n) for n in RNG.integers(1, 21, size=N)]
    texts = words if task == "tokens" else [" ".join(row) for row in words]
    k = len(NAMES[task])
    labels = {
        "single-label": RNG.integers(k, size=N).tolist(),
        "multi-label": (RNG.random((N, k)) < 0.4).astype(float).tolist(),
        "regression": RNG.normal(size=N).tolist(),
        "tokens": [RNG.integers(k, size=len(row)).tolist() for row in words],
    }[task]
    outputs = {
        "single-label": lambda: RNG.dirichlet(np.ones(k), N),
        "multi-label": lambda: RNG.random((N, k)),
        "regression": lambda: RNG.normal(size=N),
        "tokens": lambda: [RNG.dirichlet(np.ones(k), len(row)) for row in words],
    }[task]()
    made = Scorable.of(task, NAMES[task], thresholds, dataset(texts, label=labels, row=list(range(N))), outputs)
    return Scorable(**{name: getattr(made, name) for name in made.__dataclass_fields__} | {"columns": columns})


@pytest.mark.parametrize("task", NAMES)
def test_quarters_of_length_hold_every_text_once(task):
    data = scored(task)
    parts = [one for one in slices(data, samples=20, seed=0) if one["by"] == "length"]
    assert sum(one["n"] for one in parts) == N
    assert 3 <= len(parts) <= 4
    assert all(set(one["metrics"]) == set(one["intervals"]) for one in parts)
    assert parts[0]["name"].startswith("1 to ")


def test_a_slice_by_label_is_the_recall_of_that_label():
    data = scored()
    for one in slices(data, samples=20, seed=0):
        if one["by"] == "label":
            own = [said == truth for said, truth in zip(data.said, data.truth, strict=True) if truth == one["name"]]
            assert one["metrics"]["accuracy"] == pytest.approx(np.mean(own))
            low, high = one["intervals"]["accuracy"]
            assert low < np.mean(own) < high
            assert one["metrics"]["f1"] is None


def test_several_labels_are_sliced_by_each_and_numbers_by_quarters():
    several, number = scored("multi-label"), scored("regression")
    found = {one["name"]: one["n"] for one in slices(several, samples=5, seed=0) if one["by"] == "label"}
    assert found == {name: sum(name in labels for labels in several.truth) for name in NAMES["multi-label"]}
    assert sum(one["n"] for one in slices(number, samples=5, seed=0) if one["by"] == "label") == N
    assert not [one for one in slices(scored("tokens"), samples=5, seed=0) if one["by"] == "label"]


def test_columns_and_filters_choose_their_rows():
    few = ["shop"] * 50 + ["film"] * 20 + [None] * 10
    data = scored(source=few, number=np.arange(N).tolist(), word=[f"w{i}" for i in range(N)])
    found = slices(data, ["source", "number", "word", "late: number >= 60 and source = film"], samples=5, seed=0)
    by = {one["by"]: {} for one in found}
    for one in found:
        by[one["by"]][one["name"]] = one
    assert {name: one["n"] for name, one in by["source"].items()} == {"shop": 50, "film": 20, "(missing)": 10}
    assert [one["small"] for one in by["source"].values()] == [False, True, True]
    assert [one["n"] for one in by["number"].values()] == [19, 20, 20, 21]
    assert len(by["word"]) == 21
    assert by["word"]["(other)"]["n"] == 60
    late = by["filter"]["late"]
    assert late["n"] == 10
    right = [a == b for a, b in zip(data.said, data.truth, strict=True)][60:70]
    assert late["metrics"]["accuracy"] == pytest.approx(np.mean(right))


def test_a_filter_may_choose_nothing_and_a_missing_field_is_refused():
    data = scored()
    (one,) = [s for s in slices(data, ["none: length > 999"], samples=5, seed=0) if s["by"] == "filter"]
    assert (one["n"], one["small"], set(one["metrics"].values())) == (0, True, {None})
    with pytest.raises(InputError, match="the data have no 'stars'; there is 'text', 'label', 'prediction'"):
        slices(data, ["x: stars > 3"], samples=5, seed=0)
    sure = [s for s in slices(data, ["confidence > 0.8"], samples=5, seed=0) if s["by"] == "filter"]
    assert sure[0]["n"] == int((data.confidence > 0.8).sum()) > 0


@pytest.mark.parametrize("task", NAMES)
def test_mistakes_are_wrong_and_worst_first(task):
    data = scored(task)
    found = worst_mistakes(data, 10)
    scores = [one["score"] for one in found]
    assert scores == sorted(scores, reverse=True)
    assert len(found) == 10
    for one in found:
        assert one["label"] != one["prediction"]
        assert data.rows[one["row"]]["text"] == one["text"]
        if task == "tokens":
            assert one["label"][one["word"]] != one["prediction"][one["word"]]
        if task == "multi-label":
            assert (one["wrong_label"] in one["label"]) != (one["wrong_label"] in one["prediction"])
    everything = worst_mistakes(data, N)
    assert everything[:10] == found
    assert len(everything) == sum(said != truth for said, truth in zip(data.said, data.truth, strict=True))


def test_confusion_counts_every_answer():
    data = scored("single-label", thresholds=(0.9,))
    matrix = np.array(confusion("single-label", data)["matrix"])
    assert matrix.sum() == N
    assert matrix[1, 0] == sum(t == "positive" and s == "negative" for t, s in zip(data.truth, data.said, strict=True))
    assert matrix[:, 1].sum() == int((np.asarray(data.outputs)[:, 1] >= 0.9).sum())


def test_confusion_of_words_has_a_row_per_true_tag():
    data = scored("tokens")
    matrix = np.zeros((3, 3), dtype=int)
    for truth, said in zip(data.truth, data.said, strict=True):
        for a, b in zip(truth, said, strict=True):
            matrix[data.names.index(a), data.names.index(b)] += 1
    assert confusion("tokens", data)["matrix"] == matrix.tolist() != matrix.T.tolist()


def test_confusion_of_several_labels_tells_the_two_errors_apart():
    data = scored("multi-label")
    found = confusion("multi-label", data)["per_label"]
    assert any(counts["false_positive"] != counts["false_negative"] for counts in found.values()), "canary"
    for name, counts in found.items():
        pairs = [(name in truth, name in said) for truth, said in zip(data.truth, data.said, strict=True)]
        wanted = {(True, True): "true", (False, True): "false", (True, False): "false", (False, False): "true"}
        assert counts == {
            f"{right}_{'positive' if said else 'negative'}": pairs.count((truth, said))
            for (truth, said), right in wanted.items()
        }
