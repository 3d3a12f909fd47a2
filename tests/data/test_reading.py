"""However rows are written down, they are the same rows: encodings, packing, separators, layouts, lines."""

from __future__ import annotations

import gzip
import json

import datasets
import numpy as np
import pandas as pd
import pytest

from toughen.data import Data, load_splits, load_texts
from toughen.data.read.in_memory import WHOLE
from toughen.data.read.plain import looks_like
from toughen.data.read.printed import parse_list
from toughen.data.read.sources import read_source
from toughen.errors import InputError

ROWS = [("好看，很好看", "好评"), ("难看; 差", "差评"), ("一般，café", "好评"), ("不行", "差评")]
RECORDS = [{"text": text, "label": label} for text, label in ROWS]


def read(path, **how):
    """Return the rows of an undivided source."""
    table = read_source(path, **how)[WHOLE].table
    return list(zip(table["text"].to_pylist(), table["label"].to_pylist(), strict=True))


def csv(separator=",", rows=ROWS, end="\n"):
    lines = [separator.join(("text", "label"))] + [f'"{text}"{separator}{label}' for text, label in rows]
    return end.join(lines) + end


@pytest.mark.parametrize("encoding", ["gbk", "utf-16", "utf-16-le", "utf-8-sig", "gb18030"])
@pytest.mark.parametrize("kind", ["csv", "jsonl", "json"])
def test_a_named_encoding_is_read(encoding, kind, tmp_path):
    content = {"csv": csv(), "jsonl": "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in RECORDS)}
    content["json"] = json.dumps(RECORDS, ensure_ascii=False)
    path = tmp_path / f"data.{kind}"
    path.write_bytes(content[kind].replace("é", "e").encode(encoding))
    wanted = [(text.replace("é", "e"), label) for text, label in ROWS]
    assert read(path, encoding=encoding) == wanted


@pytest.mark.parametrize(
    ("text", "encoding", "said"),
    [
        (csv(), "utf-16", "--data.encoding utf-16,"),
        (csv(), "gb18030", "--data.encoding gbk"),
        ("text,label\nun café noir,pos\nun thé amer,neg\n", "utf-16-le", "--data.encoding utf-16-le"),
        ("text,label\nun café noir,pos\nun thé amer,neg\n", "latin-1", "--data.encoding latin-1"),
        ("text,label\nein schöner Tag,pos\nes ist zu heiß hier\u2019s,neg\n", "cp1252", "--data.encoding latin-1"),
    ],
)
def test_another_encoding_is_named_with_the_flag_that_reads_it(text, encoding, said, tmp_path):
    path = tmp_path / "data.csv"
    path.write_bytes(text.encode(encoding))
    with pytest.raises(InputError) as caught:
        read(path)
    assert said in str(caught.value)


def test_western_letters_are_not_taken_for_chinese():
    assert looks_like("naïve café, déjà vu, Übergröße, señor".encode("latin-1")) == "latin-1"
    assert looks_like("这部电影很好看".encode("gbk")) == "gbk"
    assert looks_like(bytes(range(0x80, 0xC0)) * 3) is None


def test_a_wrong_encoding_is_refused(tmp_path):
    (tmp_path / "data.csv").write_text(csv(), "utf-8")
    with pytest.raises(InputError, match=r"data.csv is not in the encoding ascii \(--data.encoding\)"):
        read(tmp_path / "data.csv", encoding="ascii")
    for wrong in ("klingon", "base64"):
        with pytest.raises(InputError, match=r"data\.encoding must name an encoding of text"):
            Data(encoding=wrong)


@pytest.mark.parametrize("name", ["data.csv.gz", "train.csv.gz", "data.CSV.GZ"])
def test_packed_files_are_read(name, tmp_path):
    (tmp_path / name).write_bytes(gzip.compress(csv().encode()))
    assert read(tmp_path / name) == ROWS
    if name.startswith("train"):
        assert list(read_source(tmp_path)) == ["train"]
    (tmp_path / name).write_bytes(gzip.compress(csv().encode())[:-9])
    with pytest.raises(InputError, match="is damaged: it cannot be unpacked"):
        read(tmp_path / name)


def test_a_packed_file_of_another_kind_is_refused_by_what_is_in_it(tmp_path):
    (tmp_path / "data.xlsx.gz").write_bytes(gzip.compress(b"x"))
    with pytest.raises(InputError, match=r"the extension must be one of .* \(packed as .gz"):
        read(tmp_path / "data.xlsx.gz")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(("separator", "word"), [(",", None), (";", "semicolon"), ("\t", "tab"), ("|", "bar")])
@pytest.mark.parametrize("first", [False, True])
def test_separators_are_told(separator, word, first, end, tmp_path):
    path = tmp_path / "data.csv"
    path.write_bytes(((f"sep={separator}{end}" if first else "") + csv(separator, end=end)).encode())
    assert read(path) == ROWS
    notes = load_splits(Data(source=str(path), validation_share=0.5), seed=0).summary.notes
    assert (word is None) == (not any("separator" in note for note in notes))
    assert word is None or f"{path}: separator {word}" in notes


def test_a_text_with_semicolons_does_not_make_them_separators(tmp_path):
    (tmp_path / "one.csv").write_text("text\nfine; very fine\nbad; very bad\n")
    assert load_texts(tmp_path / "one.csv")["text"][:] == ["fine; very fine", "bad; very bad"]
    (tmp_path / "two.csv").write_text('text,label\n"a; b",x\n"c; d",y\n')
    assert read(tmp_path / "two.csv") == [("a; b", "x"), ("c; d", "y")]


def test_a_ragged_file_is_refused_by_the_name_of_its_separator(tmp_path):
    (tmp_path / "data.csv").write_text("text;label\nfine;pos\nbad; very bad;neg\n")
    with pytest.raises(InputError, match=r"line 3 \(row 2\): too many fields, 3 .* separator \(semicolon\)"):
        read(tmp_path / "data.csv")


FRAME = pd.DataFrame(RECORDS)
COLUMNS = {"text": [t for t, _ in ROWS], "label": [label for _, label in ROWS]}
LAYOUTS = {
    "columns": json.dumps(COLUMNS),
    "columns over lines": json.dumps(COLUMNS, indent=1),
    "envelope": json.dumps({"data": RECORDS}),
    "envelope with more": json.dumps({"version": "1.0", "about": {"by": "us"}, "data": RECORDS}, indent=2),
    "other envelope": json.dumps({"examples": RECORDS}),
    "one record a line": "".join(json.dumps(r) + "\n" for r in RECORDS),
    "list": json.dumps(RECORDS),
    **{f"pandas, {how}": FRAME.to_json(orient=how) for how in ("columns", "index", "split", "table", "records")},
}


@pytest.mark.parametrize("name", ["data.json", "data.jsonl"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_of_json(layout, name, tmp_path):
    (tmp_path / name).write_text(LAYOUTS[layout])
    assert read(tmp_path / name) == ROWS


def test_an_object_that_holds_no_rows_is_refused_in_one_short_sentence(tmp_path):
    (tmp_path / "data.json").write_text(json.dumps({f"key {i}" * 20: i for i in range(1000)}, indent=1))
    with pytest.raises(InputError, match=r"Cannot read .* and no rows; give a list of records") as caught:
        read(tmp_path / "data.json")
    assert len(str(caught.value)) < 1500
    (tmp_path / "data.json").write_text(json.dumps({"text": ["a", "b"], "label": ["x"]}, indent=1))
    with pytest.raises(InputError, match="differ in length"):
        read(tmp_path / "data.json")


def test_a_line_of_words_is_a_record_and_not_columns(tmp_path):
    (tmp_path / "data.jsonl").write_text('{"tokens": ["a", "b"], "tags": ["O", "O"]}\n')
    assert read_source(tmp_path / "data.jsonl")[WHOLE].table.to_pylist() == [{"tokens": ["a", "b"], "tags": ["O", "O"]}]


@pytest.mark.parametrize("kind", [np.array, pd.Series, tuple, list])
def test_columns_in_memory_may_be_arrays(kind):
    data = {"text": kind(["a", "b"]), "label": kind([0, 1])}
    assert read(data) == [("a", 0), ("b", 1)]


def test_what_save_to_disk_wrote_is_read(tmp_path):
    one = datasets.Dataset.from_dict({**COLUMNS}).class_encode_column("label")
    one.save_to_disk(tmp_path / "one")
    assert read_source(tmp_path / "one")[WHOLE].class_names == {"label": tuple(one.features["label"].names)}
    datasets.DatasetDict(train=one, test=one).save_to_disk(tmp_path / "several")
    assert list(read_source(tmp_path / "several")) == ["train", "test"]
    (tmp_path / "one/state.json").write_text("{}")
    with pytest.raises(InputError, match="looks like a saved dataset, but cannot be read"):
        read(tmp_path / "one")


@pytest.mark.parametrize("kind", ["jsonl", "json", "memory"])
def test_half_of_a_surrogate_pair_is_named_as_that(kind, tmp_path):
    rows = [{"text": "fine", "label": "a"}, {"text": "cut \ud83d here", "label": "b"}] * 3
    source = rows
    if kind != "memory":
        source = tmp_path / f"data.{kind}"
        source.write_text(json.dumps(rows) if kind == "json" else "".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(InputError, match=r"half of a surrogate pair \('\\ud83d'\) in row 2"):
        load_splits(Data(), seed=0, data=source)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[0, 1, 0]", [0, 1, 0]),
        ("[0 1 0]", [0, 1, 0]),
        ("[ 0.  1.5]", None),
        ("['a', 'b c']", ["a", "b c"]),
        ('["a"]', ["a"]),
        ("[]", []),
        ("[deleted]", None),
        ("['it's]", None),
        ("[[1], [2]]", None),
        ("[1, 2", None),
        ("[__import__('os')]", None),
    ],
)
def test_printed_lists_are_parsed(text, found):
    parsed = parse_list(text)
    assert parsed == found if found is not None or parsed is None else parsed == [0.0, 1.5]


def written(lists, kind, folder):
    """Write texts with lists of labels, printed where the format has no lists."""
    texts = [f"text {i}" for i in range(len(lists))]
    frame = pd.DataFrame({"text": texts, "labels": lists})
    if kind == "frame of text":
        return frame.assign(labels=[str(one) for one in lists])
    path = folder / f"data.{kind}"
    writer = {"csv": frame.to_csv, "jsonl": lambda p, **_: frame.to_json(p, orient="records", lines=True)}
    writer.get(kind, lambda p, **_: frame.to_parquet(p))(path, index=False)
    return path


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "frame of text"])
@pytest.mark.parametrize(
    ("lists", "names"),
    [
        ([[0, 1, 0], [1, 0, 1], [0, 0, 1], [1, 1, 0]] * 3, ("0", "1", "2")),
        ([["joy"], ["joy", "anger"], [], ["fear"]] * 3, ("anger", "fear", "joy")),
        ([[2, 27], [2], [], [14]] * 3, ("2", "14", "27")),
    ],
)
def test_printed_lists_are_the_lists_that_they_print(kind, lists, names, tmp_path):
    splits = load_splits(Data(source="", validation_share=0.3), seed=0, data=written(lists, kind, tmp_path))
    assert (splits.task, splits.label_names) == ("multi-label", names)
    hot = {row["row"]: row["label"] for part in (splits.train, splits.validation) for row in part}
    flags = names == ("0", "1", "2")
    wanted = [list(map(float, one)) if flags else [float(n in map(str, one)) for n in names] for one in lists]
    assert [hot[i] for i in range(len(lists))] == wanted


def test_words_and_tags_may_be_printed_into_a_csv(tmp_path):
    rows = [{"tokens": ["Anna", "sleeps", str(i)], "tags": ["B-PER", "O", "O"]} for i in range(12)]
    pd.DataFrame(rows).to_csv(tmp_path / "data.csv", index=False)
    splits = load_splits(Data(source=str(tmp_path / "data.csv")), seed=0)
    assert (splits.task, splits.label_names) == ("tokens", ("B-PER", "O"))


def test_texts_in_brackets_stay_texts(tmp_path):
    (tmp_path / "data.csv").write_text('text,label\n[deleted],a\n"[noise, laughter]",b\n[deleted 2],a\n[x],b\n')
    assert read(tmp_path / "data.csv")[0] == ("[deleted]", "a")
