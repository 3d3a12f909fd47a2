"""Attacks on real architectures: a tiny BERT by default, all-MiniLM-L6-v2 when slow tests run."""

import csv
from dataclasses import replace

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoTokenizer, BertConfig, BertForMaskedLM, BertModel

from attack.bow import bag_of_words
from saved_models import save_classifier
from tiny import reviews, save_tiny_model
from toughen.attack import ATTACKS, attack, certify, noise_curve, standard
from toughen.attack.local_models import Encoder, MaskedModel
from toughen.attack.queries import Queries
from toughen.attack.search_requests import Fills, Scores, Similarities
from toughen.classifier.classifier import Classifier
from toughen.data.words import Words
from toughen.errors import InputError

NAMES = ("negative", "positive")


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("pretrained"))


@pytest.fixture(scope="module")
def classifier(pretrained, tmp_path_factory):
    return Classifier.load(save_classifier(pretrained, tmp_path_factory.mktemp("model"), "single-label"))


@pytest.fixture(scope="module")
def masked(pretrained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("masked")
    torch.manual_seed(0)
    BertForMaskedLM(BertConfig.from_pretrained(pretrained)).save_pretrained(folder)
    AutoTokenizer.from_pretrained(pretrained).save_pretrained(folder)
    return folder


def answered(classifier, texts):
    """Return texts with the model's own answers as labels."""
    return [(text, answer["label"]) for text, answer in zip(texts, classifier.predict(texts), strict=True)]


class Libc:
    """Counts how often freed memory is given back."""

    trims = 0

    def mallopt(self, *_):
        pass

    def malloc_trim(self, _):
        self.trims += 1


@pytest.mark.parametrize("name", ["deepwordbug", "pgd"])
def test_an_attack_gives_freed_memory_back_once_at_its_end(name, classifier, monkeypatch):
    """Not after each of its questions; canary: asking a few texts without an attack keeps nothing to give back."""
    libc = Libc()
    monkeypatch.setattr("toughen.machine.allocator._glibc", lambda: libc)
    rows = answered(classifier, [text for text, _ in reviews(4, seed=0)])
    assert libc.trims == 0
    assert attack(classifier, rows, name).queries_per_example > 0
    assert libc.trims == 1


@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_fools_a_transformer(name, classifier, masked, tmp_path):
    rows = answered(classifier, [text for text, _ in reviews(24, seed=0)])
    result = attack(classifier, rows, name, mlm=masked, max_changed=0.5, stop_words=["the"], radius=1.0)
    assert result.accuracy_before == 1
    assert result.fooled > 0
    assert result.queries_per_example > 0
    result.save(tmp_path / "pairs.parquet")
    pairs = pq.read_table(tmp_path / "pairs.parquet").to_pylist()
    assert len(pairs) == (0 if name == "pgd" else result.fooled)
    for pair in pairs:
        assert rows[pair["row"]] == (pair["text"], pair["label"])
        assert classifier.predict([pair["adversarial"]])[0]["label"] == pair["predicted"] != pair["label"]
    assert not classifier.model.training


def test_side_by_side_search_equals_one_by_one(classifier):
    rows = answered(classifier, [text for text, _ in reviews(12, seed=3)])
    joint, plain = (attack(classifier, rows, "textfooler", reference=reference) for reference in (False, True))
    assert [replace(o, queries=0) for o in joint.outcomes] == [replace(o, queries=0) for o in plain.outcomes]
    assert joint.passes < plain.passes


def test_ranks_may_stay_rounded_until_a_decision_hangs_on_them(classifier):
    texts = tuple(dict.fromkeys(text for text, _ in reviews(40, seed=3)))
    exact = Queries(classifier).probabilities(texts)
    queries = Queries(classifier, precision="bf16")
    (ranked,) = queries.answer([Scores(texts, roughly=True)])
    near = np.abs(np.log(ranked[:, 0] / ranked[:, 1])) < 0.4
    assert near.any()
    assert not np.allclose(ranked[near], exact[near], atol=1e-6)
    assert queries.texts_run == len(texts)
    both = queries.answer([Scores(texts, roughly=True), Scores(texts[:20])])
    assert np.allclose(both[1][near[:20]], exact[:20][near[:20]], atol=1e-6)
    assert queries.texts_run <= len(texts) + 20, "only what a decision hangs on is asked again"


def test_a_search_in_bfloat16_takes_its_decisions_in_float32(classifier):
    """Rounded probabilities of clear texts, exact ones of those near the border; successes stand in float32."""
    texts = list(dict.fromkeys(text for text, _ in reviews(40, seed=3)))
    exact = Queries(classifier).probabilities(texts)
    rough = Queries(classifier, precision="bf16").probabilities(texts)
    near = np.abs(np.log(rough[:, 0] / rough[:, 1])) < 0.4
    assert near.any()
    assert not near.all()
    assert np.allclose(rough[near], exact[near], atol=1e-6)
    assert not np.allclose(rough[~near], exact[~near], atol=1e-6), "the clear ones are rounded"
    assert np.allclose(rough, exact, atol=0.15)
    result = attack(classifier, answered(classifier, texts[:12]), "textfooler", precision="bf16")
    assert result.fooled > 0 == result.unconfirmed
    for outcome in result.pairs:
        assert classifier.predict([outcome.adversarial])[0]["label"] == NAMES[outcome.after] != NAMES[outcome.label]


def test_noise_standard_and_certificates_of_a_transformer(classifier):
    rows = answered(classifier, [text for text, _ in reviews(8, seed=5)])
    assert noise_curve(classifier, rows, corruptions=["drop"]).clean.value == 1
    assert standard(classifier, rows).accuracy_before == 1
    assert certify(classifier, rows[:2], copies=20, first_copies=5).n == 2


def test_fills_are_the_likeliest_whole_words(masked):
    """Against a pass of the model on the masked text alone."""
    words = Words.of("the film was good")
    (found,) = MaskedModel(masked, most=4).answer([Fills(words, (1, 3))])
    model, tokenizer = BertForMaskedLM.from_pretrained(masked).eval(), AutoTokenizer.from_pretrained(masked)
    for own, text in zip(found, ("the [MASK] was good", "the film was [MASK]"), strict=True):
        batch = tokenizer(text, return_tensors="pt")
        at = int((batch["input_ids"][0] == tokenizer.mask_token_id).nonzero())
        with torch.no_grad():
            order = model(**batch).logits[0, at].argsort(descending=True)
        words_only = [tokenizer.convert_ids_to_tokens(int(i)) for i in order if int(i) >= 5]
        assert own == words_only[:4]


def test_similarities_are_cosines_of_mean_vectors(pretrained):
    encoder, texts = Encoder(pretrained, batch_size=2), ("a good film", "a bad film and a cold meal", "the room")
    (found, again) = encoder.answer([Similarities(texts[0], texts), Similarities(texts[1], texts[:1])])
    model, tokenizer = BertModel.from_pretrained(pretrained).eval(), AutoTokenizer.from_pretrained(pretrained)
    with torch.no_grad():
        means = [model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0) for text in texts]
    by_hand = [float(torch.cosine_similarity(means[0], mean, dim=0)) for mean in means]
    assert found == pytest.approx(by_hand, abs=1e-5)
    assert again == pytest.approx(by_hand[1:2], abs=1e-5)
    assert found[0] == pytest.approx(1)


def test_sentence_similarity_holds_on_every_pair(classifier, pretrained):
    rows = answered(classifier, [text for text, _ in reviews(24, seed=0)])
    options = {"max_changed": 1.0, "stop_words": ["the"]}
    free = attack(classifier, rows, "beam", **options)
    encoder = Encoder(pretrained)
    cosines = [float(np.prod(encoder.vectors([o.text, o.adversarial]), axis=0).sum()) for o in free.pairs]
    least = float(np.median(cosines))
    bound = attack(classifier, rows, "beam", encoder=pretrained, similarity=least, **options)
    assert any(constraint.startswith("sentence similarity") for constraint in bound.constraints)
    assert bound.pairs
    for outcome in bound.pairs:
        assert float(np.prod(encoder.vectors([outcome.text, outcome.adversarial]), axis=0).sum()) >= least - 1e-6
    assert min(cosines) < least, "without the constraint some pair is less alike"


@pytest.mark.parametrize(("kind", "says"), [(Encoder, "sentence encoder"), (MaskedModel, "masked language model")])
def test_folders_without_a_model_are_refused(kind, says, tmp_path):
    with pytest.raises(InputError, match=f"holds no {says}"):
        kind(tmp_path).answer([Fills(Words.of("a"), (0,))] if kind is MaskedModel else [Similarities("a", ("b",))])


def test_an_encoder_without_a_language_model_head_is_refused(pretrained):
    """Random words would be worse than none."""
    with pytest.raises(InputError, match="it lacks"):
        MaskedModel(pretrained).answer([Fills(Words.of("a"), (0,))])


def test_a_threshold_decides_what_a_success_is():
    """An answer of 1 from 0.9 on: one word less sure turns it, and already the margin counts from there."""
    classifier = bag_of_words()
    classifier.thresholds = (0.9,)
    rows, neighbours = [("superb", "positive")], {"superb": ["great"]}
    assert attack(classifier, rows, neighbours=neighbours).fooled == 1
    classifier.thresholds = None
    assert attack(classifier, rows, neighbours=neighbours).fooled == 0


def test_a_run_folder_is_opened(monkeypatch, tmp_path):
    with pytest.raises(InputError, match="is not a run folder"):
        attack(tmp_path, [("good", "positive")])
    with pytest.raises(TypeError, match="a run, its folder or a classifier"):
        attack(object(), [("good", "positive")])


def test_rows_of_a_dataset_are_kept():
    rows = datasets.Dataset.from_dict({"text": ["fine", "nice"], "label": [1, 1], "row": [70, 9]})
    result = attack(bag_of_words(), rows, neighbours={"fine": ["weak"]})
    assert [(outcome.row, outcome.status) for outcome in result.outcomes] == [(70, "fooled"), (9, "held")]


@pytest.mark.slow
def test_minilm_joint_search_finds_the_same_in_fewer_passes():
    """On the shipped corpus, with a random head: the same successes in less than half the passes."""
    from toughen.demo.corpus import FOLDER
    from toughen.demo.encoder import find_minilm

    torch.manual_seed(0)
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(find_minilm(), num_labels=2).eval()
    classifier = Classifier(model, AutoTokenizer.from_pretrained(find_minilm()), NAMES, 64)
    with (FOLDER / "test.csv").open(encoding="utf-8", newline="") as stream:
        texts = [row["text"] for row in csv.DictReader(stream)][:24]
    rows = answered(classifier, texts)
    joint, plain = (attack(classifier, rows, "textfooler", reference=reference) for reference in (False, True))
    assert [outcome.status for outcome in joint.outcomes] == [outcome.status for outcome in plain.outcomes]
    assert joint.passes < plain.passes / 2
    rounded = attack(classifier, rows, "textfooler", precision="bf16")
    assert rounded.success_rate == pytest.approx(plain.success_rate, abs=0.1)
    assert attack(classifier, rows, "hotflip").fooled > 0
    assert attack(classifier, rows, "pgd", radius=1.0).success_rate == 1
