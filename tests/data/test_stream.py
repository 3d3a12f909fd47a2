"""Sources in pieces: what the pieces hold is what the whole file holds, and faults keep their rows."""

import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from toughen.bulk.source import Source
from toughen.bulk.work import Known
from toughen.data import load_texts
from toughen.data.stream import open_stream
from toughen.errors import InputError

KINDS = [".csv", ".tsv", ".jsonl", ".json", ".parquet", ".txt"]
ROWS = 2300
LONG = 1800  # the row that is longer than a block of a CSV file
TEXTS = [f"text {i}" + ("é" * 700_000 if i == LONG else "") for i in range(ROWS)]
SINGLE = Known("single-label", False)


def write(path, texts, **more):
    rows = [{"text": text, **{name: values[i] for name, values in more.items()}} for i, text in enumerate(texts)]
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    elif path.suffix == ".txt":
        path.write_text("\n".join(texts))
    else:
        with path.open("w", newline="") as file:
            writer = csv.writer(file, delimiter="," if path.suffix == ".csv" else "\t")
            writer.writerows([list(rows[0]), *(row.values() for row in rows)])
    return path


def opened(path, known=SINGLE, rows=100, **named):
    return Source.open(str(path), named.get("text"), named.get("text_pair"), known, rows)


def read(source):
    return [text for chunk in source.chunks() for text in chunk.columns["text"]]


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_are_the_file(kind, tmp_path):
    path = write(tmp_path / f"in{kind}", TEXTS)
    source = opened(path)
    found = source.check()
    assert (found.rows, found.chunks, found.blank) == (ROWS, ROWS // 100, 0)
    assert read(source) == list(load_texts(str(path))["text"]) == TEXTS
    stream = open_stream(path)
    firsts = [piece.first for piece in stream.pieces(["text"])]
    assert firsts == sorted(firsts)
    assert len(firsts) > 2, "all came at once"
    before = stream.digest()
    assert open_stream(path).digest() == before
    assert open_stream(write(path, TEXTS[1:])).digest() != before


@pytest.mark.parametrize("kind", [".csv", ".jsonl", ".json", ".parquet"])
def test_a_fault_has_the_row_that_it_has_in_the_whole(kind, tmp_path):
    texts = [*TEXTS[:LONG], " ", "last"]
    source = opened(write(tmp_path / f"in{kind}", texts))
    found = source.check()
    assert (found.rows, found.blank, found.first) == (LONG + 2, 1, LONG + 1)


def test_a_second_text_that_a_row_lacks_is_null_there(tmp_path):
    rows = [{"text": "one", "text_pair": "two"}] * 1500 + [{"text": "alone"}]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = opened(tmp_path / "in.jsonl", Known("single-label", True)).check()
    assert (found.blank, found.first) == (1, 1501)


def test_numbers_are_texts_alone_and_among_others(tmp_path):
    numbers = [str(i) for i in range(1500)]
    mixed = opened(write(tmp_path / "mixed.csv", ["a text", *numbers]))
    found = mixed.check()
    assert (found.rows, found.chunks) == (1501, 16)
    assert read(mixed) == ["a text", *numbers]
    alone = opened(write(tmp_path / "numbers.csv", numbers))
    assert alone.check().rows == 1500
    assert read(alone) == numbers


def test_a_broken_row_is_named(tmp_path):
    path = tmp_path / "in.csv"
    path.write_text("id,text\n" + "1,a\n" * 300_000 + "1,a,b\n")
    with pytest.raises(InputError, match=r"line 300002 \(row 300001\): too many fields"):
        opened(path).check()
    path = tmp_path / "in.jsonl"
    path.write_text('{"text": "a"}\n' * 20_000 + "{\n")
    with pytest.raises(InputError, match=r"line 20001: malformed JSON"):
        opened(path).check()
    path = write(tmp_path / "in.parquet", TEXTS[:100])
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(InputError, match="cannot be read"):
        opened(path)


def test_a_chunk_ends_early_where_texts_are_long(tmp_path):
    texts = ["x" * 3_000_000, "y" * 3_000_000, "short", "shorter"]
    source = opened(write(tmp_path / "in.jsonl", texts))
    assert [len(chunk) for chunk in source.chunks()] == [2, 2]
    found = source.check()
    assert (found.rows, found.chunks) == (4, 2)


def test_columns_without_a_usual_name_are_told_by_the_first_rows(tmp_path):
    path = tmp_path / "in.csv"
    path.write_text("kind,what\n" + "".join(f"a,some text {i}\n" for i in range(12_000)))
    assert opened(path).columns.text == "what"


def test_words_are_lists_or_divided_texts(tmp_path):
    tokens = Known("tokens", None)
    assert read(opened(write(tmp_path / "in.csv", ["Ann  left", "Bo"]), tokens)) == [["Ann", "left"], ["Bo"]]
    assert read(opened(write(tmp_path / "in.parquet", [["Ann", "left"], ["Bo"]]), tokens)) == [["Ann", "left"], ["Bo"]]


@pytest.mark.parametrize("kind", [".csv", ".parquet"])
def test_memory_does_not_grow_with_the_file(kind, tmp_path):
    path = write(tmp_path / f"in{kind}", [f"{i} " + "word " * 60 for i in range(60_000)])  # one row group
    source = opened(path, rows=500)
    before = pa.total_allocated_bytes()
    most = max(pa.total_allocated_bytes() - before for _ in source.chunks())
    whole = load_texts(str(path)).data.nbytes
    assert most < whole / 2 < 16 << 20, f"{most:,} bytes of {whole:,}"
