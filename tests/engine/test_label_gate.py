"""The gate that labels pass: a row's one label in a column of its own is read, any other shape is refused by name."""

import pytest
import torch
from transformers import PretrainedConfig, PreTrainedModel

from engine.models import batch, distance, gradients, tiny
from toughen.engine.engine import Engine
from toughen.engine.label_gate import are_multi_hot, with_fitting_labels
from toughen.errors import InputError


@pytest.mark.parametrize(("task", "labels"), [("single-label", [1, 0, 1, 1]), ("regression", [0.5, -1.0, 2.0, 0.1])])
def test_a_column_of_labels_trains_as_a_row_of_them(task, labels):
    """[B, 1] gives the gradients of [B]; unsqueezed numbers would be broadcast to [B, B]."""
    found = []
    for column in (False, True):
        model = tiny("bert", task=task)
        rows = dict(batch(), labels=torch.tensor(labels))
        if column:
            rows["labels"] = rows["labels"].unsqueeze(1)
        with Engine(model, task=task) as engine:
            engine.backward(rows)
        found.append(gradients(model))
    assert distance(*found) == 0
    assert any(value.abs().sum() for value in found[0].values()), "canary: something was learnt"


REFUSED = {
    "numbers as classes": ("single-label", torch.tensor([0.0, 1.0]), 2, "regression"),
    "several as one": ("single-label", torch.tensor([[0.0, 1.0], [1.0, 1.0]]), 2, "row 1 holds 1, 1, "),
    "a sum below 1": ("single-label", torch.tensor([[0.3, 0.3], [0.0, 1.0]]), 2, "row 0 holds 0.3, 0.3"),
    "a negative probability": ("single-label", torch.tensor([[1.5, -0.5]]), 2, "not negative and sum to 1"),
    "probabilities of other classes": ("single-label", torch.tensor([[0.5, 0.5, 0.0]]), 2, "a probability for each"),
    "two ids per text": ("single-label", torch.tensor([[0, 1], [1, 0]]), 2, "one label per text"),
    "one as several": ("multi-label", torch.tensor([0, 1]), 2, "[B, K]"),
    "another number of labels": ("multi-label", torch.zeros(2, 3), 2, "2 labels"),
    "two numbers": ("regression", torch.zeros(2, 2), 2, "several numbers"),
    "a model of two numbers": ("regression", torch.zeros(2), 2, "num_labels=1"),
    "words without places": ("tokens", torch.tensor([0, 1]), 2, "[B, T]"),
}


@pytest.mark.parametrize(("task", "labels", "classes", "named"), REFUSED.values(), ids=REFUSED)
def test_labels_that_do_not_fit_are_refused_by_shape_and_kind(task, labels, classes, named):
    with pytest.raises(InputError) as refusal:
        with_fitting_labels({"labels": labels}, task, classes)
    assert named in str(refusal.value)
    assert str(list(labels.shape)) in str(refusal.value)


def test_what_fits_passes_untouched():
    for task, labels in {
        "single-label": torch.tensor([[0.2, 0.3, 0.5], [-100.0, -100.0, -100.0]]),
        "multi-label": torch.zeros(2, 3),
        "regression": torch.zeros(2),
        "tokens": torch.zeros(2, 5, dtype=torch.long),
    }.items():
        rows = {"labels": labels}
        assert with_fitting_labels(rows, task, 1 if task == "regression" else 3) is rows


def test_numbers_per_class_are_multi_hot_and_ids_are_not():
    assert are_multi_hot([0.0, 1.0, 1.0], 3)
    assert are_multi_hot(torch.tensor([0.0, 1.0]), 2)
    assert not any(are_multi_hot(label, 2) for label in ([0, 1], [0.0], 1, "ab", torch.tensor([0, 1])))


class OneNumber(PreTrainedModel):
    """A model of one's own, whose config says nothing of how many numbers it answers with: transformers fills in 2."""

    config_class = PretrainedConfig

    def __init__(self, width):
        super().__init__(PretrainedConfig())
        self.table = torch.nn.Embedding(40, width)
        self.post_init()

    def forward(self, input_ids, attention_mask=None, labels=None):
        numbers = self.table(input_ids).mean(1)
        return numbers.squeeze(-1) if numbers.shape[1] == 1 else numbers


def test_a_model_of_ones_own_is_believed_by_what_it_answers_not_by_an_unsaid_num_labels():
    rows = {"input_ids": torch.arange(8).reshape(2, 4), "labels": torch.tensor([0.5, -1.0])}
    model = OneNumber(1)
    assert model.config.num_labels == 2, "canary: what a config says that nobody asked"
    with Engine(model, task="regression") as engine:
        loss = engine.backward(rows)
    numbers = model(rows["input_ids"])
    torch.testing.assert_close(loss, ((numbers - rows["labels"]) ** 2).mean().detach())
    with Engine(OneNumber(2), task="regression") as engine, pytest.raises(InputError, match=r"2 numbers per text.*=1"):
        engine.backward(rows)  # of two rows: [2, 2] and [2] would be broadcast
