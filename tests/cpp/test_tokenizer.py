"""The C++ tokenizer gives Hugging Face's ids, offsets, tokens and texts: of ugly strings, cut, in pairs, by words."""

import itertools
import json
import os
import zlib
from pathlib import Path

import pytest

from cpp.old_export import known_answers, unpack
from deploy.pipelines import PIPELINES
from deploy.ugly import disguised_strings, ugly_strings
from toughen.data import tokenise
from toughen.data.tokens.sanitizer import sanitize
from toughen.deploy.binary import MAGIC, VERSION, checksum
from toughen.deploy.table import Reading, compile_table

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

EXPORTS = Path(__file__).parent / "exports"
REAL = Path(os.environ.get("TOUGHEN_DATA") or "nowhere") / "tokenizers"


def folder_of(tokenizer, folder, **reading):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.bin").write_bytes(compile_table(tokenizer, Reading(**{"max_length": 10**9, **reading})))
    return folder


def in_bytes(text, places):
    """Return places in code points as places in UTF-8."""
    starts = [0, *itertools.accumulate(len(char.encode()) for char in text)]
    return [starts[place] for place in places]


def describe(tokenizer, encoding, *parts, of=None):
    """Return what the program prints of a row, by Hugging Face.

    Args:
        tokenizer: decodes.
        encoding: of the tokenizers library.
        parts: the texts given.
        of: which part each token is of, None of special ones; default: sequence_ids.
    """
    owners = encoding.sequence_ids if of is None else of
    return {
        "ids": encoding.ids,
        "tokens": encoding.tokens,
        "offsets": [in_bytes(parts[part or 0], offset) for part, offset in zip(owners, encoding.offsets, strict=True)],
        "parts": [-1 if part is None else part for part in owners],
        "text": tokenizer.backend_tokenizer.decode(encoding.ids, skip_special_tokens=True),
    }


def different(program, tokenizer, folder, texts):
    """Return the texts of which anything differs."""
    found = program.answers(folder, texts, "--tokens")
    encodings = tokenizer(texts, truncation=False, padding=False, verbose=False).encodings
    return [
        ascii(text)
        for text, rows, encoding in zip(texts, found, encodings, strict=True)
        if rows != [describe(tokenizer, encoding, text)]
    ]


@pytest.fixture(scope="module")
def tokenizers():
    """The trained tokenizers, made when asked for, once."""
    made = {}

    def get(name):
        if name in ("xlm-r", "deberta-file", "deberta", "albert"):
            pytest.importorskip("sentencepiece", reason="sentencepiece is not installed")
        return made.setdefault(name, None) or made.update({name: PIPELINES[name]()}) or made[name]

    return get


@pytest.mark.parametrize("name", ["bert", "gpt2", "deberta-file"])
def test_all_equals_hugging_face_on_ugly_strings(program, fast_program, tokenizers, name, tmp_path):
    tokenizer = tokenizers(name)
    folder = folder_of(tokenizer, tmp_path)
    assert different(fast_program, tokenizer, folder, ugly_strings(5000, seed=1)) == []
    assert different(program, tokenizer, folder, ugly_strings(300, seed=3)) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(PIPELINES))
def test_all_equals_hugging_face_on_100000_ugly_strings(fast_program, program, tokenizers, name, tmp_path):
    tokenizer = tokenizers(name)
    folder = folder_of(tokenizer, tmp_path)
    assert different(fast_program, tokenizer, folder, ugly_strings(100_000, seed=2)) == []
    assert different(program, tokenizer, folder, ugly_strings(5_000, seed=4)) == []


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("bert", 3000),
        ("gpt2-bare", 3000),
        *(pytest.param(n, 100_000, marks=pytest.mark.slow) for n in sorted(PIPELINES)),
    ],
)
def test_a_sanitized_tokenizer_is_repeated(program, fast_program, name, count, tmp_path):
    """Ids, tokens and offsets, which are of the text as it was given."""
    tokenizer = PIPELINES[name]()
    sanitize(tokenizer)
    folder = folder_of(tokenizer, tmp_path)
    assert different(fast_program, tokenizer, folder, disguised_strings(count, seed=7)) == []
    assert different(program, tokenizer, folder, disguised_strings(300, seed=8)) == []
    ((row,),) = fast_program.answers(folder, ["g\u043eo\u200bd"], "--tokens")
    ((plain,),) = fast_program.answers(folder, ["good"], "--tokens")
    assert row["ids"] == plain["ids"]
    assert max(end for _, end in row["offsets"]) == len("g\u043eo\u200bd".encode())


def real(name):
    """Return a real tokenizer; skips where it is not on this machine."""
    from transformers import AutoTokenizer

    from toughen.demo.encoder import find_minilm
    from toughen.errors import InputError

    try:
        source = find_minilm() if name == "minilm" else REAL / name
    except InputError as error:
        pytest.skip(str(error))
    if not source.exists():
        pytest.skip(f"the tokenizer of {name} is not among the real data (TOUGHEN_DATA)")
    return AutoTokenizer.from_pretrained(source)


@pytest.mark.parametrize("name", ["bert-base-chinese", "roberta-base"])
def test_all_equals_what_real_tokenizers_say(fast_program, name, tmp_path):
    tokenizer = real(name)
    assert different(fast_program, tokenizer, folder_of(tokenizer, tmp_path), ugly_strings(5000, seed=5)) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["minilm", "bert-base-uncased", "bert-base-chinese", "roberta-base"])
def test_all_equals_what_real_tokenizers_say_of_100000_ugly_strings(fast_program, name, tmp_path):
    tokenizer = real(name)
    assert different(fast_program, tokenizer, folder_of(tokenizer, tmp_path), ugly_strings(100_000, seed=6)) == []


def test_one_wrong_entry_of_the_table_is_noticed(program, tokenizers, tmp_path):
    """Canary: the comparison sees another id of one word, which the table's own test texts do not have."""
    tokenizer = tokenizers("bert")
    folder = folder_of(tokenizer, tmp_path)
    data = (folder / "tokenizer.bin").read_bytes()
    place = data.index(b"\x03\0\0\0bad") + 7
    changed = data[:place] + (7).to_bytes(4, "little") + data[place + 4 :]
    (folder / "tokenizer.bin").write_bytes(signed(changed[28:]))
    assert len(different(program, tokenizer, folder, ["the bad", "the", "bad film"])) == 2


@pytest.mark.parametrize(
    ("truncation", "overlap"), [("head", 0), ("tail", 0), ("head+tail", 0), ("windows", 0), ("windows", 3)]
)
def test_long_texts_are_cut_as_in_training(program, tokenizers, truncation, overlap, tmp_path):
    import datasets

    tokenizer = tokenizers("bert")
    reading = {"max_length": 13, "truncation": truncation, "overlap": overlap}
    texts = [" ".join(["good", "film", "bad", "a"] * 12)[: 4 * n] for n in range(40)]
    found = program.answers(folder_of(tokenizer, tmp_path, **reading), texts, "--ids")
    rows = tokenise(datasets.Dataset.from_dict({"text": texts, "row": range(40)}), tokenizer, **reading)
    assert [ids for rows_ in found for ids in rows_] == rows["input_ids"][:]
    assert max(map(len, rows["input_ids"])) == 13, "nothing was cut"


@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_pairs_are_cut_at_the_longer_text(program, tokenizers, name, tmp_path):
    tokenizer = tokenizers(name)
    # The last two are long enough to be read in part only.
    parts = [" ".join(["film", "good"] * n)[: 5 * n] for n in (0, 1, 2, 3, 5, 8, 11, 150, 301)]
    pairs = [[a, b] for a in parts for b in parts]
    found = program.answers(folder_of(tokenizer, tmp_path, max_length=12), pairs, "--tokens")
    wanted = tokenizer([a for a, _ in pairs], [b for _, b in pairs], truncation=True, max_length=12).encodings
    assert found == [[describe(tokenizer, one, *pair)] for one, pair in zip(wanted, pairs, strict=True)]


@pytest.mark.parametrize("name", ["bert", "gpt2", "gpt2-prefix"])
def test_words_are_encoded_one_by_one(program, tokenizers, name, tmp_path):
    import datasets

    tokenizer = PIPELINES["gpt2"]() if name == "gpt2-prefix" else tokenizers(name)
    if name == "gpt2-prefix":
        tokenizer.add_prefix_space = True
    texts = [text.split() or ["a"] for text in ugly_strings(60, seed=5)]
    found = program.answers(folder_of(tokenizer, tmp_path, max_length=40, words=True), texts, "--tokens")
    rows = tokenise(datasets.Dataset.from_dict({"text": texts}), tokenizer, max_length=40, task="tokens")
    assert [[row["ids"]] for (row,) in found] == [[ids] for ids in rows["input_ids"]]
    if getattr(tokenizer, "add_prefix_space", None) is False:
        return  # what Toughen gives it has spaces that Hugging Face is not given
    wanted = tokenizer(texts, is_split_into_words=True, truncation=True, max_length=40).encodings
    assert found == [
        [describe(tokenizer, one, *words, of=one.word_ids)] for one, words in zip(wanted, texts, strict=True)
    ]


def test_the_space_before_a_word_is_no_part_of_it(program, tokenizers, tmp_path):
    """A tokenizer that puts none itself gets words with one; places are those in the word as it was given."""
    tokenizer = tokenizers("gpt2-bare")
    texts = [["a", "good", "", "film", "é"], ["good  film", " bad"]]
    found = program.answers(folder_of(tokenizer, tmp_path, words=True), texts, "--tokens")
    for words, (row,) in zip(texts, found, strict=True):
        for token, (begin, end), part in zip(row["tokens"], row["offsets"], row["parts"], strict=True):
            given = words[part].encode()[begin:end].decode()
            assert given == token.replace("Ġ", "").replace("Ã©", "é"), (words, token)


@pytest.mark.parametrize("truncation", ["tail", "windows"])
def test_a_cut_row_has_the_places_in_the_whole_text(program, tokenizers, truncation, tmp_path):
    tokenizer = tokenizers("bert")
    folder = folder_of(tokenizer, tmp_path, max_length=7, truncation=truncation)
    text = "a good film é bad film, good 中 film"
    whole = tokenizer(text, verbose=False).encodings[0]
    known = {tuple(in_bytes(text, place)): token for place, token in zip(whole.offsets, whole.tokens, strict=True)}
    (rows,) = program.answers(folder, [text], "--tokens")
    assert len(rows) == (1 if truncation == "tail" else 2)
    for row in rows:
        for token, place in list(zip(row["tokens"], row["offsets"], strict=True))[1:-1]:
            assert known[tuple(place)] == token


def test_a_decoder_that_is_not_known_is_named_when_it_is_asked(program, tmp_path):
    from tokenizers import decoders

    tokenizer = PIPELINES["bert"]()
    tokenizer.backend_tokenizer.decoder = decoders.CTC()
    folder = folder_of(tokenizer, tmp_path)
    assert program.answers(folder, ["a"], "--ids")
    wanted = "the tokenizer's decoder CTC is not one that this library knows"
    assert wanted in program.refusal(folder, "--tokens", data=b"a\n")


def test_a_tokenizer_without_a_decoder_puts_spaces_between_tokens(program, tmp_path):
    tokenizer = PIPELINES["bert"]()
    backend = json.loads(tokenizer.backend_tokenizer.to_str()) | {"decoder": None}
    tokenizer._tokenizer = type(tokenizer.backend_tokenizer).from_str(json.dumps(backend))
    assert different(program, tokenizer, folder_of(tokenizer, tmp_path), ["a good film", "", "[MASK] x"]) == []


@pytest.mark.parametrize("version", [2, 3])
def test_tables_of_old_versions_are_read_for_ever(program, version, tmp_path):
    """As they were first written (by cpp/fuzz/seeds.py), with what was printed of them."""
    for path in sorted((EXPORTS / f"tables-{version}").glob("*.bin")):
        assert path.read_bytes()[8] == version
        (tmp_path / "tokenizer.bin").write_bytes(path.read_bytes())
        known = json.loads(path.with_suffix(".json").read_text())
        assert program.answers(tmp_path, [one["text"] for one in known], "--tokens") == [one["rows"] for one in known]


def test_a_table_of_version_1_says_what_it_does_not_have(program, tmp_path):
    folder = unpack(tmp_path)
    known = known_answers(folder)
    assert program.answers(folder, [one["text"] for one in known], "--ids") == [one["ids"] for one in known]
    wanted = "is of version 1, which has ids alone; make it again for offsets, token strings and decoding"
    assert wanted in program.refusal(folder, "--tokens", data=b"a\n")


BROKEN = {
    "empty": lambda data: b"",
    "another file": lambda data: b"PK\x03\x04" + data,
    "cut": lambda data: data[: len(data) // 2],
    "cut in the header": lambda data: data[:11],
    "one bit": lambda data: data[:5000] + bytes([data[5000] ^ 4]) + data[5001:],
    "longer": lambda data: data + b"\0",
    "version": lambda data: data[:8] + (4).to_bytes(4, "little") + data[12:],
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_table_is_refused_in_a_sentence(program, tokenizers, how, tmp_path):
    path = folder_of(tokenizers("bert"), tmp_path) / "tokenizer.bin"
    path.write_bytes(BROKEN[how](path.read_bytes()))
    said = program.refusal(tmp_path, "--ids", data=b"text\n")
    assert said.startswith(f"toughen-cli: cannot use {path}: ")
    assert ("version 4" in said) == (how == "version")


def signed(payload):
    """Return a table file with a payload and the right sum."""
    head = MAGIC + VERSION.to_bytes(4, "little") + len(payload).to_bytes(8, "little")
    return head + checksum(payload).to_bytes(8, "little") + payload


def harm(program, tokenizer, folder, cases, seed):
    """Put the right sum over wrong bytes; return the exit codes; fails at a crash and at a sanitizer's."""
    import random

    rng = random.Random(seed)
    path = folder_of(tokenizer, folder) / "tokenizer.bin"
    payload = path.read_bytes()[28:]
    codes = []
    for case in range(cases):
        wrong = bytearray(payload[: rng.randrange(len(payload))] if case % 8 == 7 else payload)
        start = 0 if case % 2 else max(len(wrong) - 3000, 0)
        for _ in range(3):
            place = start + rng.randrange(3000 if case % 4 < 2 else 60)
            wrong[min(place, len(wrong) - 1)] = rng.choice([0, 1, 127, 255])
        path.write_bytes(signed(bytes(wrong)))
        ran = program.run(folder, "--tokens", data="ugly é 😀 text\n".encode())
        codes.append(ran.returncode)
        assert ran.returncode in (0, 2), ran.stderr.decode()[-2000:]
    return codes


@pytest.mark.parametrize("name", ["bert", "gpt2", "deberta-file"])
def test_a_table_that_lies_does_no_harm(program, tokenizers, name, tmp_path):
    """The program answers or refuses; the sanitizers see nothing."""
    assert 2 in harm(program, tokenizers(name), tmp_path, 16, seed=6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bert", "gpt2", "deberta-file"])
def test_many_tables_that_lie_do_no_harm(program, tokenizers, name, tmp_path):
    assert 2 in harm(program, tokenizers(name), tmp_path, 150, seed=7)


def test_invalid_utf_8_is_refused_with_its_place(program, tokenizers, tmp_path):
    folder = folder_of(tokenizers("bert"), tmp_path)
    for bad in (b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe4\xb8", b"\x80"):
        said = program.refusal(folder, "--ids", data=b"fine\nab" + bad + b"\n")
        assert said == "toughen-cli: line 2: the text is not UTF-8 (byte 3)"


def test_the_sum_is_that_of_zlib():
    assert checksum(b"text") == zlib.crc32(b"text") | zlib.adler32(b"text") << 32
    assert json.dumps(checksum(b"a")) != json.dumps(checksum(b"b"))
