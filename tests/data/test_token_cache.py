"""Tokens are found again if and only if tokenising would give the same; an entry that is not whole is never used."""

from __future__ import annotations

import os
from pathlib import Path

import datasets
import pyarrow as pa
import pytest

from toughen.data import cut_share, tokenise
from toughen.data.read import spill
from toughen.data.tokens import token_cache
from toughen.data.tokens.encode import Encoder
from toughen.data.tokens.token_key import key_of

TEXTS = ["the film is good", "bad", " a very very fine film", "two  dull and bad"] * 5
ROWS = {"text": TEXTS, "label": [1, 0, 1, 0] * 5, "row": list(range(20))}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, used for texts of any size."""
    monkeypatch.setenv(spill.CACHE, str(tmp_path / "cache"))
    monkeypatch.setattr(spill, "IN_RAM", -1)
    return tmp_path / "cache" / "tokens"


@pytest.fixture
def calls(tokenizer, monkeypatch):
    """How often the tokenizer was called."""
    made, inner = [], type(tokenizer).__call__
    monkeypatch.setattr(type(tokenizer), "__call__", lambda *a, **k: made.append(1) or inner(*a, **k))
    return made


def encoded(tokenizer, rows=ROWS, **how):
    return tokenise(datasets.Dataset.from_dict(rows), tokenizer, **{"max_length": 5, **how})


def entries(cache):
    return sorted(path.name for path in cache.iterdir())


def test_the_second_time_the_tokenizer_is_not_called(cache, tokenizer, calls):
    said = []
    first = encoded(tokenizer, note=said.append)
    assert calls
    assert said == []
    calls.clear()
    again = encoded(tokenizer, note=said.append)
    assert cut_share(again, tokenizer, max_length=5) == 0.75
    assert calls == []
    assert again.to_dict() == first.to_dict()
    assert again.features == first.features
    assert len(said) == 1
    assert said[0].startswith("tokens of 20 texts were read from the cache in")
    assert [name.rpartition(".")[2] for name in entries(cache)] == ["arrow"], "neither locks nor parts are left"


def changed(column, value):
    return {**ROWS, column: [*ROWS[column][:-1], value]}


CHANGES = {
    "text": {"rows": changed("text", "two dull and good")},
    "space around a text": {"rows": changed("text", "two  dull and bad ")},
    "label": {"rows": changed("label", 1)},
    "order": {"rows": {name: values[::-1] for name, values in ROWS.items()}},
    "where texts end": {"rows": {**ROWS, "text": [*TEXTS[:-2], TEXTS[-2] + "t", TEXTS[-1][1:]]}},
    "max_length": {"max_length": 6},
    "truncation": {"truncation": "tail"},
    "windows": {"truncation": "windows"},
    "overlap": {"truncation": "windows", "overlap": 1},
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_any_change_is_tokenised_anew(change, cache, tokenizer, calls, monkeypatch):
    encoded(tokenizer)
    before = entries(cache)
    found = encoded(tokenizer, **change)
    assert len(entries(cache)) == len(before) + 1
    monkeypatch.setattr(spill, "IN_RAM", 1 << 60)
    assert found.to_dict() == encoded(tokenizer, **change).to_dict()


def test_another_tokenizer_is_another_key(tokenizer, pieces, byte_pieces):
    table = pa.table(ROWS)
    keys = [key_of(table, Encoder(kind, 5)) for kind in (tokenizer, pieces, byte_pieces)]
    tokenizer.add_tokens(["unheard"])
    keys.append(key_of(table, Encoder(tokenizer, 5)))
    tokenizer.truncation_side = "left"
    keys.append(key_of(table, Encoder(tokenizer, 5)))
    assert len(set(keys)) == len(keys)


def test_a_key_depends_neither_on_chunks_nor_on_earlier_calls(tokenizer):
    one = pa.table(ROWS)
    parts = pa.concat_tables([one.slice(0, 3), one.slice(3)])
    before = key_of(one, Encoder(tokenizer, 5))
    tokenizer(["a film"] * 2, truncation=True, max_length=3, padding=True)
    assert key_of(parts, Encoder(tokenizer, 5)) == before
    assert key_of(one.slice(1), Encoder(tokenizer, 5)) != before


def test_a_library_of_another_version_is_another_key(tokenizer, monkeypatch):
    before = key_of(pa.table(ROWS), Encoder(tokenizer, 5))
    monkeypatch.setattr("toughen.data.tokens.token_key.version", lambda name: "0")
    assert key_of(pa.table(ROWS), Encoder(tokenizer, 5)) != before


def test_a_tokenizer_without_a_backend_is_known_by_its_files(tmp_path):
    class Slow:
        def __init__(self, word):
            self.word = word

        def save_pretrained(self, folder):
            (Path(folder) / "vocab.txt").write_text(self.word)

    keys = [key_of(pa.table(ROWS), Encoder(Slow(word), 5)) for word in ("a", "b", "a")]
    assert keys[0] == keys[2] != keys[1]


def _flip(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


BROKEN = {
    "half": lambda content: content[: len(content) // 2],
    "one bit": _flip,
    "without its end": lambda content: content[:-1],
    "empty": lambda content: b"",
    "other": lambda content: b"no tokens",
}


@pytest.mark.parametrize("damage", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_entry_is_never_used(damage, cache, tokenizer, calls):
    wanted = encoded(tokenizer).to_dict()
    (entry,) = cache.iterdir()
    entry.write_bytes(damage(entry.read_bytes()))
    calls.clear()
    assert encoded(tokenizer).to_dict() == wanted
    assert calls
    calls.clear()
    assert encoded(tokenizer).to_dict() == wanted
    assert calls == [], "it was written anew"


def test_a_failure_leaves_nothing_behind(cache, tokenizer, monkeypatch):
    def fail(self):
        raise KeyError("after the last batch")

    monkeypatch.setattr("toughen.data.tokens.tokenise._Stream.facts", fail)
    with pytest.raises(KeyError):
        encoded(tokenizer)
    assert entries(cache) == []


def test_the_oldest_entries_go_first(cache, tokenizer, monkeypatch):
    kept = []
    for age, length in ((300, 4), (200, 5), (100, 6)):
        encoded(tokenizer, max_length=length)
        (new,) = set(cache.iterdir()) - {path for path, _ in kept}
        os.utime(new, (1e9 - age, 1e9 - age))
        kept.append((new, new.stat().st_size))
    encoded(tokenizer, max_length=4)  # used now: the second is the oldest then
    monkeypatch.setattr(token_cache, "LIMIT", sum(size for _, size in kept) + 1000)
    stale = cache / "gone.part"
    stale.write_bytes(b"x")
    os.utime(stale, (1e9, 1e9))
    encoded(tokenizer, max_length=7)
    left = {path for path, _ in kept} & set(cache.iterdir())
    assert left == {kept[0][0], kept[2][0]}
    assert not stale.exists()


def test_an_entry_above_the_limit_is_kept_until_the_next(cache, tokenizer, monkeypatch):
    monkeypatch.setattr(token_cache, "LIMIT", 1)
    for length in (4, 5):
        assert len(encoded(tokenizer, max_length=length)) == 20
        assert len(entries(cache)) == 1


def test_off_writes_nothing_and_small_texts_are_not_cached(cache, tokenizer, monkeypatch):
    wanted = encoded(tokenizer).to_dict()
    for path in cache.iterdir():
        path.unlink()
    with monkeypatch.context() as off:
        off.setenv(spill.CACHE, "off")
        assert spill.usable_cache() is None
        assert encoded(tokenizer).to_dict() == wanted
    assert entries(cache) == []
    monkeypatch.setattr(spill, "IN_RAM", 1 << 20)
    assert encoded(tokenizer).to_dict() == wanted
    assert entries(cache) == []


def test_the_cache_is_where_it_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.delenv(spill.CACHE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert spill.cache_folder() == tmp_path / "toughen"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert spill.cache_folder().parts[-2:] == (".cache", "toughen")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(spill.CACHE, str(tmp_path / "file" / "below"))
    assert spill.usable_cache() is None


def test_rows_that_were_selected_are_counted_anew(tokenizer):
    """What was counted is true of all rows alone."""
    tokens = encoded(tokenizer)
    assert cut_share(tokens, tokenizer, max_length=5) == 0.75
    assert cut_share(tokens.select([1, 5]), tokenizer, max_length=5) == 0


def test_what_is_counted_while_encoding_is_what_is_counted_afterwards(tokenizer, byte_pieces):
    for kind in (tokenizer, byte_pieces):
        for length in (3, 4, 5, 6, 7):
            tokens = encoded(kind, max_length=length)
            counted = cut_share(tokens, kind, max_length=length)
            tokens.info.description = ""
            assert counted == cut_share(tokens, kind, max_length=length)
