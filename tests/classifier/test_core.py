"""The core under every classifier, with a forward pass that can be followed by hand, and without PyTorch."""

import subprocess
import sys

import numpy as np
import pytest

from toughen.classifier.core import Answering, Encoded
from toughen.errors import InputError


class Lengths(Answering):
    """Texts of word numbers; a row of them says [its sum, its length], of tokens the same at every word."""

    label_names, task, thresholds, pairs, temperature = ("sum", "length"), "multi-label", None, None, None
    window, left = 3, False

    def encoded(self, texts):
        rows = [
            (i, text[start : start + self.window])
            for i, text in enumerate(texts["text"])
            for start in range(0, max(len(text), 1), self.window)
        ]
        words = [list(range(len(row))) for _, row in rows] if self.task == "tokens" else None

        def chosen(numbers):
            return [{"input_ids": rows[i][1]} for i in numbers]

        owner, length = np.array([i for i, _ in rows]), np.array([len(row) for _, row in rows])
        return Encoded(owner, length, words, chosen, self.pad)

    def pad(self, rows):
        width = max(len(row["input_ids"]) for row in rows)
        batch = {name: np.zeros((len(rows), width), int) for name in ("input_ids", "attention_mask")}
        for k, ids in enumerate(row["input_ids"] for row in rows):
            place = slice(width - len(ids), None) if self.left else slice(len(ids))
            batch["input_ids"][k, place], batch["attention_mask"][k, place] = ids, 1
        return batch

    def forward(self, batch):
        ids = batch["input_ids"].astype(float)
        if self.task == "tokens":
            return np.stack([ids, batch["attention_mask"]], axis=-1)
        return np.stack([ids.sum(1), batch["attention_mask"].sum(1)], axis=1)


def test_windows_are_averaged_per_text_in_the_order_of_the_texts():
    finished = []
    texts = {"text": [[1], [1, 2, 3, 4, 5], [7, 8]]}
    found = Lengths().answered(texts, 2, finished.append)
    assert found.tolist() == [[1, 1], [(6 + 9) / 2, 2.5], [15, 2]]
    assert finished == [1, 2], "the long text's windows are in the first pass, as is no other text's last row"
    assert Lengths().answered({"text": []}, 2).shape == (0, 2)


def test_the_longest_rows_run_first_in_batches():
    seen = []

    class Watched(Lengths):
        def forward(self, batch):
            seen.append(batch["attention_mask"].sum(1).tolist())
            return super().forward(batch)

    Watched().answered({"text": [[1], [1, 2, 3], [1, 2]]}, 2)
    assert seen == [[3, 2], [1]]


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize(("names", "unread"), [(("B-A", "O"), [0, 1]), (("A", "B"), [0.5, 0.5])])
def test_tags_stand_at_their_words_whichever_side_is_padded(names, unread, left):
    """Words beyond the one row that was read get the tag "O", or all tags alike."""

    class Tagger(Lengths):
        label_names, task = names, "tokens"

        def encoded(self, texts):
            return super().encoded({"text": [words[: self.window] for words in texts["text"]]})

    tagger = Tagger()
    tagger.left = left
    long, short = tagger.answered({"text": [[5, 6, 7, 8], [9]]}, 2)
    assert long.tolist() == [[5, 1], [6, 1], [7, 1], unread]
    assert short.tolist() == [[9, 1]]


def test_pairs_are_refused_where_single_texts_are_wanted_and_the_other_way_round():
    model = Lengths()
    for pairs, given, message in ((True, False, "no second text"), (False, True, "the texts given are pairs")):
        model.pairs = pairs
        model.check_pairs(pairs)
        with pytest.raises(InputError, match=message):
            model.check_pairs(given)
    model.pairs = None
    model.check_pairs(True)


def test_the_core_needs_neither_torch_nor_transformers():
    code = "import sys; sys.modules.update(torch=None, transformers=None); import toughen.classifier.core"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
