"""Attacks on pairs of texts: one text is changed and the other stays, and the model reads both."""

import json
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from tokenizers import processors

import toughen
from attack.bow import NEIGHBOURS, bag_of_words, best_attack, score
from attack.test_attack_search import reviews
from tiny import save_tiny_model
from toughen.attack import as_html, attack, certify, side_by_side, standard
from toughen.cli import main
from toughen.errors import InputError


def linear():
    """Return the bag of words as a model of pairs: the log odds are the sum over both texts."""
    made = bag_of_words()
    special = [(token, made.tokenizer.convert_tokens_to_ids(token)) for token in ("[CLS]", "[SEP]")]
    made.tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=special
    )
    return replace(made, pairs=True)


LINEAR = linear()
TEXTS = [text for text, _ in reviews(60, seed=3, longest=4)]
ROWS = [
    {"text": one, "text_pair": other, "label": "positive" if score(one) + score(other) > 0 else "negative"}
    for one, other in zip(TEXTS[:30], TEXTS[30:], strict=True)
    if score(one) + score(other)
]


@pytest.mark.parametrize("side", ["first", "second", None])
def test_a_beam_turns_a_pair_exactly_where_some_choice_of_words_in_that_text_does(side):
    result = attack(LINEAR, ROWS, "beam", neighbours=NEIGHBOURS, max_changed=1.0, budget=None, side=side)
    changed, stays = ("text", "text_pair") if side == "first" else ("text_pair", "text")
    assert result.attacked == len(ROWS)
    for outcome in result.outcomes:
        row = ROWS[outcome.row]
        assert (outcome.text, outcome.beside) == (row[changed], row[stays])
        # The best that the words of one text can do against the sum of both.
        ways = {score(text) for text in _versions(outcome.text)}
        turned = any((way + score(outcome.beside) > 0) != bool(outcome.label) for way in ways)
        assert (outcome.status == "fooled") == turned
        if outcome.adversarial is not None:
            assert (score(outcome.adversarial) + score(outcome.beside) > 0) != bool(outcome.label)
    assert 0 < result.fooled < result.attacked
    alone = [best_attack(o.text, o.label, 99) is not None for o in result.outcomes]
    assert alone != [o.status == "fooled" for o in result.outcomes], "canary: the other text counts"


def _versions(text):
    from itertools import product

    return {" ".join(words) for words in product(*([word, *NEIGHBOURS.get(word, [])] for word in text.split()))}


@pytest.mark.parametrize("name", ["deepwordbug", "textfooler", "pwws", "beam"])
def test_searching_together_finds_what_searching_one_by_one_finds(name):
    more = {} if name == "deepwordbug" else {"neighbours": NEIGHBOURS}
    together, apart = (attack(LINEAR, ROWS, name, reference=slow, **more) for slow in (False, True))
    assert [replace(o, queries=0) for o in together.outcomes] == [replace(o, queries=0) for o in apart.outcomes]
    assert together.fooled


def test_equal_texts_beside_different_ones_are_asked_about_apart():
    rows = [
        {"text": "superb film", "text_pair": "fine plot", "label": "positive"},
        {"text": "decent film", "text_pair": "fine plot", "label": "positive"},
        {"text": "dreadful film", "text_pair": "fine plot", "label": "negative"},
    ]
    result = attack(LINEAR, rows, neighbours=NEIGHBOURS, max_changed=1.0)
    assert [o.status for o in result.outcomes] == ["held", "held", "held"]
    rows[1]["text"] = "plain film"
    result = attack(LINEAR, rows, neighbours=NEIGHBOURS, max_changed=1.0)
    assert [o.status for o in result.outcomes] == ["held", "fooled", "held"]


def test_both_texts_are_shown_and_saved(tmp_path):
    result = attack(LINEAR, ROWS, "beam", neighbours=NEIGHBOURS, max_changed=1.0, side="first")
    assert ("changed text", "the first of each pair; the other stays") in result.rows()
    assert result.as_dict()["side"] == "first"
    result.save(tmp_path / "pairs.parquet")
    for pair in pq.read_table(tmp_path / "pairs.parquet").to_pylist():
        assert pair["text"] == ROWS[pair["row"]]["text"]
        assert pair["beside"] == ROWS[pair["row"]]["text_pair"]
    assert '<th scope="col">beside</th>' in as_html(result)
    assert [column.header for column in side_by_side(result).columns][1] == "beside"


def test_what_reads_single_texts_says_so_and_a_side_is_for_pairs():
    for name in ("hotflip", "pgd"):
        with pytest.raises(InputError, match="reads the gradient of single texts, but the data are pairs"):
            attack(LINEAR, ROWS, name)
    for other in (standard, certify):
        with pytest.raises(InputError, match="this attack reads single texts, but the data are pairs"):
            other(LINEAR, ROWS)
    single = [{"text": row["text"], "label": row["label"]} for row in ROWS]
    with pytest.raises(InputError, match="--side first is for pairs of texts, but the data are single texts"):
        attack(bag_of_words(), single, side="first")
    with pytest.raises(InputError, match="must be first or second"):
        attack(LINEAR, ROWS, side="both")


@pytest.mark.filterwarnings("ignore:training accuracy .* sat at the majority rate:UserWarning")
def test_the_command_attacks_the_second_text_or_the_one_that_is_named(tmp_path, capsys):
    model = save_tiny_model(tmp_path / "model")
    rows = [{"premise": "good film", "hypothesis": t, "label": n} for t, n in reviews(40, seed=4)]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    training = {"epochs": 1, "batch_size": 8, "max_length": 32, "precision": "fp32"}
    toughen.train(tmp_path / "data.jsonl", model=model, recipe="plain", output=tmp_path / "run", quiet=True,
                  training=training, probe=False)  # fmt: skip
    for more, side in ((), "second"), (("--side", "first"), "first"):
        out = tmp_path / side
        argv = ["attack", str(tmp_path / "run"), "--data", str(tmp_path / "data.jsonl"), "--output", str(out)]
        assert main([*argv, "--attack", "deepwordbug", "--budget", "20", *more]) == 0
        assert f"the {side} of each pair" in " ".join(capsys.readouterr().out.split())
        assert json.loads((out / "attack.json").read_text())["result"]["side"] == side
