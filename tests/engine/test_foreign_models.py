"""Models that are not transformers' own, batches that are tuples, and models that no classifier's step fits."""

import pytest
import torch
from torch import nn

from engine.models import tiny
from toughen import Engine, Fgm, FreeLb, Neftune, RDrop
from toughen.errors import InputError

WORDS, WIDTH, CLASSES = 50, 16, 3
IDS = torch.randint(1, WORDS, (6, 9), generator=torch.Generator().manual_seed(1))
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])


class Lstm(nn.Module):
    """The articles' kind of model: its tokens in one argument, its table called emb."""

    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(WORDS, WIDTH, padding_idx=0)
        self.lstm = nn.LSTM(WIDTH, WIDTH, batch_first=True, bidirectional=True)
        self.out = nn.Linear(2 * WIDTH, CLASSES)

    def forward(self, tokens):
        hidden, _ = self.lstm(self.emb(tokens))
        return self.out(hidden.amax(1))


class TextCnn(nn.Module):
    """Kim's convolutions, which answer with a tuple."""

    def __init__(self):
        super().__init__()
        self.word_emb = nn.Embedding(WORDS, WIDTH)
        self.kinds = nn.Embedding(2, WIDTH)
        self.convolutions = nn.ModuleList(nn.Conv1d(WIDTH, 8, size) for size in (2, 3))
        self.dropout = nn.Dropout(0.1)
        self.out = nn.Linear(16, CLASSES)

    def forward(self, tokens, kinds):
        hidden = (self.word_emb(tokens) + self.kinds(kinds)).transpose(1, 2)
        found = torch.cat([layer(hidden).relu().amax(2) for layer in self.convolutions], 1)
        return self.out(self.dropout(found)), found


class Renamed(Lstm):
    """The same model as transformers writes one."""

    def get_input_embeddings(self):
        return self.emb

    def forward(self, input_ids):
        return {"logits": super().forward(input_ids)}


def made(kind):
    torch.manual_seed(0)
    return kind()


def gradients(engine, batch):
    for weights in engine.trainable.values():
        weights.grad = None
    engine.backward(batch)
    return {name: weights.grad.clone() for name, weights in engine.trainable.items() if weights.grad is not None}


def alike(ours, theirs):
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("adversary", [Fgm(radius=0.5), FreeLb(radius=0.5, step_size=0.2, steps=2, start_size=0.0)])
def test_a_tuple_in_a_stated_order_gives_the_gradient_of_a_dict(adversary):
    ours, theirs, plain = made(Lstm), made(Renamed), made(Lstm)
    tuples = {"embedding": "emb.", "columns": ("input_ids", "labels")}
    found = gradients(Engine(ours, adversary=adversary, **tuples), (IDS, LABELS))
    assert alike(found, gradients(Engine(theirs, adversary=adversary), {"input_ids": IDS, "labels": LABELS}))
    assert not alike(found, gradients(Engine(plain, **tuples), (IDS, LABELS))), "nothing was perturbed"


def test_several_inputs_keep_their_order():
    """With labels in the middle, R-Drop's two copies and noise on the tokens' table alone."""
    model, kinds = made(TextCnn), torch.ones_like(IDS)
    given = {"embedding": "word_emb", "columns": ("input_ids", "labels", "kinds")}
    engine = Engine(model, RDrop(), Fgm(radius=0.5), inputs=Neftune(), **given)
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    losses = []
    for _ in range(40):
        losses.append(float(engine.backward((IDS, LABELS, kinds))))
        engine.step(optimizer)
    assert losses[-1] < 0.5 * losses[0]
    assert model.eval()(IDS, kinds)[0].argmax(1).tolist() == LABELS.tolist()
    assert engine.terms()["perturbation_norm"] > 0


@pytest.mark.parametrize(
    ("kind", "embedding", "reason"),
    [
        (Lstm, None, r"name it with embedding= \(emb\)"),
        (Lstm, "word_emb", "names none of the embedding tables of Lstm .* there are: emb"),
        (TextCnn, "weight", "names several .* there are: word_emb, kinds"),
    ],
)
def test_a_table_that_cannot_be_told_is_refused_with_those_that_there_are(kind, embedding, reason):
    with pytest.raises(InputError, match=reason):
        Engine(made(kind), adversary=Fgm(), embedding=embedding, columns=("input_ids", "labels"))


@pytest.mark.parametrize(
    ("batch", "columns", "reason"),
    [
        ((IDS, LABELS), None, "a batch is a tuple, and nothing says what its tensors are"),
        ((IDS, LABELS), ("input_ids", "mask", "labels"), "a batch has 2 tensors, and columns names 3"),
        ({"pixel_values": IDS, "labels": LABELS}, None, "has pixel_values, labels and no token ids"),
        ({"input_ids": IDS}, None, "has input_ids and no labels"),
    ],
)
def test_batches_that_cannot_be_read_are_refused(batch, columns, reason):
    engine = Engine(made(Lstm), columns=columns)
    with pytest.raises(InputError, match=reason):
        engine.backward(batch)


class Answering(Renamed):
    """Answers with what it is told to."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, input_ids):
        return self.answer(super().forward(input_ids)["logits"])


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda logits: {"loss": logits.sum(), "scores": logits}, "answers with loss, scores and no logits"),
        (lambda logits: logits.sum(), r"a tensor of shape \[\] where task single-label has logits \[B, C\]"),
        (lambda logits: logits[:, None], r"a tensor of shape \[6, 1, 3\] where"),
    ],
)
def test_answers_without_logits_are_refused(answer, reason):
    torch.manual_seed(0)
    with pytest.raises(InputError, match=reason):
        Engine(Answering(answer)).backward({"input_ids": IDS, "labels": LABELS})


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("BertForMaskedLM", "a masked language model"),
        ("GPT2LMHeadModel", "a causal language model"),
        ("BertForQuestionAnswering", "a question-answering model"),
        ("BertForMultipleChoice", "a model that chooses one of several texts"),
        ("T5ForConditionalGeneration", "a model that writes texts"),
    ],
)
def test_models_that_are_no_classifiers_are_refused(name, kind):
    other = type(name, (Renamed,), {})
    torch.manual_seed(0)
    with pytest.raises(InputError, match=f"{name} is {kind}, and Toughen trains classifiers"):
        Engine(other())


def test_a_bare_encoder_is_refused():
    with pytest.raises(InputError, match="answers with last_hidden_state, pooler_output and no logits"):
        Engine(tiny("bert").bert).backward({"input_ids": IDS, "labels": LABELS})


@pytest.mark.parametrize("dtype", [torch.float64, torch.int64])
def test_weights_of_rows_may_be_of_any_kind_of_number(dtype):
    """Doubles, what pandas makes, ended the step after its backward, with half the gradients in place."""
    model, batch = made(Renamed), {"input_ids": IDS, "labels": LABELS}
    engine = Engine(model, adversary=Fgm(radius=0.5))
    weight = torch.tensor([1, 0, 1, 1, 0, 1])
    found = gradients(engine, batch | {"weight": weight.to(dtype)})
    assert alike(found, gradients(engine, batch | {"weight": weight.float()}))
    assert not alike(found, gradients(engine, batch))


def longformer():
    from transformers import LongformerConfig, LongformerForSequenceClassification

    torch.manual_seed(0)
    small = {"vocab_size": WORDS, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LongformerConfig(
        **small, intermediate_size=48, max_position_embeddings=40, attention_window=8, pad_token_id=0, num_labels=3,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    return LongformerForSequenceClassification(config).train()


def test_a_model_that_pads_its_batches_itself_can_be_perturbed():
    """Longformer embeds 16 tokens of 9; it used to be refused. The gradient is that of the batch padded by hand."""
    model = longformer()
    engine = Engine(model, adversary=Fgm(radius=0.5))
    found = gradients(engine, {"input_ids": IDS, "labels": LABELS})
    by_hand = nn.functional.pad(IDS, (0, 7))
    theirs = gradients(engine, {"input_ids": by_hand, "attention_mask": (by_hand > 0).long(), "labels": LABELS})
    assert alike(found, theirs)
    plain = gradients(Engine(model), {"input_ids": IDS, "labels": LABELS})
    assert not alike(found, plain), "nothing was perturbed"
