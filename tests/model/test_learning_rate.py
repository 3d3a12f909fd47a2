"""The rate that a run takes by itself falls with the encoder's width, and never leaves what has been seen to work."""

import pytest
from transformers import BertConfig, GPT2Config, T5Config

from toughen.model.learning_rate import HIGHEST, LOWEST, learning_rate

WIDTHS = {256: 2.3e-4, 384: 1e-4, 512: 5.6e-5, 768: 2.5e-5, 1024: 1.4e-5}


@pytest.mark.parametrize(("width", "rate"), WIDTHS.items())
def test_the_documented_numbers(width, rate):
    assert learning_rate(BertConfig(hidden_size=width, num_attention_heads=8), adapter=False) == pytest.approx(rate)


def test_it_is_bounded_and_adapters_learn_ten_times_faster():
    small, large = (BertConfig(hidden_size=width, num_attention_heads=2) for width in (32, 4096))
    assert (learning_rate(small, adapter=False), learning_rate(large, adapter=False)) == (HIGHEST, LOWEST)
    assert learning_rate(large, adapter=True) == pytest.approx(10 * LOWEST)


def test_families_call_the_width_by_other_names():
    assert learning_rate(GPT2Config(n_embd=768), adapter=False) == 2.5e-5
    assert learning_rate(T5Config(d_model=512), adapter=False) == pytest.approx(5.6e-5)
