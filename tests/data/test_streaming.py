"""Data too large for memory give what small data give: the same rows, labels, account, tokens and refusals."""

from __future__ import annotations

import io
import json
from dataclasses import asdict

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.bad_inputs import BAD_INPUTS
from data.bad_writers import lines
from toughen.data import Data, fold_assignment, load_splits, load_texts, text_hashes, tokenise
from toughen.data.columns.find import count_distinct
from toughen.data.read import spill
from toughen.data.read.chunks import numbers_of, select_rows, table_of_dataset
from toughen.data.read.readers import BLOCK, read_file, read_lines
from toughen.errors import InputError

EVERYTHING, NOTHING = -1, 1 << 60
WORDS = ["a", "the", "film", "is", "good", "bad", "and", "very", "not", "fine", "dull"]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of this test's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv(spill.CACHE, str(folder))
    return folder


@pytest.fixture
def at(monkeypatch, cache):
    """Set how many bytes stay in memory."""
    return lambda size: monkeypatch.setattr(spill, "IN_RAM", size)


def frame(rows=60, word="row"):
    rng = np.random.default_rng(0)
    texts = [f" {word} {i} {' '.join(rng.choice(WORDS, rng.integers(1, 9)))}" for i in range(rows)]
    texts[7], texts[9] = texts[3], texts[3].strip()
    return pd.DataFrame({"text": texts, "label": [("neg", "pos")[i % 2] for i in range(rows)]})


def records(rows=60, **columns):
    return [{"text": text, **{k: v(i) for k, v in columns.items()}} for i, text in enumerate(frame(rows)["text"])]


def _divided(folder, kind):
    parts = {"train": frame(), "test": pd.concat([frame(10, "test"), frame()[:5]]), "dev": frame(12, "dev")}
    for name, part in parts.items():
        part.to_csv(folder / f"{name}.{kind}", index=False, sep="\t" if kind == "tsv" else ",")
    return folder, {}


def _file(name, content, **fields):
    def write(folder):
        (folder / name).write_text(content)
        return folder / name, fields

    return write


def _parquet(frame, **fields):
    def write(folder):
        pq.write_table(pa.Table.from_pandas(frame), folder / "data.parquet", row_group_size=25)
        return folder / "data.parquet", fields

    return write


def _tagged(i):
    return {"tokens": WORDS[: 1 + i % 9], "ner_tags": [("O", "PER")[(i + j) % 2] for j in range(1 + i % 9)]}


CSV = frame().to_csv(index=False)
SOURCES = {
    "csv": _file("data.csv", CSV),
    "csv without usual names": _file("data.csv", CSV.replace("text,label", "words,kind")),
    "tsv with stray quotes": _file(
        "data.tsv", "text\tlabel\n" + "".join(f'"so bad {i}\t0\nfine {i}\t1\n' for i in range(9))
    ),
    "jsonl": _file("data.jsonl", lines(*records(label=lambda i: i % 3))),
    "jsonl with fields that come late": _file(
        "data.jsonl", lines(*records(label=lambda i: i % 2), {"text": "last", "label": 1, "more": 2.5})
    ),
    "json list": _file("data.json", json.dumps(records(label=lambda i: i % 2))),
    "parquet": _parquet(frame()),
    "parquet with a dictionary": _parquet(frame().astype({"label": "category", "text": "category"})),
    "pairs": _file("data.jsonl", lines(*({"premise": f"a {i}", "hypothesis": "b", "label": i % 2} for i in range(60)))),
    "labels in lists": _file("data.jsonl", lines(*records(label=lambda i: ["x", "y", "z"][: i % 4]))),
    "labels between commas": _file(
        "data.csv", "text,label\n" + "".join(f'row {i},"{("a,b", "b", "c")[i % 3]}"\n' for i in range(60)),
        task="multi-label",
    ),
    "numbers": _file("data.csv", "text,label\n" + "".join(f"row {i},{i / 7}\n" for i in range(60))),
    "groups": _file("data.jsonl", lines(*records(label=lambda i: i % 2, who=lambda i: f"p{i // 4}")), group="who"),
    "words": _file("data.jsonl", lines(*map(_tagged, range(60)))),
    "folder of csv": lambda folder: _divided(folder, "csv"),
    "folder of tsv": lambda folder: _divided(folder, "tsv"),
}  # fmt: skip


def everything(splits, tokenizer):
    """Return all that is told of some splits, and their tokens."""
    parts = {name: getattr(splits, name) for name in ("train", "validation", "test", "unlabelled")}
    parts = {name: part for name, part in parts.items() if part is not None}
    tokens = {name: tokenise(part, tokenizer, max_length=6, task=splits.task) for name, part in parts.items()}
    return {
        "rows": {name: part.to_dict() for name, part in parts.items()},
        "types": {name: part.features for name, part in parts.items()},
        "hashes": {name: text_hashes(part).tolist() for name, part in parts.items()},
        "folds": fold_assignment(splits.train, 2, seed=0, task=splits.task).tolist(),
        "tokens": {name: part.to_dict() for name, part in tokens.items()},
        "token types": {name: part.features for name, part in tokens.items()},
        "summary": asdict(splits.summary),
        "names": (splits.label_names, splits.task, splits.held_out),
    }


@pytest.mark.parametrize("write", SOURCES.values(), ids=SOURCES.keys())
def test_streamed_data_are_the_same_as_data_in_memory(write, tmp_path, tokenizer, at):
    source, fields = write(tmp_path)
    found = []
    for size in (NOTHING, EVERYTHING):
        at(size)
        splits = load_splits(Data(source=str(source), **fields), seed=1)
        found.append(everything(splits, tokenizer))
    assert found[0] == found[1]


@pytest.mark.parametrize("size", [NOTHING, EVERYTHING])
def test_only_what_is_large_goes_to_disk(size, tmp_path, at, monkeypatch):
    """Else the comparisons above would compare a thing with itself."""
    written = []
    inner = spill._on_disk
    monkeypatch.setattr(spill, "_on_disk", lambda *given: written.append(1) or inner(*given))
    at(size)
    load_splits(Data(source=str(SOURCES["csv"](tmp_path)[0])), seed=1)
    assert bool(written) == (size == EVERYTHING)


LOCAL = {name: case for name, case in BAD_INPUTS.items() if not name.startswith("hub")}


@pytest.mark.parametrize("case", LOCAL.values(), ids=LOCAL.keys())
def test_streamed_data_are_refused_in_the_same_sentence_and_leave_nothing(case, tmp_path, at, cache):
    source, fields = case.write(tmp_path)
    sentences = []
    for size in (NOTHING, EVERYTHING):
        at(size)
        with pytest.raises(InputError) as caught:
            load_splits(Data(source=source, **fields), seed=0)
        sentences.append(str(caught.value))
    assert sentences[0] == sentences[1]
    assert not cache.exists() or list(cache.iterdir()) == []


def test_what_is_mapped_has_no_name_on_the_disk(tmp_path, at, cache):
    at(EVERYTHING)
    splits = load_splits(Data(source=str(SOURCES["csv"](tmp_path)[0])), seed=1)
    assert list(cache.iterdir()) == []
    assert len(splits.train["text"][:]) == len(splits.train)


def test_a_late_fault_is_found_in_many_blocks(tmp_path, at, cache):
    """The first blocks are on the disk by then."""
    at(EVERYTHING)
    text = "long " * 2000
    content = "text,label\n" + f"{text},pos\n{text}b,neg\n" * (BLOCK // len(text))
    (tmp_path / "data.csv").write_text(content)
    assert read_file(tmp_path / "data.csv").table["text"].num_chunks > 1
    (tmp_path / "data.csv").write_text(content + "one\n")
    with pytest.raises(InputError, match="too few fields, 1"):
        read_file(tmp_path / "data.csv")
    assert list(cache.iterdir()) == []


def test_a_text_longer_than_a_block_is_streamed(tmp_path, at):
    at(EVERYTHING)
    long = "a" * (BLOCK + 10)
    for name, content in (("d.csv", f"text,label\n{long},1\n"), ("d.jsonl", lines({"text": long, "label": "1"}))):
        (tmp_path / name).write_text(content)
        assert read_file(tmp_path / name).table["text"].to_pylist() == [long]


def test_a_line_ends_at_lf_crlf_or_cr_and_nowhere_else(tmp_path, at):
    content = "one\r\ntwo\x0bthree\n\n four\u2028five\rsix"
    wanted = ["one", "two\x0bthree", "", " four\u2028five", "six"]
    (tmp_path / "texts.txt").write_bytes(content.encode())
    for size in (NOTHING, EVERYTHING):
        at(size)
        assert read_lines(tmp_path / "texts.txt", "texts").table["text"].to_pylist() == wanted


def test_texts_to_predict_are_streamed(tmp_path, at):
    (tmp_path / "texts.txt").write_text("one two\nthree\n")
    at(EVERYTHING)
    assert load_texts(tmp_path / "texts.txt", task="tokens")["text"][:] == [["one", "two"], ["three"]]


def test_a_full_disk_is_one_sentence(at, monkeypatch, tmp_path):
    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(28, "No space left on device")

    batch = pa.record_batch({"text": ["a"]})
    monkeypatch.setattr(spill, "usable_cache", lambda: tmp_path)
    monkeypatch.setattr(spill.tempfile, "TemporaryFile", lambda dir: Full())
    at(EVERYTHING)
    with pytest.raises(InputError, match=r"No space left on device.*TOUGHEN_CACHE"):
        spill.collect([batch], batch.schema)


def test_selected_rows_of_a_dataset_come_in_their_order(at):
    data = datasets.Dataset.from_dict({"text": [f"t{i}" for i in range(3000)], "n": list(range(3000))})
    order = np.random.default_rng(0).permutation(3000)[:1500]
    for size in (NOTHING, EVERYTHING):
        at(size)
        assert numbers_of(data.select(order), "n").tolist() == order.tolist()
        assert table_of_dataset(data.select(order))["text"].to_pylist() == [f"t{i}" for i in order]
        rows = np.sort(order)
        assert select_rows(table_of_dataset(data), rows)["n"].to_pylist() == rows.tolist()


def test_distinct_values_are_counted_without_nulls():
    column = pa.chunked_array([["a", "b", None], ["a", "c"]], pa.string())
    assert count_distinct(column) == 3
    assert count_distinct(pa.chunked_array([[1, 2], [2, None]])) == 2
