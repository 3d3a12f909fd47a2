"""Tiny random models of every family, a batch with uneven lengths, dropout that can be pinned, and the toy of SPEC."""

from contextlib import contextmanager
from functools import cache
from types import SimpleNamespace

import torch
from torch import nn

from toughen.tasks import PROBLEM_TYPES

PAD = {"roberta": 1}
"""Padding id where it is not 0."""
BOS, EOS = 2, 3
VOCABULARY = 100

_COMMON = {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
_BERT = _COMMON | {"intermediate_size": 48, "max_position_embeddings": 40}
_SPECIAL = {"pad_token_id": 0, "bos_token_id": BOS, "eos_token_id": EOS, "cls_token_id": BOS, "sep_token_id": EOS}
_SETTINGS = {
    "bert": ("Bert", _BERT),
    "roberta": ("Roberta", _BERT | {"pad_token_id": 1, "bos_token_id": BOS, "eos_token_id": EOS}),
    "distilbert": (
        "DistilBert",
        {"vocab_size": VOCABULARY, "dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 48}
        | {"max_position_embeddings": 40},
    ),
    "electra": ("Electra", _BERT | {"embedding_size": 16}),
    "albert": ("Albert", _BERT | {"embedding_size": 16, **_SPECIAL}),
    "deberta": (
        "DebertaV2",
        _BERT
        | {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 8}
        | {"norm_rel_ebd": "layer_norm", "share_att_key": True},
    ),
    "modernbert": ("ModernBert", _BERT | _SPECIAL | {"global_attn_every_n_layers": 2, "local_attention": 4}),
    "gpt2": (
        "GPT2",
        {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 40}
        | {"pad_token_id": 0, "bos_token_id": BOS, "eos_token_id": EOS},
    ),
    "bart": (
        "Bart",
        {"vocab_size": VOCABULARY, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "pad_token_id": 0}
        | {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48}
        | {"max_position_embeddings": 40, "bos_token_id": BOS, "eos_token_id": EOS, "decoder_start_token_id": EOS},
    ),
    "xlnet": ("XLNet", {"vocab_size": VOCABULARY, "d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 48}),
    "t5": (
        "T5",
        {"vocab_size": VOCABULARY, "d_model": 32, "d_kv": 16, "d_ff": 48, "num_layers": 2, "num_heads": 2}
        | {"pad_token_id": 0, "eos_token_id": EOS, "decoder_start_token_id": 0},
    ),
}
FAMILIES = ("bert", "roberta", "distilbert", "electra", "albert", "deberta", "modernbert", "gpt2")
"""The families that an adversary must work on."""


CLASSES = {"single-label": 2, "multi-label": 3, "regression": 1, "tokens": 3}
"""Outputs of a tiny model, by task."""


def tiny(family, *, dropout=0.0, labels=None, dtype=torch.float64, seed=0, task="single-label", **overrides):
    """Return a random classifier in training mode: 2 layers, width 32, every dropout field set.

    Weights, biases and norms are all drawn (not left at 0 and 1), so that no gradient vanishes by accident.
    """
    import transformers

    name, settings = _SETTINGS[family]
    config = getattr(transformers, f"{name}Config")(num_labels=labels or CLASSES[task], **settings)
    if task in ("multi-label", "regression"):
        config.problem_type = PROBLEM_TYPES[task]
    for field, value in config.to_dict().items():
        if "drop" in field and (value is None or isinstance(value, float)):
            setattr(config, field, dropout)
    if family == "gpt2":
        config.classifier_dropout = dropout  # no field of its config, but of its token classifier
    for field, value in overrides.items():
        setattr(config, field, value)
    kind = "Token" if task == "tokens" else "Sequence"
    model = getattr(transformers, f"{name}For{kind}Classification")(config).to(dtype)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64).to(dtype)
            parameter.copy_(0.15 * noise if parameter.dim() > 1 else parameter + 0.05 * noise)
    return model.train()


def batch(
    family="bert", *, lengths=(7, 4, 5, 2), labels=(0, 1, 1, 0), left=False, total=None, seed=1, task="single-label"
):
    """Return input_ids, attention_mask, labels: [CLS] words [SEP], padded to ``total``; some words recur in rows.

    ``labels`` are those of a single-label task; every other task draws its own (see :func:`draw_labels`).
    """
    generator = torch.Generator().manual_seed(seed)
    width = total or max(lengths)
    ids = torch.full((len(lengths), width), PAD.get(family, 0))
    mask = torch.zeros_like(ids)
    for row, length in enumerate(lengths):
        words = torch.randint(5, 12 + VOCABULARY // 4, (length - 2,), generator=generator)
        here = slice(width - length, width) if left else slice(0, length)
        ids[row, here] = torch.cat([torch.tensor([BOS]), words, torch.tensor([EOS])])
        mask[row, here] = 1
    drawn = torch.tensor(labels) if task == "single-label" else draw_labels(task, ids, mask, generator)
    return {"input_ids": ids, "attention_mask": mask, "labels": drawn}


def draw_labels(task, ids, mask, generator):
    """Return random labels: multi-hot [B, 3], numbers [B], or [B, T] with -100 on padding, ends and each third word."""
    if task == "multi-label":
        return torch.randint(0, 2, (len(ids), CLASSES[task]), generator=generator).double()
    if task == "regression":
        return torch.randn(len(ids), generator=generator, dtype=torch.float64)
    labels = torch.randint(0, CLASSES[task], ids.shape, generator=generator)
    silent = (mask == 0) | (ids == BOS) | (ids == EOS) | (mask.cumsum(1) % 3 == 0)
    return labels.masked_fill(silent, -100)


def without_labels(labels):
    """Return labels of the same shape that say that there is none."""
    return torch.full_like(labels, -100 if labels.dim() > 1 or not labels.is_floating_point() else float("nan"))


def gradients(model):
    """Return every parameter's gradient by name, zeros where there is none."""
    return {
        name: torch.zeros_like(p) if p.grad is None else p.grad.detach().clone() for name, p in model.named_parameters()
    }


def distance(first, second):
    """Return the largest absolute difference between two dicts of tensors."""
    assert first.keys() == second.keys()
    return max(float((first[name] - second[name]).abs().max()) for name in first)


def checkpointing(model, on=True, **settings):
    """Switch gradient checkpointing on or off, by the name that this version of transformers has for it."""
    verb = "enable" if on else "disable"
    switch = getattr(model, f"activation_checkpointing_{verb}", None) or getattr(
        model, f"gradient_checkpointing_{verb}"
    )
    switch(*([settings] if on else []))


class PinnedDropout(nn.Dropout):
    """Dropout whose mask is a pure function of (module, copy of the batch): the same in every pass and for every row.

    Copy 0 and copy 1 of R-Drop draw different masks, whether they run in one forward or in two. With a ``Pin`` in
    hand, two separate forwards can so be compared with one over the doubled batch.
    """

    def __init__(self, p, index, pin):
        super().__init__(p)
        self.index, self.pin = index, pin

    def forward(self, hidden):
        copies = zip(hidden.chunk(self.pin.copies), range(self.pin.first, 2), strict=False)
        return torch.cat([part * _mask(self.index * 7 + copy, part.shape[1:], self.p) for part, copy in copies])


@cache
def _mask(seed, shape, p):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(shape, generator=generator, dtype=torch.float64) >= p) / (1 - p)


class Pin:
    """What all pinned dropout modules of a model read: copies in this forward, number of the first of them."""

    def __init__(self, rows):
        self.rows, self.copies, self.first = rows, 1, 0

    @contextmanager
    def copy(self, number):
        """Make the one copy of the batch that runs inside draw the masks of this copy."""
        self.first = number
        try:
            yield
        finally:
            self.first = 0

    def count(self, _module, args, kwargs):
        self.copies = kwargs["input_ids"].shape[0] // self.rows


def pin_dropout(model, rows, p=0.2):
    """Replace every nn.Dropout outside attention by a pinned one, for batches of ``rows`` rows; return the pin."""
    pin = Pin(rows)
    found = [
        (module, name)
        for module in model.modules()
        for name, child in module.named_children()
        # Attention may pass its module's p to a fused kernel, which draws for itself. DeBERTa drops out its table of
        # relative positions, which has no batch dimension.
        if isinstance(child, nn.Dropout) and "Attention" not in type(module).__name__ and name != "pos_dropout"
    ]
    for index, (module, name) in enumerate(found):
        setattr(module, name, PinnedDropout(p, index, pin))
    model.register_forward_pre_hook(pin.count, with_kwargs=True)
    return pin


class ScriptedNoise:
    """A source of random starts that always draws the same sequence."""

    def __init__(self, seed=3):
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self, kind, like):
        if kind == "normal":
            return torch.randn(like.shape, generator=self._generator, dtype=torch.float64).to(like.dtype)
        return torch.rand(like.shape, generator=self._generator, dtype=torch.float64).to(like.dtype) * 2 - 1


class ToyLinear(nn.Module):
    """SPEC's common toy: one token of embedding e = (1, 0), w = (3, 4), logits [0, w.e], so p(1) = sigmoid(w.e)."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(3, 2, padding_idx=0, dtype=torch.float64)
        self.table.weight.data = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.5, -1.0]], dtype=torch.float64)
        self.w = nn.Parameter(torch.tensor([3.0, 4.0], dtype=torch.float64))
        self.config = SimpleNamespace(num_hidden_layers=0, hidden_size=2)
        self.logits = []

    def get_input_embeddings(self):
        return self.table

    def forward(self, input_ids, attention_mask):
        embedded = self.table(input_ids) * attention_mask.unsqueeze(-1)
        logit = (embedded @ self.w).sum(1)
        self.logits.append(logit.detach())
        return SimpleNamespace(logits=torch.stack([torch.zeros_like(logit), logit], dim=1))

    def losses(self):
        """Return softplus(-z) of every pass so far, first row of the batch."""
        return [float(nn.functional.softplus(-z[0])) for z in self.logits]


def toy_batch(rows=1):
    """Return ``rows`` times the toy's one token, label 1."""
    ones = torch.ones(rows, 1, dtype=torch.long)
    return {"input_ids": ones, "attention_mask": ones, "labels": torch.ones(rows, dtype=torch.long)}
