"""What the docs say of the tokenizers compared is what was counted."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def rows():
    return json.loads((ROOT / "benchmarks/results/tokenizers.json").read_text())


def test_nothing_differs_and_what_is_refused_is_named(rows):
    for row in rows:
        assert row["strings"] == 100_000
        if "refused" in row:
            assert "cannot be exported" in row["refused"]
        else:
            assert set(row["differ"]) == {"ids", "offsets", "tokens", "text", "pairs"}
            assert not any(row["differ"].values()), row["tokenizer"]


@pytest.mark.parametrize(
    ("page", "sentence"),
    [
        ("docs/deploy.md", "{real} published tokenizers and {own} trained"),
        ("docs/zh/deploy.md", "{real} 个公开的分词器和 {own} 个"),
    ],
)
def test_the_page_counts_them(rows, page, sentence):
    compared = [row for row in rows if "refused" not in row and not row["tokenizer"].endswith(", sanitized")]
    own = sum(row["source"] == "trained here" for row in compared)
    text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
    assert sentence.format(real=len(compared) - own, own=own) in text
