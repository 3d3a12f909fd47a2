"""Entities: hand-read tags, seqeval's entities and scores on thousands of random sequences, and undefined scores."""

import random
import warnings

import numpy as np
import pytest

from toughen.assess.entities import entity_metrics
from toughen.assess.metrics import task_metrics
from toughen.classifier.tags import Entity, find_entities

IOB = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
IOBES = [*IOB, "E-PER", "S-PER", "E-LOC", "S-LOC"]
ODD = ["O", "B", "I", "E", "S", "B-PER", "I-PER", "I-PER-SUB", "U-PER", "L-PER", "X", "."]

BY_HAND = [
    ("", []),
    ("O O", []),
    ("B-PER I-PER O B-LOC", [("PER", 0, 2), ("LOC", 3, 4)]),
    ("B-PER B-PER", [("PER", 0, 1), ("PER", 1, 2)]),  # IOB2: two neighbours
    ("I-PER I-PER B-PER I-PER", [("PER", 0, 2), ("PER", 2, 4)]),  # IOB1: B only between neighbours
    ("I-PER E-PER I-PER E-PER", [("PER", 0, 2), ("PER", 2, 4)]),  # IOE
    ("S-PER B-LOC I-LOC E-LOC S-LOC", [("PER", 0, 1), ("LOC", 1, 4), ("LOC", 4, 5)]),  # IOBES
    ("O I-PER", [("PER", 1, 2)]),  # broken: no beginning
    ("B-PER I-LOC I-LOC", [("PER", 0, 1), ("LOC", 1, 3)]),  # broken: the type changes
    ("B I O", [("_", 0, 2)]),  # no types
    ("B-a-b I-a-b", [("a-b", 0, 2)]),  # a hyphen within the type
]


@pytest.mark.parametrize(("tags", "expected"), BY_HAND)
def test_entities_by_hand(tags, expected):
    assert find_entities(tags.split()) == [Entity(*entity) for entity in expected]


@pytest.mark.parametrize("tags", [IOB, IOBES, ODD], ids=["IOB", "IOBES", "odd"])
def test_entities_are_seqevals(tags):
    """5,000 random sequences a scheme, most of them broken; seqeval's ends are inclusive."""
    labeling = pytest.importorskip("seqeval.metrics.sequence_labeling", reason="needs seqeval, the reference")
    rng = random.Random(0)
    found = 0
    for _ in range(5000):
        sequence = rng.choices(tags, k=rng.randint(0, 12))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = labeling.get_entities(sequence)
        ours = find_entities(sequence)
        assert [(e.type, e.start, e.end - 1) for e in ours] == theirs, sequence
        found += len(ours)
    assert found > 10_000


@pytest.mark.parametrize("names", [IOB, IOBES], ids=["IOB", "IOBES"])
def test_scores_are_seqevals(names):
    """300 random corpora of 1 to 8 sentences: micro averages, F1 per type and the accuracy of words."""
    seqeval = pytest.importorskip("seqeval.metrics", reason="needs seqeval, the reference")
    rng = np.random.default_rng(0)
    compared = 0
    for _ in range(300):
        labels, probabilities = corpus(rng, len(names))
        scores = entity_metrics(probabilities, labels, names)
        truth = [[names[i] for i in row] for row in labels]
        guess = [[names[i] for i in p.argmax(1)] for p in probabilities]
        assert scores["accuracy"] == pytest.approx(seqeval.accuracy_score(truth, guess))
        for name in ("f1", "precision", "recall"):
            if scores[name] is not None:
                theirs = getattr(seqeval, f"{name}_score")(truth, guess, zero_division=0)
                assert scores[name] == pytest.approx(theirs), name
                compared += 1
        types = sorted({e.type for row in truth + guess for e in find_entities(row)})
        per_type = seqeval.f1_score(truth, guess, average=None, zero_division=0) if types else []
        assert [scores[f"f1_{kind}"] for kind in types] == pytest.approx(list(per_type))
    assert compared > 600


def corpus(rng, classes):
    """Labels, and probabilities that are right about every other word."""
    labels = [rng.integers(classes, size=rng.integers(1, 9)) for _ in range(rng.integers(1, 9))]
    right = [rng.random(len(row))[:, None] < 0.5 for row in labels]
    noise = [rng.dirichlet(np.ones(classes), size=len(row)) for row in labels]
    sure = [np.where(r, np.eye(classes)[row], p) for r, row, p in zip(right, labels, noise, strict=True)]
    return [row.tolist() for row in labels], sure


def probabilities_of(tags, names=IOB):
    return [np.eye(len(names))[[names.index(tag) for tag in row.split()]] for row in tags]


def ids_of(tags, names=IOB):
    return [[names.index(tag) for tag in row.split()] for row in tags]


def test_scores_by_hand():
    """Labelled: PER(0-1), LOC(3), PER. Predicted: PER(0) too short, LOC(3) right, PER right, LOC too many."""
    truth = ["B-PER I-PER O B-LOC", "B-PER O"]
    guess = ["B-PER O O B-LOC", "B-PER B-LOC"]
    scores = task_metrics("tokens", probabilities_of(guess), ids_of(truth), IOB)
    expected = {
        "f1": 2 * 2 / (4 + 3),
        "precision": 2 / 4,
        "recall": 2 / 3,
        "accuracy": 4 / 6,
        "f1_LOC": 2 * 1 / (2 + 1),
        "f1_PER": 2 * 1 / (2 + 2),
        "n": 2,
    }
    assert scores.pop("undefined") == {}
    assert scores == pytest.approx(expected)


def test_an_entity_ends_with_its_sentence():
    """I-PER at the start of the next sentence is another entity."""
    truth = ["B-PER", "I-PER"]
    assert entity_metrics(probabilities_of(truth), ids_of(truth), IOB)["f1"] == 1
    assert entity_metrics(probabilities_of(["B-PER", "O"]), ids_of(truth), IOB)["recall"] == 0.5


UNDEFINED = [
    (["O"], ["B-PER"], {"precision", "f1_LOC"}, "no entity was predicted"),
    (["B-PER"], ["O"], {"recall", "f1_LOC"}, "the labels have no entity"),
    (["O"], ["O"], {"f1", "precision", "recall", "f1_LOC", "f1_PER"}, "no entity of type 'LOC' and none was predicted"),
    ([""], [""], {"f1", "precision", "recall", "f1_LOC", "f1_PER", "accuracy"}, "the texts have no words"),
    ([], [], {"f1", "precision", "recall", "f1_LOC", "f1_PER", "accuracy"}, "there are no examples"),
]


@pytest.mark.parametrize(("guess", "truth", "names", "reason"), UNDEFINED)
def test_undefined_is_none_with_a_sentence_and_the_rest_is_a_number(guess, truth, names, reason):
    scores = entity_metrics(probabilities_of(guess), ids_of(truth), IOB)
    undefined = scores.pop("undefined")
    assert set(undefined) == names
    assert {name for name, value in scores.items() if value is None} == names
    assert any(reason in sentence for sentence in undefined.values())


def test_tags_that_are_no_entity_tags_have_an_accuracy_alone():
    scores = entity_metrics([np.eye(2)], [[0, 0]], ["NOUN", "VERB"])
    assert scores["accuracy"] == 0.5
    assert "the tags name no entities" in scores["undefined"]["f1"]


@pytest.mark.parametrize(
    ("p", "y", "message"),
    [
        ([np.eye(5)], [], "1 texts of probabilities"),
        ([np.eye(5)], [[0, 1]], "text 0 has 2 tags"),
        ([np.eye(3)], [[0, 1, 2]], "text 0 has 3 tags of 5 kinds"),
        ([np.eye(5)], [[0, 1, 2, 3, -100]], "tag ids must lie in 0..4"),
    ],
)
def test_misuse_is_refused(p, y, message):
    with pytest.raises(ValueError, match=message):
        entity_metrics(p, y, IOB)


def test_non_finite_probabilities_blame_the_model():
    with pytest.raises(RuntimeError, match="non-finite outputs for 1 of 2 examples"):
        entity_metrics([np.eye(5), np.eye(5) * np.nan], [[0] * 5] * 2, IOB)


def test_tokens_are_scored_by_name():
    with pytest.raises(ValueError, match="give label_names"):
        task_metrics("tokens", [np.eye(2)], [[0, 1]])
