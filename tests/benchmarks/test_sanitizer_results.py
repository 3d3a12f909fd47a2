"""What the page says of the sanitizer is what was counted."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("page", ["docs/data.md", "docs/zh/data.md"])
def test_the_page_says_what_was_measured(page):
    found = json.loads((ROOT / "benchmarks/results/sanitizer.json").read_text())
    text = (ROOT / page).read_text(encoding="utf-8")
    part = text[text.index("benchmarks/sanitizer.py") :]
    for row in found["clean"]:
        assert f"{row['texts']:,}" in part
        assert all(f"{count:,}" in part for count in row["ids_changed"].values())
    for row in found["attacks"]:
        assert f"{row['accuracy_after']:.3f}"[1:] in part
