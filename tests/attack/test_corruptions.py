"""Corruptions: symmetric tables, seeded, nested from severity to severity, and visible."""

import random
from itertools import pairwise

import pytest

from attack.test_typos import distance
from toughen.attack.noise import chinese, confusables
from toughen.attack.noise.corruptions import CHINESE, CORRUPTIONS, GENERAL, SEVERITIES, alike, make_misspelling
from toughen.attack.word_lists import read_word_lists
from toughen.errors import InputError

ENGLISH = [
    "I do not think it's the WORST film of the year, but nothing could save this terrible script.",
    "The acting is superb; the photography, however, isn't. We have left before dessert!",
    "You are going to believe every single minute, and that is a remarkable achievement for a comedy.",
]
CHINESE_TEXTS = [
    "这家酒店的服务很好，房间也干净，但是早餐没有什么可以选择。",
    "電影很無聊，買票的錢白費了，我們不會再來。",
]
TABLES = ("OCR", "HOMOGLYPHS", "CONTRACTIONS", "LOOK_ALIKES", "VARIANTS")
OFFLINE = [c for c in CORRUPTIONS.values() if not c.needs]


def corrupt(texts, name, *, severity, seed):
    return [CORRUPTIONS[name](text, severity=severity, seed=seed) for text in texts]


def texts_for(corruption):
    return CHINESE_TEXTS if corruption.name.startswith("zh-") else ENGLISH


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_symmetric_and_confuse_nothing_with_itself(name):
    table = getattr(confusables, name)
    assert len(table) > 20
    for side, partners in table.items():
        assert partners
        for partner in partners:
            assert side != partner
            assert side in table[partner]


def test_the_keyboard_is_symmetric():
    from toughen.attack.noise.typos import NEIGHBOURS

    assert all(key in NEIGHBOURS[near] for key, keys in NEIGHBOURS.items() for near in keys)
    assert "w" in NEIGHBOURS["q"]
    assert "p" not in NEIGHBOURS["q"]


def test_homoglyphs_join_two_scripts():
    import unicodedata

    for one, others in confusables.HOMOGLYPHS.items():
        scripts = {unicodedata.name(letter).split()[0] for letter in (one, *others)}
        assert scripts == {"LATIN", "CYRILLIC"}


@pytest.mark.parametrize("corruption", OFFLINE, ids=lambda c: c.name)
def test_noise_depends_on_seed_and_text_alone(corruption):
    texts = texts_for(corruption)
    both = [corruption(text, severity=5, seed=0) for text in texts]
    assert both == corrupt(texts, corruption.name, severity=5, seed=0)
    assert both[::-1] == corrupt(texts[::-1], corruption.name, severity=5, seed=0)
    assert {tuple(corrupt(texts, corruption.name, severity=3, seed=seed)) for seed in range(8)} != {tuple(both)}


@pytest.mark.parametrize("corruption", OFFLINE, ids=lambda c: c.name)
def test_a_higher_severity_keeps_what_a_lower_one_changed(corruption):
    """Unit by unit: the changed units are a subset, changed alike; so the distance grows on the mean."""
    for text in texts_for(corruption):
        before = corruption.unit.split(text)
        for low, high in pairwise(SEVERITIES):
            changed_low, changed_high = (changes(corruption, text, severity) for severity in (low, high))
            assert changed_low.items() <= changed_high.items()
        assert len(before) > 1
    means = [mean_distance(corruption, severity) for severity in SEVERITIES]
    assert all(low < high for low, high in pairwise(means)), means


def changes(corruption, text, severity):
    """Return {position of a unit: what it became} by replaying the draws as they are documented."""
    rng = random.Random(f"0:{corruption.name}:{text}".encode())
    found, pieces, end = {}, [], 0
    for match in corruption.unit.finditer(text):
        chance, seed = rng.random(), rng.getrandbits(64)
        hit = chance < corruption.rates[severity - 1]
        new = corruption.edit(match[0], random.Random(seed)) if hit else None
        pieces += [text[end : match.start()], match[0] if new is None else new]
        end = match.end()
        if new is not None:
            found[match.start()] = new
    assert "".join([*pieces, text[end:]]) == corruption(text, severity=severity, seed=0)
    return found


def mean_distance(corruption, severity, seeds=range(12)):
    texts = [text[:60] for text in texts_for(corruption)]
    found = [distance(t, corruption(t, severity=severity, seed=s)) for t in texts for s in seeds]
    return sum(found) / len(found)


@pytest.mark.parametrize("text", ["", "...", "?!", "a", "12 34", "\n", "🙂"])
@pytest.mark.parametrize("corruption", OFFLINE, ids=lambda c: c.name)
def test_no_text_is_emptied(corruption, text):
    for seed in range(5):
        noisy = corruption(text, severity=5, seed=seed)
        assert bool(noisy.strip()) == bool(text.strip())


@pytest.mark.parametrize(
    ("name", "unit", "possible"),
    [
        ("contraction", "do not", {"don't"}),
        ("contraction", "Don't", {"Do not"}),
        ("contraction", "I'm", {"I am"}),
        ("ocr", "m", {"rn"}),
        ("homoglyph", "ax", {"аx", "aх"}),
        ("case", "ab", {"AB", "Ab", "aB"}),
        ("spacing", "abcd", {"a bcd", "ab cd", "abc d"}),
        ("punctuation", ".", {"", "..", ",", ";", ":", "!", "?"}),
        ("misspelling", "weird", {"wierd"}),
        ("zh-variant", "爱", {"愛"}),
        ("zh-visual", "未", {"末", "味", "朱"}),
    ],
)
def test_what_becomes_of_a_unit(name, unit, possible):
    seen = {CORRUPTIONS[name].edit(unit, random.Random(seed)) for seed in range(200)}
    assert possible & seen
    assert seen <= possible | ({"weerd", "weird", None} if name == "misspelling" else set())


def test_a_unit_without_a_partner_stays():
    assert CORRUPTIONS["homoglyph"].edit("ñ", random.Random(0)) is None
    assert CORRUPTIONS["zh-variant"].edit("的", random.Random(0)) is None
    assert CORRUPTIONS["misspelling"].edit("zzzz", random.Random(0)) is None


def test_capitals_are_those_of_the_word_replaced():
    assert [alike(word, "bad") for word in ("good", "Good", "GOOD", "A")] == ["bad", "Bad", "BAD", "Bad"]


def test_real_misspellings_go_before_the_rules(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("terrible terible terrable\nscript scrip't\nScript skript\n", encoding="utf-8")
    lists = read_word_lists(path)
    assert lists == {"terrible": ("terible", "terrable"), "script": ("scrip't", "skript")}
    noisy = make_misspelling(lists)("Terrible script " * 40, severity=5, seed=0)
    assert {"Terible", "Terrable", "skript", "scrip't"} <= set(noisy.split())


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("w.json", "[1]", "no object of lists"),
        ("w.json", "{", "is not JSON"),
        ("w.txt", "alone\n", "holds no word with an alternative"),
        ("missing.txt", None, "cannot be read"),
    ],
)
def test_word_lists_that_are_none_are_refused(tmp_path, name, content, says):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=says):
        read_word_lists(tmp_path / name)


def test_word_lists_in_json_and_with_tabs(tmp_path):
    (tmp_path / "w.json").write_text('{"Good": ["fine", "good", "fine"], "bad": []}')
    (tmp_path / "w.tsv").write_text("new york\tbig apple\tNYC\n")
    assert read_word_lists(tmp_path / "w.json") == {"good": ("fine",), "bad": ()}
    assert read_word_lists(tmp_path / "w.tsv") == {"new york": ("big apple", "NYC")}


def test_homophones_without_pypinyin_are_refused_by_name(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pypinyin", None)
    with pytest.raises(InputError, match="need the package pypinyin"):
        corrupt(["很好"], "zh-homophone", severity=5, seed=0)


@pytest.fixture
def fake_pypinyin(monkeypatch):
    """Three sounds for all characters."""
    import sys
    from types import SimpleNamespace

    module = SimpleNamespace(
        Style=SimpleNamespace(TONE3="tone3"), lazy_pinyin=lambda text, style: [f"{style}{ord(text) % 3}"]
    )
    monkeypatch.setitem(sys.modules, "pypinyin", module)
    chinese._by_sound.cache_clear()
    yield
    chinese._by_sound.cache_clear()


@pytest.mark.usefixtures("fake_pypinyin")
def test_homophones_are_common_characters_of_the_same_sound():
    seen = {chinese.homophone("好", random.Random(seed)) for seed in range(50)}
    assert len(seen) > 30
    assert "好" not in seen
    assert all(ord(other) % 3 == ord("好") % 3 and other.encode("gb2312")[0] < 0xD8 for other in seen)


def test_homophones_of_the_real_package():
    pytest.importorskip("pypinyin")
    seen = {chinese.homophone("在", random.Random(seed)) for seed in range(50)}
    assert "再" in seen
    assert "好" not in seen


def test_which_texts_are_chinese():
    assert chinese.is_chinese("这家酒店 is 很好的")
    assert not chinese.is_chinese("the 酒店 was fine")
    assert not chinese.is_chinese("12 !?")


def test_the_same_seed_gives_the_same_noise_for_ever():
    """Fixed expectations: a change of these lines makes published numbers incomparable."""
    found = [corruption("Nothing could save it, really.", severity=5, seed=1) for corruption in GENERAL]
    assert found == FROZEN
    assert [c("我们买票", severity=5, seed=0) for c in CHINESE[1:]] == FROZEN_CHINESE


FROZEN = [
    "Nothinb could save it, really.",
    "Nothing cuold save it, really.",
    "Nothing could save it, really.",
    "Nothing coul save it, really.",
    "nothing Could Save It, really.",
    "Nothing cou ld save it,  rea lly.",
    "Nothing could! save it, really.",
    "Nothing could save it, really.",
    "Nothing could savc it, reallv.",
    "Notһing сould savе іt, really.",
    "Nothing 📌 could 🔹 save it, really.",
]
FROZEN_CHINESE = ["我们买漂", "我們买票", "我们*买_票"]


@pytest.mark.parametrize("severity", [0, 6])
def test_an_unknown_severity_is_refused(severity):
    with pytest.raises(InputError, match="severity must be 1 to 5"):
        corrupt(["a"], "swap", severity=severity, seed=0)
