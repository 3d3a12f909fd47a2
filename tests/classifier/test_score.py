"""A saved classifier of every task: its outputs are the model's own, its answers follow them, its scores are theirs."""

import logging
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
import torch

from saved_models import NAMES, TAGS, TEXTS, dataset
from tiny import NEGATIVE, NEUTRAL, POSITIVE
from toughen.assess.metrics import score, task_metrics
from toughen.classifier.classifier import Classifier
from toughen.errors import InputError

load = Classifier.load


def logits(classifier, *text, words=False):
    """Run the model on one text by itself: no batch, no padding."""
    batch = classifier.tokenizer(*text, return_tensors="pt", is_split_into_words=words)
    with torch.inference_mode():
        return classifier.model(**batch.to(classifier.model.device)).logits[0].double().cpu()


# ---------------------------------------------------------------- outputs


def test_freed_memory_is_kept_over_many_batches_and_not_for_a_few(saved, monkeypatch):
    """A service's request is a batch: giving memory back after each would cost more than keeping it saves."""
    asked, classifier = [], load(saved("single-label"))
    monkeypatch.setattr(
        "toughen.classifier.classifier.freed_memory_kept", lambda wanted: asked.append(wanted) or nullcontext()
    )
    texts = dataset([TEXTS[0]] * 5)
    for batch_size in (1, 2):
        classifier.outputs(texts, batch_size=batch_size)
    assert asked == [True, False]


@pytest.mark.parametrize("task", NAMES)
def test_where_the_memory_runs_out_a_batch_goes_through_in_halves_to_the_same_outputs(saved, task, caplog):
    classifier, texts = load(saved(task)), dataset(TEXTS)
    whole = classifier.outputs(texts)
    forward = classifier.model.forward

    def short_of_memory(input_ids=None, **named):
        if len(input_ids) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return forward(input_ids=input_ids, **named)

    classifier.model.forward = short_of_memory
    with caplog.at_level(logging.WARNING, "toughen"):
        halved = classifier.outputs(texts)
    for ours, theirs in zip(halved, whole, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    assert [record.args for record in caplog.records] == [(4, 2), (2, 1)]


def test_outputs_are_the_models_own_text_by_text(saved):
    """Batches, order and padding change nothing beyond float32's rounding."""
    own = {
        "single-label": lambda z: z.softmax(-1),
        "multi-label": lambda z: z.sigmoid(),
        "regression": lambda z: z[0],
    }
    for task, activate in own.items():
        classifier = load(saved(task))
        outputs = classifier.outputs(dataset(TEXTS), batch_size=3)
        expected = np.stack([activate(logits(classifier, text)).numpy() for text in TEXTS])
        assert outputs.shape == expected.shape
        assert outputs == pytest.approx(expected, abs=1e-5), task
        assert outputs.std() > 0.01, "the texts must differ"
        assert classifier.outputs(dataset([])).shape == (0, *expected.shape[1:])


def test_probabilities_are_the_outputs_of_classes_only(saved):
    classifier = load(saved("single-label"))
    assert (classifier.probabilities(dataset(TEXTS)) == classifier.outputs(dataset(TEXTS))).all()
    with pytest.raises(ValueError, match="regression has no probabilities"):
        load(saved("regression")).probabilities(dataset(TEXTS))


def test_pairs_are_read_with_their_second_text(saved):
    classifier = load(saved("single-label"))
    pairs = dataset(TEXTS, text_pair=TEXTS[::-1])
    expected = [logits(classifier, *pair).softmax(-1).numpy() for pair in zip(TEXTS, TEXTS[::-1], strict=True)]
    assert classifier.outputs(pairs) == pytest.approx(np.stack(expected), abs=1e-5)
    assert classifier.outputs(pairs) != pytest.approx(classifier.outputs(dataset(TEXTS)), abs=1e-3)


def test_a_model_that_knows_whether_it_takes_pairs_refuses_the_other(saved):
    single, both = load(saved("single-label", pairs=False)), load(saved("single-label", pairs=True))
    with pytest.raises(InputError, match="trained on pairs of texts, but no second text"):
        both.predict(TEXTS)
    with pytest.raises(InputError, match="trained on single texts, but the texts given are pairs"):
        single.predict([("a", "b")])
    assert len(single.predict(TEXTS)) == len(TEXTS)
    assert len(both.predict([("a", "b")])) == 1


LONG = " ".join((POSITIVE + NEUTRAL + NEGATIVE) * 2)  # 40 words
SHORT = "a good film"


def test_windows_are_averaged_per_text(saved):
    """Windows of 10 words that share 3: words 0-9, 7-16, ..., 28-37, 35-39."""
    classifier = load(saved("single-label", truncation="windows", overlap=3, max_length=12))
    words = LONG.split()
    pieces = [" ".join(words[start : start + 10]) for start in range(0, 36, 7)]
    expected = np.mean([logits(classifier, piece).softmax(-1).numpy() for piece in pieces], axis=0)
    finished = []
    outputs = classifier.outputs(dataset([SHORT, LONG]), batch_size=2, progress=finished.append)
    assert outputs[1] == pytest.approx(expected, abs=1e-5)
    assert outputs[0] == pytest.approx(logits(classifier, SHORT).softmax(-1).numpy(), abs=1e-5)
    assert outputs[1] != pytest.approx(logits(classifier, pieces[0]).softmax(-1).numpy(), abs=1e-3)
    assert sum(finished) == 2
    assert len(finished) == 4, "7 windows in batches of 2; progress counts texts"


def test_the_end_of_a_text_can_be_what_is_read(saved):
    classifier = load(saved("regression", truncation="tail", max_length=12))
    end = " ".join(LONG.split()[-10:])
    assert classifier.outputs(dataset([LONG]))[0] == pytest.approx(float(logits(classifier, end)[0]), abs=1e-5)


def test_words_have_the_probabilities_of_their_first_pieces(saved):
    """The tokenizer splits "film-room" into three pieces: the words behind it must not shift."""
    classifier = load(saved("tokens"))
    texts = [["the", "film-room", "was", "cold"], ["a"], ["very", "good"]]
    outputs = classifier.outputs(dataset(texts), batch_size=2)
    assert [p.shape for p in outputs] == [(4, 3), (1, 3), (2, 3)]
    for words, found in zip(texts, outputs, strict=True):
        encoded = classifier.tokenizer(words, is_split_into_words=True)
        first = [encoded.word_ids().index(i) for i in range(len(words))]
        expected = logits(classifier, words, words=True).softmax(-1).numpy()[first]
        assert found == pytest.approx(expected, abs=1e-5)
    assert first[:1] == [1]
    assert len(classifier.tokenizer(texts[0], is_split_into_words=True)["input_ids"]) == 2 + 6


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_on_either_side_leaves_the_words_in_place(saved, side):
    """Against the tokenizer's own account of where the words of a padded batch stand."""
    classifier = load(saved("tokens"))
    classifier.tokenizer.padding_side = side
    texts = [["the", "room", "was", "cold", "and", "very", "dull", "a", "film"], ["good", "film-room"]]
    batch = classifier.tokenizer(
        texts, is_split_into_words=True, padding=True, pad_to_multiple_of=8, return_tensors="pt"
    )
    with torch.inference_mode():
        rows = classifier.model(**batch).logits.double().softmax(-1).numpy()
    for i, found in enumerate(classifier.outputs(dataset(texts), batch_size=2)):
        first = [batch.word_ids(i).index(word) for word in range(len(texts[i]))]
        assert found == pytest.approx(rows[i][first], abs=1e-5)
    assert first[0] == (1 if side == "right" else 16 - 5)


@pytest.mark.parametrize(("names", "unread"), [(TAGS, [1, 0, 0]), (("X", "Y"), [0.5, 0.5])])
def test_a_word_that_was_cut_off_is_outside_or_anything(saved, names, unread):
    """Six words of eight fit beside two special tokens."""
    classifier = load(saved("tokens", names, max_length=8))
    (outputs,) = classifier.outputs(dataset([["the"] * 8]))
    assert (outputs[6:] == unread).all()
    assert not (outputs[:6] == unread).any()


# ---------------------------------------------------------------- answers


def test_single_label_answers_name_the_likelier_class(saved):
    classifier = load(saved("single-label"))
    outputs = classifier.outputs(dataset(TEXTS))
    answers = classifier.predict(TEXTS)
    for answer, row in zip(answers, outputs, strict=True):
        assert answer["label"] == NAMES["single-label"][row.argmax()]
        assert answer["score"] == pytest.approx(row.max())
        assert list(answer["probabilities"].values()) == pytest.approx(row)
    assert classifier.predict([]) == []


def test_a_tuned_threshold_decides_the_label_whatever_is_likelier(saved):
    for threshold, label in ((0.0, "positive"), (1.0, "negative")):
        answers = load(saved("single-label", thresholds=[threshold])).predict(TEXTS)
        assert {answer["label"] for answer in answers} == {label}
        assert all(answer["score"] == answer["probabilities"][label] for answer in answers)
    assert len({answer["label"] for answer in load(saved("single-label")).predict(TEXTS)}) == 2


def test_multi_label_answers_hold_the_labels_that_reach_their_thresholds(saved):
    plain, tuned = load(saved("multi-label")), load(saved("multi-label", thresholds=[0.0, 1.0, 0.5]))
    for answer in plain.predict(TEXTS):
        assert answer["labels"] == [name for name, p in answer["probabilities"].items() if p >= 0.5]
    answers = tuned.predict(TEXTS)
    assert all("calm" in answer["labels"] and "glad" not in answer["labels"] for answer in answers)
    assert [a["labels"] for a in answers] != [a["labels"] for a in plain.predict(TEXTS)]


def test_regression_answers_a_number_and_pairs_are_texts_too(saved):
    classifier = load(saved("regression"))
    pairs = list(zip(TEXTS, TEXTS[::-1], strict=True))
    assert [answer["score"] for answer in classifier.predict(TEXTS)] == list(classifier.outputs(dataset(TEXTS)))
    expected = list(classifier.outputs(dataset(TEXTS, text_pair=TEXTS[::-1])))
    assert [answer["score"] for answer in classifier.predict(pairs)] == expected


def test_tokens_answer_words_tags_and_entities(saved, monkeypatch):
    classifier = load(saved("tokens"))
    by_hand = [np.eye(3)[[0, 1, 2, 0, 1]], np.eye(3)[[1]]]
    monkeypatch.setattr(classifier, "outputs", lambda *_, **__: by_hand)
    first, second = classifier.predict(["in the room was  film", ["a b"]])
    assert first == {
        "words": ["in", "the", "room", "was", "film"],
        "tags": ["O", "B-PLACE", "I-PLACE", "O", "B-PLACE"],
        "entities": [
            {"type": "PLACE", "start": 1, "end": 3, "text": "the room"},
            {"type": "PLACE", "start": 4, "end": 5, "text": "film"},
        ],
    }
    assert second["words"] == ["a b"], "words are the caller's, not split again"


def test_a_text_without_words_has_no_tags(saved):
    classifier = load(saved("tokens"))
    assert classifier.predict(["", []]) == [{"words": [], "tags": [], "entities": []}] * 2
    mixed = classifier.predict([["good"], []])
    assert [len(answer["tags"]) for answer in mixed] == [1, 0]


def test_texts_stand_in_anything_that_yields_them(saved):
    classifier = load(saved("single-label"))
    asked = (pd.Series(TEXTS, index=range(9, 9 + len(TEXTS))), np.array(TEXTS), tuple(TEXTS), (text for text in TEXTS))
    assert all(classifier.predict(texts) == classifier.predict(TEXTS) for texts in asked)


@pytest.mark.parametrize(
    ("task", "texts", "message"),
    [
        ("single-label", ["a", ("a", "b")], "text 2 is a tuple; it must be a str like the first"),
        ("single-label", [("a", "b"), "ab"], "text 2 is a str; it must be a pair of str"),
        ("single-label", [3], "text 1 is a int; it must be a str or a pair of str"),
        ("single-label", "good", r"the texts are one str; give a list of texts: \[text\]"),
        ("single-label", {"text": ["good"]}, r"the texts are a dict; give one column of it, such as data\['text'\]"),
        ("single-label", pd.DataFrame({"text": ["good"]}), "the texts are a DataFrame; give one column of it"),
        ("single-label", None, "the texts are a NoneType; give a list of texts"),
        ("single-label", ["good", "a\ud83d"], "text 2 holds half of a surrogate pair"),
        ("tokens", [["a", "\ud83d"]], "text 1 holds half of a surrogate pair"),
        ("multi-label", ["a", None], "text 2 is a NoneType; it must be a str"),
        ("tokens", ["a", 3], "text 2 to be tagged is a int; give a list of words"),
        ("tokens", [["a", 3]], "text 1 to be tagged is a list; give a list of words"),
    ],
)
def test_texts_of_the_wrong_kind_are_refused(saved, task, texts, message):
    with pytest.raises(InputError, match=message):
        load(saved(task)).predict(texts)


# ---------------------------------------------------------------- scores

LABELS = {
    "single-label": [1, 0, 0, 1],
    "multi-label": [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
    "regression": [1.0, 2.5, 3.0, 0.5],
    "tokens": [[0, 0, 1, 2], [1], [0] * 11, [0, 1]],
}


@pytest.mark.parametrize("task", LABELS)
def test_scores_are_the_tasks_metrics_of_the_outputs(saved, task):
    thresholds = {"single-label": [0.9], "multi-label": [0.2, 0.5, 0.9]}.get(task)
    classifier = load(saved(task, thresholds=thresholds))
    texts = [text.split() for text in TEXTS] if task == "tokens" else TEXTS
    rows = dataset(texts, label=LABELS[task], row=[7, 3, 5, 1])
    scores = score(classifier, rows, batch_size=3)
    assert scores.pop("seconds") > 0
    assert scores.pop("samples_per_second") > 0
    outputs = classifier.outputs(dataset(texts), batch_size=3)
    assert scores == task_metrics(task, outputs, LABELS[task], NAMES[task], thresholds)
    assert scores["n"] == 4
