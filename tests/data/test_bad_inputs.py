"""Wrong data is refused in one sentence that names the place."""

from __future__ import annotations

import datasets
import huggingface_hub
import pytest

from data.bad_inputs import BAD_INPUTS, BadInput
from toughen.data import Data, load_splits
from toughen.errors import InputError


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))


def set_hub(monkeypatch, env):
    """Do in this process what the environment variables do in a new one."""
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", "HF_HUB_OFFLINE" in env)
    if "HF_ENDPOINT" in env:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", env["HF_ENDPOINT"])


@pytest.mark.parametrize("case", BAD_INPUTS.values(), ids=BAD_INPUTS.keys())
def test_one_sentence_names_what_and_where(case: BadInput, tmp_path, monkeypatch, capfd):
    set_hub(monkeypatch, case.env)
    source, fields = case.write(tmp_path)
    with pytest.raises(InputError) as caught:
        load_splits(Data(source=source, **fields), seed=0)
    sentence = str(caught.value)
    assert [fragment for fragment in case.says if fragment not in sentence] == [], sentence
    assert "\n" not in sentence
    assert sentence.endswith(".")
    assert "".join(capfd.readouterr()) == "", "the sentence is all there is to read"
