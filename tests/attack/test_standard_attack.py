"""The standard attack: the worst case per text, and warnings that come where they should and only there."""

import json

import pyarrow.parquet as pq
import pytest
import torch

from attack.bow import bag_of_words
from attack.test_attack_search import ROWS, reviews
from toughen.attack import as_html, side_by_side, standard
from toughen.attack.standardised import MEMBERS
from toughen.errors import InputError

MANY = reviews(80, seed=2, longest=6)


@pytest.fixture(scope="module")
def result():
    return standard(bag_of_words(), MANY)


def test_the_worst_case_is_taken_text_by_text(result):
    fooled = [
        any(outcomes[k].status == "fooled" for outcomes in (r.outcomes for r in result.members.values()))
        for k in range(len(MANY))
    ]
    assert result.robust_accuracy == pytest.approx(1 - sum(fooled) / len(MANY))
    afters = [member.accuracy_after for member in result.members.values()]
    assert result.robust_accuracy <= min(afters)
    assert 0 < result.robust_accuracy < result.accuracy_before == 1
    low, high = result.interval
    assert low < result.robust_accuracy < high


def test_an_honest_model_gets_no_warning(result):
    assert result.flags == ()
    after = [bound.accuracy_after for bound in result.bounds.values()]
    assert after == sorted(after, reverse=True)
    assert after[0] > after[-1]


def test_nothing_of_the_set_can_be_tuned():
    import inspect

    settings = set(inspect.signature(standard).parameters)
    assert settings == {"run_or_classifier", "data", "limit", "seed", "batch_size", "columns", "progress"}
    assert list(MEMBERS) == ["character", "word", "white-box"]


def test_a_masked_gradient_is_flagged():
    """The same answers from logits cut to steps, through which no gradient comes."""
    classifier = bag_of_words()
    forward = classifier.model.forward

    def stepped(**batch):
        output = forward(**batch)
        output.logits = torch.round(output.logits.detach() * 8) / 8 + 0 * output.logits
        return output

    classifier.model.forward = stepped
    result = standard(classifier, MANY)
    assert result.accuracy_before == 1
    assert any("moving the embeddings" in flag for flag in result.flags)
    assert any("success should rise with the budget" in flag for flag in result.flags)


def test_a_random_answer_is_flagged():
    classifier = bag_of_words(dropout=0.3)
    classifier.model.dropout.train()
    result = standard(classifier, MANY[:20])
    assert any("differently from time to time" in flag for flag in result.flags)


def test_printing_json_and_pairs(result, tmp_path):
    assert json.loads(json.dumps(result.as_dict()))["robust_accuracy"] == result.robust_accuracy
    assert ("accuracy before", "1.000") in result.rows()
    result.save(tmp_path / "pairs.parquet")
    saved = pq.read_table(tmp_path / "pairs.parquet").to_pylist()
    assert {row["attack"] for row in saved} == set(MEMBERS.values())
    assert len(saved) == sum(member.fooled for member in result.members.values())


def test_the_two_texts_stand_side_by_side_with_what_differs_marked(result):
    from rich.console import Console

    member = result.members["character"]
    console = Console(width=140, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    with console.file:
        console.print(side_by_side(member, most=3))
        printed = console.export_text()
    page = as_html(member, most=3)
    for outcome in member.pairs[:3]:
        assert f" {outcome.row} " in printed
        assert outcome.adversarial in printed
    assert page.count("<del>") == page.count("<ins>") == sum(outcome.changed for outcome in member.pairs[:3])
    assert "success rate" in page


def test_html_is_escaped():
    from toughen.attack import attack

    result = attack(bag_of_words(), [("fine <b>film</b> & more", "positive")], neighbours={"fine": ["weak"]})
    page = as_html([result, result])
    assert "<del>fine</del> &lt;b&gt;film" in page
    assert "<b>" not in page


def test_data_that_an_attack_cannot_take():
    with pytest.raises(InputError, match="the data are pairs"):
        standard(bag_of_words(), [{"text": "a", "text_pair": "b", "label": "positive"}] * 2)
    classifier = bag_of_words()
    classifier.task = "regression"
    with pytest.raises(InputError, match="the model does regression"):
        standard(classifier, ROWS)
