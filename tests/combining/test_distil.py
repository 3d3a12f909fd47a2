"""Distillation: the loss is its closed form, and a student comes nearer to its teacher than one taught by labels."""

import json

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import toughen
from combining.conftest import TRAINING
from toughen import CrossEntropy, InputError, Run
from toughen.combining.distil import Distilled, Lesson, logits_of
from toughen.combining.weight_soup import greedily
from toughen.data import load_texts
from toughen.engine.likelihood import LIKELIHOODS

pytestmark = pytest.mark.filterwarnings("ignore:training accuracy .* sat at the majority rate:UserWarning")

LOGITS = torch.tensor([[1.0, -1.0, 0.5], [0.0, 2.0, 0.0], [3.0, 0.0, -2.0]], dtype=torch.float64)
TEACHER = torch.tensor([[2.0, 0.0, 1.0], [0.5, 0.5, 0.5], [-1.0, 1.0, 0.0]], dtype=torch.float64)


def likelihood(task, outputs, **lesson):
    return Distilled(LIKELIHOODS[task], outputs, Lesson(**lesson))


def test_the_loss_of_each_row_is_the_formula():
    """Row 3 has no label: its loss is the teacher's alone."""
    labels = torch.cat([torch.tensor([[0.0], [1.0], [-100.0]], dtype=torch.float64), TEACHER], dim=1)
    found = likelihood("single-label", 3, temperature=3.0, alpha=0.7).loss(LOGITS, labels, CrossEntropy())
    p, q = (TEACHER / 3).softmax(-1), (LOGITS / 3).log_softmax(-1)
    soft = 9 * (p * (p.log() - q)).sum(-1)
    hard = F.cross_entropy(LOGITS[:2], torch.tensor([0, 1]), reduction="none")
    torch.testing.assert_close(found, torch.cat([0.3 * hard + 0.7 * soft[:2], soft[2:]]))


def test_without_a_share_of_the_teacher_the_loss_is_the_labels_own():
    labels = torch.cat([torch.tensor([[0.0], [1.0], [2.0]], dtype=torch.float64), TEACHER], dim=1)
    objective = CrossEntropy(label_smoothing=0.1)
    found = likelihood("single-label", 3, alpha=0.0).loss(LOGITS, labels, objective)
    torch.testing.assert_close(found, objective.task(LOGITS, torch.tensor([0, 1, 2])))


def test_a_student_that_says_what_the_teacher_says_has_no_soft_loss():
    labels = torch.cat([torch.full((3, 1), -100.0, dtype=torch.float64), TEACHER], dim=1)
    found = likelihood("single-label", 3).loss(TEACHER + 5, labels, CrossEntropy())
    torch.testing.assert_close(found, torch.zeros(3, dtype=torch.float64))


def test_several_labels_and_numbers_have_their_own_divergence():
    hard = torch.tensor([[1.0, 0.0, 1.0], [-100.0] * 3, [0.0, 0.0, 1.0]], dtype=torch.float64)
    found = likelihood("multi-label", 3, alpha=1.0, temperature=2.0).loss(
        LOGITS, torch.cat([hard, TEACHER], 1), CrossEntropy()
    )
    p, z = (TEACHER / 2).sigmoid(), LOGITS / 2
    kl = p * (p.log() - F.logsigmoid(z)) + (1 - p) * ((1 - p).log() - F.logsigmoid(-z))
    torch.testing.assert_close(found, 4 * kl.mean(-1))
    numbers = torch.tensor([[1.0, 3.0], [float("nan"), 2.0]], dtype=torch.float64)
    found = likelihood("regression", 1, alpha=0.5).loss(LOGITS[:2, :1], numbers, CrossEntropy())
    torch.testing.assert_close(found, torch.tensor([(0.5 * 0 + 0.5 * 2.0), 2.0], dtype=torch.float64))


def test_logits_of_outputs_give_the_outputs_back():
    p = torch.tensor([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(torch.tensor(logits_of("single-label", p.numpy())).softmax(-1), p)
    torch.testing.assert_close(torch.tensor(logits_of("multi-label", p.numpy()[:1])).sigmoid(), p[:1])


def divergence(teacher, student, texts):
    p, q = teacher.classifier.outputs(texts), student.classifier.outputs(texts)
    return float((p * (np.log(p) - np.log(q))).sum(axis=1).mean())


def test_a_student_matches_its_teacher_better_than_one_that_learns_from_labels(seeds, combine_data, tmp_path):
    """The same recipe, seed and rows; the teacher's answers, and texts without labels, are the only difference."""
    teacher = toughen.combine(seeds, output=tmp_path / "teacher", quiet=True)
    how = {
        "how": "distil",
        "alpha": 1.0,
        "temperature": 1.0,
        "quiet": True,
        "training": {"epochs": 6, "early_stopping": None},
    }
    student = toughen.combine(
        [teacher], output=tmp_path / "student", unlabelled=combine_data.parent / "texts.csv", **how
    )
    hard = toughen.combine([teacher], output=tmp_path / "hard", **{**how, "alpha": 0.0})
    fresh = load_texts(combine_data / "test.csv")
    assert divergence(teacher, student, fresh) < 0.5 * divergence(teacher, hard, fresh)
    assert student.metrics["combination"]["how"] == "distil"
    assert student.metrics["combination"]["passes"] == 1
    assert student.metrics["train"]["steps"] == 6 * 15 > hard.metrics["train"]["steps"], "texts without labels are read"
    assert {"validation", "test"} <= set(student.metrics)
    told = json.loads((student.path / "combination.json").read_text())
    assert told["distil"]["teacher_passes"] == 3
    assert Run.open(student.path).predict(["a good film"]) == student.predict(["a good film"])


def test_a_student_of_itself_without_a_teacher_is_ordinary_training(seeds, combine_data, combine_model, tmp_path):
    """With alpha 0 and no further texts the weights are bitwise those of toughen.train."""
    from toughen.combining.weight_soup import weights_of

    student = toughen.combine([seeds[0]], how="distill", alpha=0.0, output=tmp_path / "student", quiet=True)  # US
    for name, weight in weights_of(seeds[0] / "model").items():
        assert torch.equal(weight, weights_of(student.path / "model")[name]), name
    assert TRAINING["epochs"] == student.recipe.training.epochs


def test_a_teacher_that_saw_the_test_split_is_refused(seeds, combine_data, tmp_path):
    rows = {name: combine_data / f"{name}.csv" for name in ("train", "validation", "test")}
    folder = tmp_path / "data"
    folder.mkdir()
    for name, other in {"train": "test", "validation": "validation", "test": "train"}.items():
        (folder / f"{name}.csv").write_bytes(rows[other].read_bytes())
    with pytest.raises(InputError, match="was trained or selected on 60 of the 60 texts of the test split"):
        toughen.combine(seeds, how="distil", output=tmp_path / "student", data=folder, quiet=True)
    assert not (tmp_path / "student").exists()


def test_a_greedy_soup_of_linear_models_is_the_hand_computation(monkeypatch):
    """Weights 4, 1, -2 with the score -(w - 2)^2: 1 scores -1; (1+4)/2 = 2.5 is better; (1+4-2)/3 = 1 is not."""
    from toughen.combining import weight_soup

    weights = {"a": 4.0, "b": 1.0, "c": -2.0}

    class FakePath:
        def __init__(self, name):
            self.name = name

        def __truediv__(self, other):
            return self.name

    class FakeRun:
        def __init__(self, name):
            self.path, self.recipe = FakePath(name), toughen.load_recipe("plain")

    class Members:
        runs = [FakeRun(name) for name in weights]  # noqa: RUF012
        first = FakeRun("a")

    Members.first.task = "single-label"
    monkeypatch.setattr(weight_soup, "weights_of", lambda name: {"w": torch.tensor([weights[name]])})
    monkeypatch.setattr(weight_soup, "scorer", lambda members, rows, metric: lambda w: -((float(w["w"]) - 2) ** 2))
    soup = greedily(Members, None)
    assert soup.chosen == (1, 0)
    assert soup.scores == (-1.0, -0.25)
    assert float(soup.weights["w"]) == 2.5
