"""Every kind of wrong data that is refused in one sentence: how to write it, and what the sentence must say.

Used twice: against the load functions here, and against the real command elsewhere.
"""

from __future__ import annotations

from data.bad_tasks import BAD_TASKS
from data.bad_writers import (
    GOOD,
    GOOD_CSV,
    BadInput,
    absent,
    folder_of,
    good_csv,
    hub,
    lines,
    one_file,
    parquet,
    parquet_not_utf8,
)

BAD_INPUTS: dict[str, BadInput] = {
    "missing file": BadInput(absent("reviews.csv"), ("reviews.csv is missing",)),
    "missing folder": BadInput(absent("reviews"), ("reviews is missing",)),
    "unsupported extension": BadInput(one_file("data.xlsx", "x"), ("data.xlsx", ".csv .tsv .jsonl .json .parquet")),
    "empty csv": BadInput(one_file("data.csv", ""), ("data.csv is empty",)),
    "csv with a header alone": BadInput(one_file("data.csv", "text,label\n"), ("data.csv is empty",)),
    "header without line end": BadInput(one_file("data.csv", "text,label"), ("data.csv is empty",)),
    "csv of blank lines": BadInput(one_file("data.csv", "\n\n\n"), ("data.csv is empty",)),
    "csv of a byte order mark": BadInput(one_file("data.csv", b"\xef\xbb\xbf"), ("data.csv is empty",)),
    "empty jsonl": BadInput(one_file("data.jsonl", ""), ("data.jsonl is empty",)),
    "blank jsonl": BadInput(one_file("data.jsonl", "\n \n"), ("data.jsonl is empty",)),
    "empty json list": BadInput(one_file("data.json", "[]"), ("data.json is empty",)),
    "parquet without rows": BadInput(parquet(text=[], label=[]), ("data.parquet is empty",)),
    "broken parquet": BadInput(one_file("data.parquet", "PAR1 no"), ("data.parquet cannot be read",)),
    "empty folder": BadInput(folder_of({}), ("holds no data", "train")),
    "folder without train": BadInput(folder_of({"test.csv": GOOD_CSV}), ("no train split", "'test'")),
    "two files for one split": BadInput(
        folder_of({"train.csv": GOOD_CSV, "train.tsv": GOOD_CSV}), ("train.csv", "train.tsv", "remove or rename")
    ),
    "wrong text column": BadInput(
        one_file("data.csv", GOOD_CSV, text="body"), ("no text column 'body'", "'text', 'label'", "--data.text")
    ),
    "wrong label column": BadInput(
        one_file("data.csv", GOOD_CSV, label="stars"), ("no label column 'stars'", "--data.label")
    ),
    "column missing in test": BadInput(
        folder_of({"train.csv": good_csv(), "test.csv": "text,gold\na film,pos\n"}),
        ("test.csv has no column 'label'", "'text', 'gold'"),
    ),
    "no text column": BadInput(
        one_file("data.csv", "n,label\n1,a\n2,b\n3,a\n4,b\n"), ("no text column", "'n', 'label'")
    ),
    "no header": BadInput(
        one_file("data.csv", "".join(f"{text},{label}\n" for text, label in GOOD * 3)), ("first line of a table",)
    ),
    "several text columns": BadInput(
        one_file("data.csv", "review,comment,label\na b,c d,x\ne f,g h,y\n"),
        ("several columns that could be the text", "'review', 'comment'", "--data.text"),
    ),
    "several label columns": BadInput(
        one_file("data.csv", "text,stars,polarity\na b,1,0\ne f,2,1\n"), ("could be the label", "--data.label")
    ),
    "numbers for texts": BadInput(one_file("data.csv", "text,label\n1,a\n2,b\n"), ("holds numbers, not text",)),
    "duplicate columns": BadInput(
        one_file("data.csv", "text,label,text\na,b,c\n"), ("data.csv has more than one column named 'text'",)
    ),
    "duplicate keys": BadInput(
        one_file("data.jsonl", '{"text": "a", "label": 1}\n{"text": "b", "label": 0, "label": 1}\n'),
        ("line 2", "more than one column named 'label'"),
    ),
    "ragged csv, too many": BadInput(
        one_file("data.csv", 'text,label\n"one\nfilm",pos\nbad, very bad,neg\n'),
        ("line 4 (row 2)", "too many fields, 3"),
    ),
    "ragged csv, too few": BadInput(
        one_file("data.csv", "text,label\ngood,pos\nbad\n"), ("line 3 (row 2)", "too few fields, 1")
    ),
    "ragged tsv": BadInput(
        one_file("data.tsv", 'text\tlabel\n"odd quote\tpos\nbad\n'), ("line 3 (row 2)", "too few fields, 1")
    ),
    "unclosed quote": BadInput(one_file("data.csv", 'text,label\ngood,pos\n"bad,neg\nfine,pos\n'), ("line 3", "quote")),
    "malformed json line": BadInput(
        one_file("data.jsonl", '{"text": "a", "label": 1}\n\n{"text": "b", "label": }\n'), ("line 3", "malformed JSON")
    ),
    "json line that is no record": BadInput(one_file("data.jsonl", '{"text": "a", "label": 1}\n[1]\n'), ("line 2",)),
    "malformed json list": BadInput(
        one_file("data.json", '[{"text": "a", "label": 1},\n{"text": "b" "label": 0}]'), ("line 2", "malformed JSON")
    ),
    "json list of other things": BadInput(one_file("data.json", '[{"text": "a"}, 5]'), ("row 2", "not a record")),
    "one class only": BadInput(one_file("data.csv", "text,label\na,pos\nb,pos\n"), ("one class only", "'pos'")),
    "one class only, as numbers": BadInput(
        one_file("data.jsonl", lines({"text": "a", "label": 1})), ("one class only",)
    ),
    "label in test never seen in train": BadInput(
        folder_of({"train.csv": good_csv(), "test.csv": "text,label\na film,pos\nhm,mixed\n"}),
        ("row 2", "test.csv", "'mixed'", "never seen in train", "'neg', 'pos'"),
    ),
    "label in validation never seen in train": BadInput(
        folder_of({"train.csv": good_csv(), "dev.csv": "text,label\nhm,2\nho,2\n"}), ("dev.csv", "'2'", "never seen")
    ),
    "empty text": BadInput(
        one_file("data.csv", 'text,label\n"a\nb",pos\nbad,neg\n,pos\n"",neg\n'),
        ("row 3", "text is empty (and 1 more"),
    ),
    "blank text": BadInput(one_file("data.csv", 'text,label\na,pos\n" \t ",neg\n'), ("row 2", "text is empty")),
    "null text": BadInput(
        one_file("data.jsonl", lines({"text": "a", "label": 1}, {"text": None, "label": 0})),
        ("row 2", "text is null"),
    ),
    "text left out": BadInput(
        one_file("data.jsonl", lines({"text": "a", "label": 1}, {"label": 0})), ("row 2", "text is null")
    ),
    "null label": BadInput(
        one_file("data.jsonl", lines({"text": "a", "label": 1}, {"text": "b", "label": None})),
        ("row 2", "label in column 'label' is null"),
    ),
    "empty label": BadInput(one_file("data.csv", "text,label\na,1\nb,\nc,0\n"), ("row 2", "is null")),
    "nan label": BadInput(one_file("data.csv", "text,label\na,1.0\nb,nan\nc,0.0\n"), ("row 2", "is null")),
    "invalid utf-8 in csv": BadInput(
        one_file("data.csv", b'text,label\n"fine\nfilm",pos\ncaf\xe9,neg\n'), ("line 4 (row 2)", "invalid UTF-8")
    ),
    "invalid utf-8 in a header": BadInput(
        one_file("data.csv", b"t\xe9xt,label\nfine,pos\n"), ("line 1 (the header)", "invalid UTF-8")
    ),
    "utf-16 csv": BadInput(one_file("data.csv", GOOD_CSV.encode("utf-16")), ("line 1", "invalid UTF-8")),
    "invalid utf-8 in jsonl": BadInput(
        one_file("data.jsonl", b'{"text": "a", "label": 1}\n{"text": "\xff", "label": 0}\n'),
        ("line 2 (row 2)", "invalid UTF-8"),
    ),
    "invalid utf-8 in parquet": BadInput(parquet_not_utf8, ("row 2", "invalid UTF-8")),
    "invalid utf-8 in a text file": BadInput(
        folder_of({"train/pos/0_9.txt": "fine", "train/neg/0_1.txt": b"caf\xe9"}), ("0_1.txt", "invalid UTF-8")
    ),
    "empty text file": BadInput(
        folder_of({"train/pos/0_9.txt": "fine", "train/neg/0_1.txt": ""}), ("0_1.txt", "text is empty")
    ),
    "mixed labels in csv": BadInput(
        one_file("data.csv", "text,label\na,0\nb,1\nc,pos\n"), ("mixes types", "row 3", "'pos'")
    ),
    "mixed labels in jsonl": BadInput(
        one_file("data.jsonl", lines({"text": "a", "label": 0}, {"text": "b", "label": "pos"})),
        ("'label'", "mixes types", "row 2 holds 'pos' (str)"),
    ),
    "mixed texts": BadInput(
        one_file("data.jsonl", lines({"text": "a", "label": 0}, {"text": 7, "label": 1})),
        ("'text'", "mixes types", "row 2 holds 7 (int)"),
    ),
    "texts of numbers in jsonl": BadInput(
        one_file("data.jsonl", lines({"text": 5, "label": 0}, {"text": 7, "label": 1})), ("holds int64, not text",)
    ),
    "decimal labels": BadInput(
        one_file("data.csv", "text,label\na,0.5\nb,1.0\n", task="single-label"), ("row 1", "decimal number")
    ),
    "lists for labels": BadInput(
        parquet({"task": "single-label"}, text=["a", "b"], label=[[0], [0, 1]]), ("holds list", "one class per row")
    ),
    "class too small": BadInput(
        one_file("data.csv", good_csv() + "hm,mixed\n"), ("'mixed'", "1 distinct text", "validation split")
    ),
    "train repeats test": BadInput(
        folder_of({"train.csv": GOOD_CSV, "test.csv": GOOD_CSV}), ("'neg', 'pos'", "also stands in validation or test")
    ),
    "hub offline": BadInput(hub("someone/reviews"), ("'someone/reviews'", "unreachable"), {"HF_HUB_OFFLINE": "1"}),
    "hub unreachable": BadInput(
        hub("someone/reviews"), ("'someone/reviews'", "unreachable"), {"HF_ENDPOINT": "http://127.0.0.1:9"}
    ),
    **BAD_TASKS,
}
