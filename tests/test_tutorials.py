"""The commands of the tutorials run, from top to bottom, on small data of the kind that they speak of."""

import json
import re
import shlex
from pathlib import Path

import pandas as pd
import pytest

from tiny import reviews, save_tiny_model, write_csv
from toughen import Run, load
from toughen.cli import main

pytestmark = pytest.mark.filterwarnings(
    "ignore:training accuracy .* sat at the majority rate:UserWarning", "ignore:.*:torch.jit.TracerWarning"
)

PAGES = Path(__file__).parents[1] / "docs/tutorials"
SPELLINGS = {"positive": ("positive", "Positive"), "negative": ("negative", "Negative ")}
CHARACTERS = dict(zip(("good", "fine", "great", "warm", "bright"), "好棒佳妙赞", strict=True)) | dict(
    zip(("bad", "poor", "awful", "cold", "dull"), "差烂糟坏冷", strict=True)
)
CHARACTERS |= dict(
    zip(
        ("film", "book", "room", "meal", "phone", "the", "a", "was", "and", "very"), "影书房餐机这个是和很", strict=True
    )
)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_bert(tmp_path / "roberta-base")
    write_csv(tmp_path / "test.csv", reviews(20, 5))
    pd.DataFrame({"text": [text for text, _ in reviews(20, 2)]}).to_csv(tmp_path / "texts.csv", index=False)
    return tmp_path


def save_bert(folder, names=None):
    """Save the tiny model with BERT's tokenizer, which divides Chinese into characters and can be exported."""
    path = save_tiny_model(folder) / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    vocab = {(names or {}).get(word, word): i for word, i in tokenizer["model"]["vocab"].items()}
    pieces = {"unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100}
    tokenizer["model"] = {"type": "WordPiece", **pieces, "vocab": vocab}
    divided = {"clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True}
    tokenizer["normalizer"] = {"type": "BertNormalizer", **divided}
    tokenizer["pre_tokenizer"] = {"type": "BertPreTokenizer"}
    path.write_text(json.dumps(tokenizer))


def follow(page):
    """Run the page's commands; with fewer folds, and a random model of width 32 is never sure of anything."""
    for block in re.findall(r"<!-- runnable -->\n```bash\n(.*?)```", (PAGES / page).read_text(), re.S):
        for line in block.splitlines():
            shorter = line.replace("--folds 5", "--folds 2").replace("0.9 ", "0.5001 ")
            assert main(shlex.split(shorter)[1:]) == 0, line


def test_from_a_messy_csv_to_an_exported_model(desk, capsys):
    rows = [f"{i};{text};{i % 5};{SPELLINGS[label][i // 2 % 2]}" for i, (text, label) in enumerate(reviews(60, 0))]
    broken = ["60;;3;positive", "61;a film;3;", "62;a room;3;positive;again"]
    (desk / "reviews.csv").write_text("\n".join(["id;review text;stars;label", *rows, *broken]) + "\n")
    (desk / "test.csv").write_text((desk / "test.csv").read_text().replace("text,", "review text,", 1))
    follow("csv-to-service.md")
    said = capsys.readouterr().out
    assert "1 that could not be read, 1 without a text, 1 without a label" in " ".join(said.split())
    assert load("exported").label_names == ("Negative", "Positive")
    assert len((desk / "labelled.csv").read_text().splitlines()) == 21


def test_folds_a_teacher_and_a_submission(desk):
    write_csv(desk / "reviews.csv", reviews(50, 0))
    follow("competition.md")
    assert len(pd.read_csv("runs/final/submission.csv")) == 20
    assert Run.open("runs/final").metrics["pseudo_labels"]["folds"][1]["kept"] > 0


def chinese(path, encoding, count, seed):
    rows = [("".join(CHARACTERS[word] for word in text.split()), label) for text, label in reviews(count, seed)]
    names = {"positive": "好评", "negative": "差评"}
    pd.DataFrame([(text, names[label]) for text, label in rows], columns=["评论", "标签"]).drop_duplicates(
        "评论"
    ).to_csv(path, index=False, encoding=encoding)


def test_chinese_reviews(desk):
    save_bert(desk / "bert-base-chinese", CHARACTERS)
    chinese(desk / "reviews.csv", "gbk", 60, 0)
    chinese(desk / "test.csv", "utf-8", 30, 1)
    follow("chinese.md")
    assert Run.open("runs/chinese").classifier.label_names == ("差评", "好评")
