"""Files, folders and hub ids are read as what they are, whatever their dialect."""

from __future__ import annotations

import json

import datasets
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from toughen.data.read.diagnose import csv_faults
from toughen.data.read.in_memory import WHOLE
from toughen.data.read.readers import BLOCK, read_file
from toughen.data.read.sources import read_source
from toughen.errors import InputError

ROWS = [('He said "no, thanks"\nand left', "neg"), ("good, very good", "pos"), ("NA", "neg"), ("null", "pos")]


def rows(raw, *columns):
    """Return the rows of a split as tuples."""
    return list(zip(*(raw.table[name].to_pylist() for name in columns or ("text", "label")), strict=True))


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"], ids=["plain", "bom"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("name", ["data.csv", "data.tsv"])
def test_quotes_commas_newlines_and_null_words_survive(name, end, bom, tmp_path):
    separator = "\t" if name.endswith("tsv") else ","
    text = pd.DataFrame(ROWS, columns=["text", "label"]).to_csv(index=False, sep=separator, lineterminator=end)
    (tmp_path / name).write_bytes(bom + text.encode())
    assert rows(read_file(tmp_path / name)) == ROWS


def test_tsv_without_quoting_keeps_quotes_and_every_row(tmp_path):
    """In GLUE's files a text may start with a quote; taken for quoting, two of them would swallow the rows between."""
    (tmp_path / "data.tsv").write_text('text\tlabel\n"so bad\t0\nfine\t1\n"so good\t1\n')
    assert rows(read_file(tmp_path / "data.tsv")) == [('"so bad', "0"), ("fine", "1"), ('"so good', "1")]


def test_csv_with_rows_swallowed_by_stray_quotes_is_refused(tmp_path):
    """Arrow and pandas read this as one row of two fields, without a word."""
    (tmp_path / "data.csv").write_text('text,label\nfine,1\n"so bad,0\ngood,1\n"so good,1\n')
    with pytest.raises(InputError, match="line 3: a quoted field is not closed properly"):
        read_file(tmp_path / "data.csv")


def test_blank_lines_and_columns_without_a_name_are_left_out(tmp_path):
    (tmp_path / "data.csv").write_text("\ntext , label,,\n\na,1,,\n\nb,0,,\n")
    raw = read_file(tmp_path / "data.csv")
    assert raw.columns == ["text", "label"]
    assert rows(raw) == [("a", "1"), ("b", "0")]


@pytest.mark.parametrize("name", ["data.csv", "data.jsonl"])
def test_a_text_longer_than_a_block_is_read(name, tmp_path):
    long = "a" * (BLOCK + 10)
    content = f"text,label\n{long},1\n" if name.endswith("csv") else json.dumps({"text": long, "label": "1"})
    (tmp_path / name).write_text(content)
    assert rows(read_file(tmp_path / name)) == [(long, "1")]


def test_newlines_in_quotes_survive_where_blocks_end(tmp_path, monkeypatch):
    monkeypatch.setattr("toughen.data.read.readers.BLOCK", 200)
    pd.DataFrame(ROWS * 100, columns=["text", "label"]).to_csv(tmp_path / "data.csv", index=False)
    assert rows(read_file(tmp_path / "data.csv")) == ROWS * 100


def test_line_and_row_of_a_fault_count_newlines_in_quotes(tmp_path):
    (tmp_path / "data.csv").write_text('text,label\n"1\n2\n3",x\n\nshort\n')
    assert list(csv_faults(tmp_path / "data.csv", ",", True)) == [(2, 6, 1)]


@pytest.mark.parametrize(
    "content",
    [
        '{"text": "a", "label": 1}\n\n{"text": "b", "label": 0}\n',
        '\ufeff{"text": "a", "label": 1}\n{"text": "b", "label": 0}',
        '[{"text": "a", "label": 1},\n {"text": "b", "label": 0}]',
        '\ufeff  \n[{"text": "a", "label": 1}, {"text": "b", "label": 0}]',
    ],
    ids=["lines", "lines, bom", "list", "list, bom"],
)
@pytest.mark.parametrize("name", ["data.json", "data.jsonl"])
def test_json_is_a_list_or_lines(name, content, tmp_path):
    (tmp_path / name).write_text(content)
    assert rows(read_file(tmp_path / name)) == [("a", 1), ("b", 0)]


def test_texts_that_look_like_dates_stay_texts(tmp_path):
    (tmp_path / "data.jsonl").write_text('{"text": "2020-01-01", "label": 1}\n{"text": "2021-01-01", "label": 0}\n')
    assert rows(read_file(tmp_path / "data.jsonl")) == [("2020-01-01", 1), ("2021-01-01", 0)]


def test_mixed_types_in_a_column_that_is_not_used_do_no_harm(tmp_path):
    (tmp_path / "data.jsonl").write_text('{"text": "a", "id": 1, "label": 1}\n{"text": "b", "id": "x", "label": 0}\n')
    assert rows(read_file(tmp_path / "data.jsonl")) == [("a", 1), ("b", 0)]


def test_parquet_keeps_class_names(tmp_path):
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["bad", "good"])}
    )
    datasets.Dataset.from_dict({"text": ["a", "b"], "label": [1, 0]}, features=features).to_parquet(
        tmp_path / "d.parquet"
    )
    assert read_file(tmp_path / "d.parquet").class_names == {"label": ("bad", "good")}


def test_folder_takes_the_files_named_after_splits_only(tmp_path):
    for name in ("train", "dev", "test", "train_overlap"):
        pq.write_table(pa.table({"text": [name], "label": [0]}), tmp_path / f"{name}.parquet")
    (tmp_path / "SOURCE.txt").write_text("where it is from")
    splits = read_source(tmp_path)
    assert {split: rows(raw) for split, raw in splits.items()} == {
        "train": [("train", 0)],
        "validation": [("dev", 0)],
        "test": [("test", 0)],
    }


def test_acl_imdb_layout(tmp_path):
    for name in ("train/pos/1_9", "train/neg/0_2", "train/unsup/7_0", "test/neg/3_1", "test/pos/4_8"):
        path = tmp_path / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"text of {name}")
    (tmp_path / "train" / "urls_pos.txt").write_text("http://example.org")
    splits = read_source(str(tmp_path))
    assert rows(splits["train"]) == [("text of train/neg/0_2", "neg"), ("text of train/pos/1_9", "pos")]
    assert rows(splits["test"]) == [("text of test/neg/3_1", "neg"), ("text of test/pos/4_8", "pos")]
    assert rows(splits["unlabelled"], "text") == [("text of train/unsup/7_0",)]
    assert splits["train"].place(1).endswith("1_9.txt")


@pytest.mark.parametrize("source", ["nothing.csv", "./nothing", "../a/b/c", "no thing", "nothing.tar.gz", "a/b/c"])
def test_a_path_that_does_not_exist_is_missing_and_not_looked_up(source, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("toughen.data.read.sources._read_hub", lambda name: pytest.fail(f"asked the hub for {name}"))
    with pytest.raises(InputError, match="missing"):
        read_source(source)


def test_a_folder_beside_existing_ones_is_missing(monkeypatch, tmp_path):
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="data/imdb is missing"):
        read_source("data/imdb")


@pytest.fixture
def hub(monkeypatch):
    """A hub that answers, and remembers what it was asked for."""
    asked = []

    def load_dataset(name, configuration):
        asked.append((name, configuration))
        features = {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])}
        part = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [1, 0]}, features=datasets.Features(features))
        return datasets.DatasetDict({"train": part, "test": part, "unsupervised": part, "extra": part})

    monkeypatch.setattr("toughen.data.read.sources.hub_answers", lambda kind, name: True)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    return asked


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("imdb", ("imdb", None)),
        ("stanfordnlp/imdb", ("stanfordnlp/imdb", None)),
        ("nyu-mll/glue:sst2", ("nyu-mll/glue", "sst2")),
    ],
)
def test_hub_ids_and_their_configurations(source, expected, hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    splits = read_source(source)
    assert hub == [expected]
    assert set(splits) == {"train", "test", "unlabelled"}
    assert splits["train"].class_names == {"label": ("neg", "pos")}
    assert splits["test"].name == f"split 'test' of {source}"


def test_an_unreachable_hub_leaves_the_cache_and_says_so(hub, monkeypatch, capsys):
    """Asking once, and then only the cache, spares half a minute of retries."""
    offline = []
    load = datasets.load_dataset
    monkeypatch.setattr("toughen.data.read.sources.hub_answers", lambda kind, name: False)
    monkeypatch.setattr(
        datasets, "load_dataset", lambda *args: offline.append(datasets.config.HF_HUB_OFFLINE) or load(*args)
    )
    assert "train" in read_source("someone/reviews")
    assert offline == [True]
    assert datasets.config.HF_HUB_OFFLINE is False
    assert "someone/reviews was read from the local cache" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (datasets.exceptions.DatasetNotFoundError("x doesn't exist"), "There is no dataset 'someone/reviews'"),
        (ValueError("Config name is missing.\nPick one of a, b"), "write someone/reviews:NAME"),
        (datasets.exceptions.DatasetGenerationError("broken"), "cannot be read from the hub: broken"),
    ],
)
def test_what_the_hub_says_becomes_one_sentence(error, says, hub, monkeypatch):
    def refuse(*_):
        raise error

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(InputError, match=says) as caught:
        read_source("someone/reviews")
    assert "\n" not in str(caught.value)


def test_text_files_serve_where_no_labels_are_needed(tmp_path):
    (tmp_path / "texts.txt").write_text("one\ntwo\n")
    assert rows(read_source(tmp_path / "texts.txt", lines=True)[WHOLE], "text") == [("one",), ("two",)]
    with pytest.raises(InputError, match="is text without labels"):
        read_source(tmp_path / "texts.txt")
