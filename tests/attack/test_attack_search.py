"""Searches against the provable optimum of a linear model, and the joint search against the plain one."""

import random
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attack.bow import NEIGHBOURS, WEIGHTS, bag_of_words, best_attack, score
from toughen.attack import ATTACKS, attack
from toughen.attack.constraints import STOP_WORDS
from toughen.attack.queries import PART
from toughen.data.words import Words
from toughen.errors import InputError

LINEAR = bag_of_words()
SUBSTITUTIONS = ("textfooler", "pwws", "beam", "hotflip")


def reviews(count, seed, longest=7):
    """Return (text, label) that the bag of words answers rightly, none of them on the border."""
    rng = random.Random(seed)
    rows = {}
    while len(rows) < count:
        text = " ".join(rng.choices([*WEIGHTS, "the", "was"], k=rng.randint(2, longest)))
        if score(text):
            rows[text] = "positive" if score(text) > 0 else "negative"
    return list(rows.items())


ROWS = reviews(40, seed=1)


@pytest.mark.parametrize("share", [0.2, 0.4, 1.0])
@pytest.mark.parametrize("name", ["beam", "hotflip"])
def test_a_beam_finds_the_fewest_words_that_turn_a_linear_model(name, share):
    """Success exactly where some choice of replacements turns the answer, and with as few words as any."""
    result = attack(LINEAR, ROWS, name, neighbours=NEIGHBOURS, max_changed=share, budget=None)
    assert result.attacked == len(ROWS)
    kinds = set()
    for outcome in result.outcomes:
        most = max(1, int(share * len(outcome.text.split()) + 1e-9))
        optimum = best_attack(outcome.text, outcome.label, most)
        kinds.add(optimum)
        assert (outcome.status == "fooled") == (optimum is not None), outcome.text
        assert outcome.changed == (optimum or 0)
    assert {None, 1} <= kinds
    assert share < 1 or 2 in kinds, "the optimum is put to the test only if some text needs two words"


@pytest.mark.parametrize("name", ["textfooler", "pwws"])
def test_a_greedy_search_succeeds_on_a_linear_model_where_success_is_possible(name):
    """With every word open, replacing each by its best cannot miss; with few, the rank of the words may."""
    result = attack(LINEAR, ROWS, name, neighbours=NEIGHBOURS, max_changed=1.0, budget=None)
    for outcome in result.outcomes:
        assert (outcome.status == "fooled") == (best_attack(outcome.text, outcome.label, 99) is not None)
    assert 0 < result.fooled < result.attacked


def test_the_gradient_spares_queries():
    plain, guided = (attack(LINEAR, ROWS, name, neighbours=NEIGHBOURS) for name in ("beam", "hotflip"))
    assert [o.status for o in plain.outcomes] == [o.status for o in guided.outcomes]
    assert guided.queries_per_example < plain.queries_per_example


@pytest.mark.parametrize("name", ["deepwordbug", *SUBSTITUTIONS])
def test_the_same_seed_gives_the_same_result(name):
    first, second = (attack(LINEAR, ROWS, name, neighbours=NEIGHBOURS, seed=3, limit=20) for _ in range(2))
    assert first.outcomes == second.outcomes
    assert attack(LINEAR, ROWS, name, seed=4, limit=20).outcomes != first.outcomes, "the seed draws the texts"


def test_the_seed_chooses_the_edits():
    first, second = (attack(LINEAR, ROWS, "deepwordbug", seed=seed) for seed in (0, 1))
    assert [o.adversarial for o in first.outcomes] != [o.adversarial for o in second.outcomes]


@pytest.mark.parametrize("budget", [5, None])
@pytest.mark.parametrize("name", ["deepwordbug", "textfooler", "pwws", "beam"])
def test_the_joint_search_finds_what_the_plain_one_finds_in_fewer_passes(name, budget):
    """Side by side, remembered, sorted by length, no further than a success: same outcomes, fewer passes."""
    joint, plain = (
        attack(LINEAR, ROWS[:20], name, neighbours=NEIGHBOURS, max_changed=0.5, budget=budget, reference=reference)
        for reference in (False, True)
    )
    assert found_by(joint) == found_by(plain)
    assert all(ours.queries <= theirs.queries for ours, theirs in zip(joint.outcomes, plain.outcomes, strict=True))
    assert joint.fooled > 0
    assert joint.passes < plain.passes / 3
    assert joint.texts_run <= plain.texts_run


def found_by(result):
    """Return the outcomes but for what they cost."""
    return [replace(outcome, queries=0) for outcome in result.outcomes]


def test_nothing_behind_a_success_is_asked_about():
    """With 12 neighbours of which the first already succeeds, a part of them is asked about; a held text has all."""
    words = ["poor", "weak", "dull", "plain", "awful", "dreadful", "bad", "room", "book", "film", "story", "plot"]
    rows, lists = [("good film", "positive")], {"good": words}
    joint, plain = (attack(LINEAR, rows, "textfooler", neighbours=lists, reference=r) for r in (False, True))
    assert found_by(joint) == found_by(plain)
    assert (joint.outcomes[0].queries, plain.outcomes[0].queries) == (2 + PART, 2 + 12)
    held = {"good": ["superb", "great", *words[-2:], "nice", "decent"]}
    rows = [("superb superb superb good film", "positive")]
    joint, plain = (attack(LINEAR, rows, "textfooler", neighbours=held, reference=r) for r in (False, True))
    assert joint.outcomes == plain.outcomes
    assert joint.fooled == 0


def test_remembering_saves_texts():
    """Beams meet the same text on several ways, and neighbouring texts of the data share versions."""
    rows = [("good good good nice film", "positive"), ("good good nice good film", "positive")]
    joint, plain = (
        attack(LINEAR, rows, "beam", neighbours=NEIGHBOURS, max_changed=1.0, reference=reference)
        for reference in (False, True)
    )
    assert joint.outcomes == plain.outcomes
    assert joint.texts_run < plain.texts_run


@pytest.mark.parametrize("name", ["deepwordbug", *SUBSTITUTIONS])
@pytest.mark.parametrize("budget", [1, 4, 9])
def test_no_text_costs_more_than_the_budget(name, budget):
    result = attack(LINEAR, ROWS, name, neighbours=NEIGHBOURS, max_changed=1.0, budget=budget)
    spent = [outcome.queries for outcome in result.outcomes if outcome.status != "wrong"]
    assert max(spent) == budget
    free = attack(LINEAR, ROWS, name, neighbours=NEIGHBOURS, max_changed=1.0, budget=None)
    assert max(outcome.queries for outcome in free.outcomes) > budget
    assert result.fooled >= free.success_at([budget])[0] * free.attacked
    assert free.success_at([10**6]) == [free.success_rate]


def test_texts_that_are_wrong_already_are_not_attacked():
    rows = [("good film", "positive"), ("good film indeed", "negative"), ("poor film", "negative")]
    result = attack(LINEAR, rows, "textfooler", neighbours=NEIGHBOURS, max_changed=1.0)
    assert [outcome.status for outcome in result.outcomes] == ["fooled", "wrong", "held"]
    assert result.outcomes[1].queries == 0
    assert (result.accuracy_before, result.accuracy_after, result.success_rate) == (2 / 3, 1 / 3, 1 / 2)


words = st.sampled_from([*WEIGHTS, "the", "was", "and", "Good", "GREAT", "it's"])
gaps = st.sampled_from([" ", ", ", " - ", "! ", " (", "\n"])


@st.composite
def texts(draw):
    chosen = draw(st.lists(words, min_size=1, max_size=8))
    return "".join(word + draw(gaps) for word in chosen) + draw(st.sampled_from(["", ".", "end"]))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(texts(), min_size=1, max_size=6),
    st.sampled_from(["deepwordbug", *SUBSTITUTIONS]),
    st.sampled_from([0.2, 0.5, 1.0]),
    st.sampled_from([3, 200]),
)
def test_constraints_hold_on_every_saved_pair(tmp_path, chosen, name, share, budget):
    """Read back from the file: rows, answers, share of words, stop words, label words, gaps, budget."""
    rows = [(text, "positive" if LINEAR.predict([text])[0]["label"] == "positive" else "negative") for text in chosen]
    neighbours = {**NEIGHBOURS, "fine": ["positive", "the", "okay", "two words", "weak"]}
    result = attack(LINEAR, [*rows, *SURE], name, neighbours=neighbours, max_changed=share, budget=budget)
    result.save(tmp_path / "pairs.parquet")
    pairs = pq.read_table(tmp_path / "pairs.parquet").to_pylist()
    assert len(pairs) == result.fooled
    assert pairs or budget < 200, "one word turns the sure one"
    for pair in pairs:
        assert pair["text"] == [*rows, *SURE][pair["row"]][0]
        assert pair["predicted"] == LINEAR.predict([pair["adversarial"]])[0]["label"] != pair["label"]
        original, new = Words.of(pair["text"]), Words.of(pair["adversarial"])
        assert original.gaps == new.gaps
        changed = original.changed(new)
        assert 1 <= len(changed) == pair["changed"] <= max(1, share * pair["words"])
        assert not {original.words[i].lower() for i in changed} & STOP_WORDS
        assert not {new.words[i].lower() for i in changed} & (STOP_WORDS | {"positive", "negative"})
        assert pair["queries"] <= budget


SURE = [("nice", "positive")]


def test_constraints_bind():
    """The canary of the property: without the rule, the forbidden replacement is what the search takes."""
    rows = [("fine", "positive")]
    neighbours = {"fine": ["negative", "not"]}
    assert attack(LINEAR, rows, "textfooler", neighbours=neighbours).fooled == 0
    other = bag_of_words(names=("bad", "good"))
    rows = [("fine", "good")]
    assert attack(other, rows, "textfooler", neighbours={"fine": ["negative"]}, stop_words=[]).fooled == 1
    assert attack(other, rows, "textfooler", neighbours={"fine": ["bad"]}, stop_words=[]).fooled == 0
    assert attack(other, rows, "textfooler", neighbours={"fine": ["poor"]}).fooled == 1
    assert attack(other, rows, "textfooler", neighbours={"fine": ["poor"]}, stop_words=["fine"]).fooled == 0


def test_neighbours_from_the_models_own_embeddings():
    """By cosine, which in two dimensions finds words of the same sign first."""
    result = attack(LINEAR, ROWS, "textfooler", max_changed=1.0)
    assert "own embeddings" in result.transformation
    assert result.fooled > 0
    for outcome in result.pairs:
        for word in Words.of(outcome.adversarial).words:
            assert word in {*WEIGHTS, "the", "was", "and"}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"attack": "genetic"}, f"attack must be one of {', '.join(ATTACKS)}, got 'genetic'."),
        ({"max_changed": 0.0}, "max_changed must be above 0 and at most 1, got 0.0."),
        ({"budget": 0}, "budget must be at least 1, got 0."),
        ({"precision": "fp8"}, "precision must be fp32 or bf16, got 'fp8'."),
        ({"limit": 0}, "limit must be at least 1, got 0."),
        ({"attack": "pgd", "radius": 0.0}, "radius must be above 0, got 0.0."),
        ({"attack": "bae"}, "the attack bae needs a masked language model; give the folder of one (mlm)."),
        ({"similarity": 2.0, "encoder": "nowhere"}, "similarity must be between -1 and 1, got 2.0."),
        ({"encoder": "nowhere"}, "nowhere holds no sentence encoder (no config.json)"),
        ({"neighbours": {"good": []}}, "holds no word with an alternative"),
    ],
)
def test_refusals(changes, says):
    with pytest.raises(InputError) as caught:
        attack(LINEAR, ROWS, **{"neighbours": NEIGHBOURS, **changes})
    assert says in str(caught.value)


def test_part_of_speech_without_a_tagger_is_refused_by_name(monkeypatch):
    monkeypatch.setattr("toughen.attack.constraints.find_spec", lambda name: None)
    with pytest.raises(InputError, match="nltk is not installed"):
        attack(LINEAR, ROWS, neighbours=NEIGHBOURS, same_part_of_speech=True)


def test_part_of_speech_by_a_tagger(monkeypatch):
    """A stand-in for nltk that calls "story" a verb: no film becomes a story."""
    import sys
    from types import SimpleNamespace

    def pos_tag(words, tagset):
        return [(word, "VERB" if word in ("story", "poor") else "NOUN") for word in words]

    monkeypatch.setitem(sys.modules, "nltk", SimpleNamespace(pos_tag=pos_tag, __spec__=SimpleNamespace()))
    rows, neighbours = [("fine", "positive")], {"fine": ["poor", "weak"]}
    assert attack(LINEAR, rows, neighbours=neighbours).pairs[0].adversarial == "poor"
    chosen = attack(LINEAR, rows, neighbours=neighbours, same_part_of_speech=True)
    assert chosen.pairs[0].adversarial == "weak"
    assert "same part of speech (nltk)" in chosen.constraints
