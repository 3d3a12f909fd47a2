"""Random classifiers of every task, saved with the notes that a training leaves in their config."""

import datasets
import torch
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    BertForTokenClassification,
)

from toughen.tasks import PROBLEM_TYPES

TEXTS = ["a very good film", "awful", "the book was fine and the room was cold and dull", "a meal"]
TAGS = ("O", "B-PLACE", "I-PLACE")
NAMES = {
    "single-label": ("negative", "positive"),
    "multi-label": ("calm", "glad", "sad"),
    "regression": ("stars",),
    "tokens": TAGS,
}
OF_THE_TASK = "the task's"


def save_classifier(pretrained, folder, task, names=None, problem=OF_THE_TASK, **noted):
    """Write a random model of a task; `noted` joins its task in ``config.toughen``, which is absent without."""
    names = names or NAMES[task]
    config = BertConfig.from_pretrained(
        pretrained, num_labels=len(names), id2label=dict(enumerate(names)), initializer_range=0.5
    )
    config.problem_type = PROBLEM_TYPES.get(task) if problem == OF_THE_TASK else problem
    if noted:
        config.toughen = {"task": task, **noted}
    torch.manual_seed(1)
    kind = BertForTokenClassification if task == "tokens" else BertForSequenceClassification
    kind(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(pretrained).save_pretrained(folder)
    return folder


def dataset(texts, **columns):
    return datasets.Dataset.from_dict({"text": texts, **columns})
