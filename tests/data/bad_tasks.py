"""What is wrong in ways that only pairs, groups, and other tasks than one class per text have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from data.bad_writers import GOOD_CSV, BadInput, Written, folder_of, good_csv, lines, one_file, parquet

PAIRED_CSV = "text_a,text_b,label\n" + "".join(f"a {i},b {i},{'yes' if i % 2 else 'no'}\n" for i in range(12))
GROUPED_CSV = "text,label,user\n" + "".join(f"film {i},{'pos' if i % 2 else 'neg'},u{i // 2}\n" for i in range(12))
SOFT_CSV = "text,pos,neg\n" + "".join(f"film {i},0.{1 + i % 2},0.{9 - i % 2}\n" for i in range(12))
VOTES_CSV = "text,ann,ben\n" + "".join(f"film {i},{'pos' if i % 2 else 'neg'},neg\n" for i in range(12))
SCORED_CSV = "text,label\n" + "".join(f"film {i},{i}.5\n" for i in range(12))


def beside(name: str, content: str, write: Callable[[Path], Written], field_name: str) -> Callable[[Path], Written]:
    """Return a function that writes one more file and names it in a field of the `data` part."""

    def both(folder: Path) -> Written:
        source, flags = write(folder)
        (folder / name).write_text(content)
        return source, {**flags, field_name: str(folder / name)}

    return both


def tagged(*rows: tuple[Any, Any], **flags: str) -> Callable[[Path], Written]:
    """Return a function that writes good rows of words with tags, and then those given."""
    good = [{"tokens": ["Anna", "sang", str(i)], "tags": ["B-PER", "O", "O"]} for i in range(4)]
    return one_file("data.jsonl", lines(*good, *({"tokens": words, "tags": tags} for words, tags in rows)), **flags)


def label_sets(*rows: Any, **flags: str) -> Callable[[Path], Written]:
    """Return a function that writes good rows with sets of labels, and then those given."""
    good = [["joy"], ["joy", "awe"], [], ["awe"]]
    records = ({"text": f"a film {i}", "labels": labels} for i, labels in enumerate([*good, *rows]))
    return one_file("data.jsonl", lines(*records), **flags)


BAD_TASKS: dict[str, BadInput] = {
    "unknown task": BadInput(one_file("data.csv", GOOD_CSV, task="ranking"), ("data.task", "regression")),
    "regression with words": BadInput(
        one_file("data.csv", GOOD_CSV, task="regression"), ("row 1", "'pos'", "is no number", "name another task")
    ),
    "regression with lists": BadInput(
        parquet({"task": "regression"}, text=["a", "b"], label=[[0.5], [0.1]]), ("regression", "one number per row")
    ),
    "regression, all the same": BadInput(
        one_file("data.csv", "text,label\na,3\nb,3.0\n", task="regression"), ("one label only", "says 3")
    ),
    "infinite number": BadInput(
        parquet(text=["a", "b", "c"], label=[0.5, 1.5, float("inf")]), ("row 3", "'label'", "is infinite")
    ),
    "null number": BadInput(
        one_file("data.csv", SCORED_CSV + "a film,\n"), ("row 13", "label in column 'label' is null")
    ),
    "positive label of three classes": BadInput(
        one_file("data.csv", "text,label\na,x\nb,y\nc,z\n", positive_label="x"), ("for two classes", "has 3", "'x'")
    ),
    "unknown positive label": BadInput(
        one_file("data.csv", good_csv(), positive_label="good"), ("'good' is no class", "'neg', 'pos'")
    ),
    "positive label with a named task": BadInput(
        one_file("data.csv", SCORED_CSV, positive_label="0.5", task="regression"),
        ("data.positive_label", "two classes", "data.task is regression"),
    ),
    "positive label with label sets": BadInput(
        label_sets(positive_label="joy"), ("data.positive_label 'joy'", "is multi-label", "leave it out")
    ),
    "wrong group column": BadInput(
        one_file("data.csv", good_csv(), group="user"), ("no group column 'user'", "--data.group")
    ),
    "null group": BadInput(
        one_file("data.csv", GROUPED_CSV + "a film,pos,\n", group="user"), ("row 13", "group in column 'user' is null")
    ),
    "weight of 0": BadInput(
        one_file(
            "data.csv", GROUPED_CSV.replace("user", "trust").replace(",u", ",1") + "a film,pos,0\n", weight="trust"
        ),
        ("row 13", "weight in column 'trust' is '0'", "bad_rows drop"),
    ),
    "probabilities with another sum": BadInput(
        one_file("data.csv", SOFT_CSV + "a film,3,1\n", label_columns="pos,neg"),
        ("row 13", "'pos', 'neg' are 3, 1", "sum is 4"),
    ),
    "no vote": BadInput(
        one_file("data.csv", VOTES_CSV + "a film,,\n", vote_columns="ann,ben"), ("row 13", "no vote in 'ann', 'ben'")
    ),
    "one group only": BadInput(
        one_file("data.csv", "text,label,user\na,x,u\nb,y,u\n", group="user"), ("one group only", "validation split")
    ),
    "group that is the label": BadInput(
        one_file("data.csv", GROUPED_CSV, group="label", label="label"), ("data.group", "another column")
    ),
    "wrong second text column": BadInput(
        one_file("data.csv", PAIRED_CSV, text_pair="b"), ("no text pair column 'b'", "--data.text_pair")
    ),
    "empty second text": BadInput(one_file("data.csv", PAIRED_CSV + "a,,yes\n"), ("row 13", "second text is empty")),
    "numbers for second texts": BadInput(
        one_file("data.csv", "text,other,label\na,1,x\nb,2,y\n", text_pair="other"), ("holds numbers", "text_pair")
    ),
    "unlabelled without a second text": BadInput(
        beside("more.txt", "one\ntwo\n", one_file("data.csv", PAIRED_CSV), "unlabelled"),
        ("more.txt has no second text", "--data.text_pair"),
    ),
    "second text with tokens": BadInput(
        tagged(task="tokens", text_pair="text_b"), ("data.text_pair must be null", "tokens")
    ),
    "unlabelled with tokens": BadInput(
        beside("more.txt", "one\n", tagged(), "unlabelled"), ("data.unlabelled", "tokens", "leave it out")
    ),
    "unlabelled with tokens, named": BadInput(
        beside("more.txt", "one\n", tagged(task="tokens"), "unlabelled"), ("data.unlabelled must be null", "tokens")
    ),
    "tokens without lists": BadInput(
        one_file("data.csv", GOOD_CSV, task="tokens"), ("data.task is tokens", "no column of lists of words")
    ),
    "tokens with a text for words": BadInput(
        one_file("data.csv", GOOD_CSV, task="tokens", text="text"), ("data.task is tokens", "not lists of words")
    ),
    "more words than tags": BadInput(tagged((["Anna", "sang"], ["O"])), ("row 5", "2 words but column 'tags' 1 tags")),
    "text without words": BadInput(tagged(([], [])), ("row 5", "the text has no words")),
    "null words": BadInput(tagged((None, ["O"])), ("row 5", "the text has no words")),
    "empty word": BadInput(tagged((["Anna", " "], ["O", "O"])), ("row 5: word 2 is empty",)),
    "null tag": BadInput(tagged((["Anna"], [None])), ("row 5", "null or empty")),
    "null tags": BadInput(tagged((["Anna"], None)), ("row 5", "is null")),
    "one tag only": BadInput(
        one_file("data.jsonl", lines({"tokens": ["a", "b"], "tags": ["O", "O"]})), ("one class only", "'O'")
    ),
    "tag in test never seen in train": BadInput(
        folder_of(
            {
                "train.jsonl": lines(*({"tokens": ["Anna", str(i)], "tags": ["B-PER", "O"]} for i in range(4))),
                "test.jsonl": lines({"tokens": ["in", "Rome"], "tags": ["O", "B-LOC"]}),
            }
        ),
        ("test.jsonl, row 1, word 2", "'B-LOC'", "never seen in train"),
    ),
    "null label set": BadInput(label_sets(None), ("row 5", "is null", "empty where the row has no label")),
    "empty label in a set": BadInput(label_sets(["joy", " "]), ("row 5", "null or empty")),
    "mixed labels in sets": BadInput(label_sets([7]), ("'labels'", "mixes types", "row 5 holds 7 (int)")),
    "one label in all sets": BadInput(
        one_file("data.jsonl", lines({"text": "a", "labels": ["joy"]}, {"text": "b", "labels": []})),
        ("one label", "at least two"),
    ),
    "label sets that are all alike": BadInput(
        one_file("data.jsonl", lines({"text": "a", "labels": ["x", "y"]}, {"text": "b", "labels": ["y", "x"]})),
        ("same labels", "nothing to learn"),
    ),
    "label set in test never seen in train": BadInput(
        folder_of(
            {
                "train.jsonl": lines(*({"text": str(i) + " a", "labels": ["ab"[i % 2]]} for i in range(8))),
                "test.jsonl": lines({"text": "hm", "labels": ["a", "c"]}),
            }
        ),
        ("test.jsonl, row 1", "'c'", "never seen in train"),
    ),
    "lists of decimals for labels": BadInput(
        parquet(text=["a", "b"], label=[[0.5], [0.5, 1.0]]), ("lists of double", "whole numbers")
    ),
    "one class per row with multi-label": BadInput(
        parquet({"task": "multi-label"}, text=["a", "b"], label=[0, 1]), ("data.task is multi-label", "holds int64")
    ),
    "wrong one of several label columns": BadInput(
        one_file("data.csv", "text,a,b\nx,0,1\ny,1,0\n", label="a,c"), ("no label column 'c'", "--data.label")
    ),
    "several label columns, neither 0 nor 1": BadInput(
        one_file("data.csv", "text,a,b\nx,0,1\ny,1,2\n", label="a,b"), ("row 2", "'b' holds '2'", "0 or 1")
    ),
    "several label columns with single-label": BadInput(
        one_file("data.csv", "text,a,b\nx,0,1\ny,1,0\n", label="a,b", task="single-label"),
        ("names 2 columns", "only multi-label"),
    ),
}
