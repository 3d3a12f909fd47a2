"""Gradients against closed forms of the linear model; PGD against its exact radius."""

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from attack.bow import NEIGHBOURS, WEIGHTS, bag_of_words, score
from attack.test_attack_search import ROWS
from toughen.attack import attack
from toughen.attack.local_models import EmbeddingNeighbours, whole_words
from toughen.attack.search_requests import Gains
from toughen.attack.whitebox import WhiteBox, _tokens_of_words, require_white_box
from toughen.classifier.classifier import Classifier
from toughen.data.words import Words
from toughen.errors import InputError

LINEAR = bag_of_words()
UNIT = float(LINEAR.model.table.weight.detach().norm(dim=1).mean())


def test_gains_of_a_linear_model_are_what_the_replacements_do():
    texts = [Words.of("a great film, but the plot was bad"), Words.of("Superb."), Words.of("poor poor poor book")]
    requests = [
        Gains(text, label, tuple((i, new) for i in range(len(text)) for new in ("superb", "dull", "unheard")))
        for text, label in zip(texts, (1, 1, 0), strict=True)
    ]
    for request, gains in zip(requests, WhiteBox(LINEAR, batch_size=2).answer(requests), strict=True):
        sign = -1 if request.label == 1 else 1
        before = score(" ".join(request.words.words))
        after = [score(" ".join(request.words.replaced(i, new).words)) for i, new in request.replacements]
        assert gains == pytest.approx(sign * (np.array(after) - before))
        assert np.ptp(gains) > 1


def test_words_that_are_cut_off_have_no_gain():
    short = Classifier(LINEAR.model, LINEAR.tokenizer, LINEAR.label_names, max_length=4)
    (gains,) = WhiteBox(short).answer([Gains(Words.of("good film was bad"), 1, ((1, "bad"), (3, "good")))])
    assert np.isfinite(gains).tolist() == [True, False]


def test_the_model_is_left_as_it_was():
    model = LINEAR.model
    before = {name: p.clone() for name, p in model.named_parameters()}
    attack(LINEAR, ROWS[:5], "hotflip", neighbours=NEIGHBOURS)
    attack(LINEAR, ROWS[:5], "pgd")
    assert all(torch.equal(p, before[name]) and p.grad is None for name, p in model.named_parameters())
    assert not model.table._forward_hooks
    assert not model.training


@pytest.mark.parametrize("radius", [0.1, 0.5, 2.0])
def test_pgd_fools_a_linear_model_exactly_within_its_radius(radius):
    """L tokens each pushed by radius / sqrt(L) along the weight move the margin by radius sqrt(L)."""
    result = attack(LINEAR, ROWS, "pgd", radius=radius)
    unit = UNIT
    kinds = set()
    for outcome in result.outcomes:
        tokens = len(outcome.text.split())
        reach = radius * unit * np.sqrt(tokens) - abs(score(outcome.text))
        assert abs(reach) > 1e-6, "a text on the border would test rounding"
        assert (outcome.status == "fooled") == (reach > 0)
        kinds.add(outcome.status)
        assert outcome.adversarial is None
        assert 1 <= outcome.queries <= 11
    assert kinds == {"fooled", "held"} or radius != 0.5


def test_pgd_moves_neither_padding_nor_special_tokens():
    """In one batch with a long text, a short one is fooled no easier than alone."""
    short, long = ("nice", "positive"), ("great " * 12, "positive")
    for share, status in ((0.6, "held"), (0.95, "held"), (1.05, "fooled")):
        radius = share * score("nice") / UNIT  # two special tokens more would do with 0.58 of it
        for rows in ([short], [short, long]):
            assert attack(LINEAR, rows, "pgd", radius=radius).outcomes[0].status == status


def byte_level_tokenizer():
    inner = Tokenizer(models.BPE(unk_token=None))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=330, special_tokens=["<s>", "</s>", "<pad>"], initial_alphabet=alphabet, show_progress=False
    )
    inner.train_from_iterator(["a good film and a good meal", "the good film was good"] * 20, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", bos_token="<s>", eos_token="</s>")


@pytest.mark.parametrize(
    "text", ["a good film", "Well, a (good)   film!", "it's good... unbelievably good", "很好 good"]
)
def test_tokens_are_found_in_their_words(text):
    """For a tokenizer that makes the space before a word part of its first token."""
    tokenizer = byte_level_tokenizer()
    encoded = tokenizer(text, return_offsets_mapping=True)
    words = Words.of(text)
    tokens = _tokens_of_words(words, encoded["offset_mapping"], [0] * len(encoded["input_ids"]))
    assert sorted(tokens) == list(range(len(words)))
    for i, own in tokens.items():
        assert words.words[i] in tokenizer.decode([encoded["input_ids"][t] for t in own])


def test_whole_words_of_a_vocabulary():
    byte_level = set(whole_words(byte_level_tokenizer()).values())
    assert {"good", "film"} <= byte_level
    assert set(whole_words(LINEAR.tokenizer).values()) == {*WEIGHTS, "the", "was", "and"}


def test_neighbours_are_the_nearest_by_cosine():
    table, tokenizer = LINEAR.model.table.weight.detach(), LINEAR.tokenizer
    near = EmbeddingNeighbours(table, tokenizer, most=3, least=0.9)
    rows = {word: table[i] for i, word in whole_words(tokenizer).items()}
    for word in ("great", "bad"):
        cosines = {w: float(torch.cosine_similarity(rows[word], row, dim=0)) for w, row in rows.items() if w != word}
        best = sorted(cosines.values(), reverse=True)[:3]
        assert [cosines[other] for other in near[word]] == pytest.approx([c for c in best if c >= 0.9])
    assert "unheard" not in near
    assert near.get("unheard", ()) == ()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"members": (1, 2)}, "is several .in folds, or a combination."),
        ({"truncation": "windows"}, "reads windows"),
        ({"tokenizer": None}, "a fast tokenizer"),
    ],
)
def test_models_without_one_gradient_are_refused(change, says):
    classifier = bag_of_words()
    for name, value in change.items():
        setattr(classifier, name, value)
    with pytest.raises(InputError, match=says):
        require_white_box(classifier, "hotflip")
