"""Lines that begin with `__label__`: the same rows as of a table, in training and in prediction."""

import pytest

from toughen.data import Data, load_splits
from toughen.data.read.labelled_lines import read_labelled_lines
from toughen.data.read.sources import read_source
from toughen.data.stream import open_stream
from toughen.errors import InputError


def write(path, text):
    path.write_bytes(text.encode())
    return path


def test_a_line_is_a_text_and_its_label(tmp_path):
    path = write(
        tmp_path / "a.txt", "\ufeff__label__good  a fine film \r\n\n\t__label__bad dull __label__ x\r__label__good\n"
    )
    raw = read_labelled_lines(path, "a.txt", False)
    assert raw.table.to_pylist() == [
        {"text": "a fine film", "label": "good"},
        {"text": "dull __label__ x", "label": "bad"},
        {"text": "", "label": "good"},
    ]


def test_several_labels_make_lists(tmp_path):
    path = write(tmp_path / "train.txt", "__label__a __label__b one\n__label__a two\n" * 3 + "__label__b three\n" * 6)
    splits = load_splits(Data(source=str(path)), seed=0)
    assert (splits.task, splits.label_names) == ("multi-label", ("a", "b"))


def test_a_folder_of_such_files_has_splits(tmp_path):
    """As flair writes a corpus."""
    for split in ("train", "dev", "test"):
        write(tmp_path / f"{split}.txt", "__label__a one\n__label__b two\n")
    assert sorted(read_source(str(tmp_path))) == ["test", "train", "validation"]


def test_a_prediction_reads_the_text_without_the_label(tmp_path):
    path = write(tmp_path / "a.txt", "__label__good a fine film\n")
    assert open_stream(path).head().table.to_pylist() == [{"text": "a fine film", "label": "good"}]
    path = write(tmp_path / "b.txt", "a fine film __label__good\n")
    assert open_stream(path).head().table.to_pylist() == [{"text": "a fine film __label__good"}]


def test_a_line_without_a_label_is_named_or_left_out(tmp_path):
    path = write(tmp_path / "a.txt", "__label__good one\ntwo\n__label__bad three\n")
    with pytest.raises(InputError, match=r"a.txt, row 2: the line begins with no __label__; add its label or remove"):
        read_labelled_lines(path, "a.txt", False)
    raw = read_labelled_lines(path, "a.txt", True)
    assert raw.table["text"].to_pylist() == ["one", "three"]
    assert raw.numbers().tolist() == [0, 2]
    assert [damage.row for damage in raw.damage] == [2]


def test_text_without_labels_is_refused_for_training(tmp_path):
    path = write(tmp_path / "a.txt", "a fine film\n")
    with pytest.raises(InputError, match=r"is text without labels: training needs a table .*, or lines that begin"):
        load_splits(Data(source=str(path)), seed=0)
