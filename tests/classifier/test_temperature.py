"""Temperature scaling: no answer changes, validation's log loss never rises, the logits are divided by T."""

import json

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from saved_models import TEXTS, dataset
from toughen.classifier.classifier import Classifier
from toughen.classifier.temperature import (
    MOST,
    Temperature,
    _soften_odds,
    _soften_rows,
    fit_temperature,
    flat,
    log_loss,
)

LOGITS = st.floats(-60, 60) | st.sampled_from([0.0, 1e-16, 5e-16, 1e-300, -1e-16])
ROWS = arrays(np.float64, (6, 3), elements=LOGITS)
TEMPERATURES = st.floats(0.05, 20)
RNG = np.random.default_rng(0)


def softmax(z):
    return torch.as_tensor(z).softmax(-1).numpy()


def sigmoid(z):
    return torch.as_tensor(z).sigmoid().numpy()


@given(ROWS, TEMPERATURES)
@example(np.array([[0.0, 3e-16, 1e-16]] * 6), 17.3)
def test_the_likeliest_class_stays(z, temperature):
    p = softmax(z)
    new = Temperature(temperature).apply("single-label", p)
    assert (new.argmax(1) == p.argmax(1)).all()
    assert np.allclose(new.sum(1), 1)


@given(ROWS, TEMPERATURES, arrays(np.float64, 3, elements=st.floats(0, 1)))
def test_every_label_stays_on_its_side_of_its_threshold(z, temperature, thresholds):
    p = sigmoid(z)
    for cuts in (tuple(thresholds), tuple(p[0]), None):  # also where a probability is the threshold
        made = Temperature(temperature, cuts)
        new, now = made.apply("multi-label", p), np.full(3, 0.5) if cuts is None else np.array(made.softened)
        assert ((new >= now) == (p >= (0.5 if cuts is None else np.array(cuts)))).all()


@given(arrays(np.float64, (6, 2), elements=LOGITS), TEMPERATURES, st.floats(0, 1))
def test_a_tuned_threshold_of_two_classes_decides_alike(z, temperature, threshold):
    p = softmax(z)
    for cut in (threshold, float(p[0, 1])):
        made = Temperature(temperature, (cut,))
        assert ((made.apply("single-label", p)[:, 1] >= made.softened[0]) == (p[:, 1] >= cut)).all()


@given(ROWS, st.lists(st.integers(0, 2), min_size=6, max_size=6))
def test_the_log_loss_never_rises(z, labels):
    p, y = softmax(z), np.array(labels)
    fitted = Temperature(fit_temperature("single-label", p, y))
    assert log_loss("single-label", fitted.apply("single-label", p), y) <= log_loss("single-label", p, y)
    several, q = np.eye(3, dtype=int)[y], sigmoid(z)
    fitted = Temperature(fit_temperature("multi-label", q, several))
    assert log_loss("multi-label", fitted.apply("multi-label", q), several) <= log_loss("multi-label", q, several)


def test_rounding_alone_would_change_answers():
    """Two classes an ulp apart, a probability an ulp below one half: what is put back is not nothing."""
    close, below = np.array([[1 / 3, np.nextafter(1 / 3, 1), 1 / 3]]), np.array([[np.nextafter(0.5, 0)]])
    assert _soften_rows(close, 17.3).argmax() == 0
    assert Temperature(17.3).apply("single-label", close).argmax() == 1
    assert _soften_odds(below, 17.3) >= 0.5
    assert Temperature(17.3).apply("multi-label", below) < 0.5


def test_dividing_the_logits_is_what_it_does():
    z = RNG.normal(0, 3, (20, 4))
    assert Temperature(2.5).apply("single-label", softmax(z)) == pytest.approx(softmax(z / 2.5))
    assert Temperature(2.5).apply("multi-label", sigmoid(z)) == pytest.approx(sigmoid(z / 2.5))
    assert Temperature(1.0).apply("single-label", softmax(z)) == pytest.approx(softmax(z))


def test_the_temperature_of_labels_drawn_from_softened_probabilities_is_found():
    """Labels drawn from softmax(z / 3), so that T is 3; 1 where they are drawn from softmax(z)."""
    z = RNG.normal(0, 4, (20_000, 3))
    for truth in (3.0, 1.0):
        drawn = (RNG.random((len(z), 1)) > softmax(z / truth).cumsum(1)).sum(1)
        assert fit_temperature("single-label", softmax(z), drawn.clip(max=2)) == pytest.approx(truth, rel=0.05)


def test_words_are_fitted_together():
    z = [RNG.normal(0, 4, (n, 3)) for n in (5, 0, 7)]
    tags = [row.argmin(1).tolist() for row in z]  # always wrong: as little sure as may be
    assert fit_temperature("tokens", [softmax(row) for row in z], tags) == pytest.approx(MOST, rel=1e-3)
    assert flat("tokens", z, tags)[0].shape == (12, 3)
    with pytest.raises(ValueError, match="no probabilities"):
        fit_temperature("regression", np.ones(2), np.ones(2))


@pytest.mark.parametrize(
    ("task", "thresholds"), [("single-label", None), ("single-label", [0.4]), ("multi-label", [0.3, 0.5, 0.7])]
)
def test_a_saved_temperature_softens_what_a_loaded_model_says_and_changes_no_answer(saved, task, thresholds):
    plain = Classifier.load(saved(task, thresholds=thresholds))
    before, answers = plain.outputs(dataset(TEXTS)), plain.predict(TEXTS)
    soft = Classifier.load(saved(task, thresholds=thresholds, temperature=3.0))
    after = soft.predict(TEXTS)
    name = "label" if task == "single-label" else "labels"
    assert [answer[name] for answer in after] == [answer[name] for answer in answers]
    logits = torch.as_tensor(plain.logits(dataset(TEXTS)) / 3)
    expected = logits.sigmoid() if task == "multi-label" else logits.softmax(-1)
    assert soft.outputs(dataset(TEXTS)) == pytest.approx(expected.numpy(), abs=1e-9)
    assert abs(soft.outputs(dataset(TEXTS)) - before).max() > 0.01, "the probabilities must have changed"
    if thresholds is not None:
        assert soft.thresholds != pytest.approx(thresholds, abs=0.01)


def test_the_mean_of_windows_is_softened_not_each_window(saved):
    folder = saved("single-label", truncation="windows", overlap=3, max_length=12)
    text = dataset([" ".join(["good film", "very cold", "awful room"] * 7)])
    mean = Classifier.load(folder).outputs(text)
    config = json.loads((folder / "config.json").read_text())
    config["toughen"]["temperature"] = 2.0
    (folder / "config.json").write_text(json.dumps(config))
    soft = Classifier.load(folder).outputs(text)
    assert soft == pytest.approx(np.sqrt(mean) / np.sqrt(mean).sum())
