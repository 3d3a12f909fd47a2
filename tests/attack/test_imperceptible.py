"""Changes that are not seen change the text, fool a model, and fool none that was given the sanitizer, but for one."""

import random

import pytest

from attack.bow import WEIGHTS, bag_of_words
from toughen.attack import attack
from toughen.attack.imperceptible import DELETION, HOMOGLYPH, INVISIBLE, REORDERING
from toughen.data.tokens.sanitizer import sanitize, sanitized

EDITS = {"invisible": INVISIBLE, "homoglyph": HOMOGLYPH, "reordering": REORDERING, "deletion": DELETION}
ROWS = [(f"the {word} film", "positive" if weight > 0 else "negative") for word, weight in WEIGHTS.items() if weight]


def changed(name, word):
    return [EDITS[name].change(word, random.Random(seed)) for seed in range(20)]


@pytest.mark.parametrize("name", EDITS)
def test_each_change_is_one_and_is_taken_back(name):
    for word in ("superb", "Great", "dull", "it's", "café"):
        for new in changed(name, word):
            assert new != word
            if name != "reordering":
                assert sanitized(new) == word


def test_reordered_letters_are_shown_in_order():
    """The isolates within an override from right to left are shown last one first: those are the two letters."""
    for new in changed("reordering", "superb"):
        inner = new[new.index("\u202e") + 1 : new.index("\u202c")]
        second, first = (part.strip("\u2066") for part in inner.split("\u2069")[:2])
        before, after = new[: new.index("\u202d")], new[new.rindex("\u202c") + 1 :]
        assert before + first + second + after == "superb"
        assert sanitized(new) == before + second + first + after


def test_a_word_without_a_place_stays():
    assert changed("invisible", "a") == [None] * 20
    assert changed("homoglyph", "\u7535") == [None] * 20
    assert changed("reordering", "aa") == [None] * 20


@pytest.mark.parametrize("name", EDITS)
def test_the_attack_fools_a_model_without_the_sanitizer(name):
    """A bag of words takes a word that it does not know for nothing: the text is on the border, and decided for 0."""
    plain, clean = bag_of_words(), bag_of_words()
    sanitize(clean.tokenizer)
    found = attack(plain, ROWS, name, max_changed=1.0)
    assert found.source.endswith("(2106.09898)")
    assert found.fooled > 5
    assert all(sanitized(o.adversarial) == o.text for o in found.outcomes if o.adversarial and name != "reordering")
    held = attack(clean, ROWS, name, max_changed=1.0)
    assert held.fooled == (0 if name != "reordering" else found.fooled)
