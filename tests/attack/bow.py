"""A linear bag of words as a real `Classifier`: logits are sums of word weights, so that the best attack is known."""

from itertools import product
from types import SimpleNamespace

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import nn
from transformers import PreTrainedTokenizerFast

from toughen.classifier.classifier import Classifier

# fmt: off
WEIGHTS = {
    "superb": 3.0, "great": 2.0, "good": 1.5, "fine": 0.75, "nice": 1.0, "decent": 0.5, "okay": 0.25, "plain": -0.25,
    "weak": -0.5, "poor": -1.0, "bad": -1.5, "dull": -1.25, "awful": -2.0, "dreadful": -3.0,
    "film": 0.0, "book": 0.0, "meal": 0.125, "room": -0.125, "story": 0.0, "plot": 0.0,
}
# fmt: on
NEIGHBOURS = {
    "superb": ["great", "nice", "okay"],
    "great": ["good", "fine", "decent"],
    "good": ["fine", "nice", "plain"],
    "nice": ["fine", "weak"],
    "fine": ["okay", "plain"],
    "bad": ["poor", "weak", "plain"],
    "poor": ["weak", "dull"],
    "awful": ["bad", "poor"],
    "dreadful": ["awful", "dull"],
    "dull": ["plain", "weak"],
    "film": ["story", "plot"],
    "meal": ["room"],
}
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


class BagOfWords(nn.Module):
    """logits = (0, sum of the words' weights): width 2 embeddings (weight, a number that nothing reads)."""

    def __init__(self, vocabulary, *, dropout=0.0):
        super().__init__()
        self.table = nn.Embedding(len(vocabulary), 2, padding_idx=0)
        self.dropout = nn.Dropout(dropout)
        rows = torch.zeros(len(vocabulary), 2)
        for i, word in enumerate(vocabulary):
            rows[i] = torch.tensor([WEIGHTS.get(word, 0.0), 0.1 * (i % 5)])
        self.table.weight.data.copy_(rows)
        self.batches = []

    def get_input_embeddings(self):
        return self.table

    def forward(self, input_ids, attention_mask, **_):
        self.batches.append(tuple(input_ids.shape))
        embedded = self.dropout(self.table(input_ids)) * attention_mask.unsqueeze(-1)
        total = embedded[..., 0].sum(1)
        return SimpleNamespace(logits=torch.stack([torch.zeros_like(total), total], dim=1))


def bag_of_words(*, dropout=0.0, names=("negative", "positive")):
    """Return a `Classifier` of the weights above."""
    words = SPECIAL + list(WEIGHTS) + ["the", "was", "and"]
    ids = {word: i for i, word in enumerate(words)}
    inner = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    inner.normalizer = normalizers.Lowercase()
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])]
    )
    special = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, **special, mask_token="[MASK]")
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    return Classifier(BagOfWords(words, dropout=dropout).eval(), tokenizer, names, 64)


def score(text):
    """Return the log odds of "positive", by hand."""
    return sum(WEIGHTS.get(word.strip(".,").lower(), 0.0) for word in text.split())


def best_attack(text, label, most):
    """Return the fewest words (at most ``most``) whose replacement turns the answer, or None: by trying everything."""
    words = text.split()
    options = [[word, *NEIGHBOURS.get(word, [])] for word in words]
    found = None
    for version in product(*options):
        changed = sum(a != b for a, b in zip(words, version, strict=True))
        turned = (score(" ".join(version)) > 0) != bool(label)
        if turned and changed <= most and (found is None or changed < found):
            found = changed
    return found
