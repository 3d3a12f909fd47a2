"""Rows with an order of their own are refused where several processes would deal them otherwise."""

from types import SimpleNamespace

import pytest

from engine.models import tiny
from huggingface.trials import arguments, make_rows
from toughen.errors import InputError
from toughen.huggingface.loaders import check_fillers, sharded_batches
from toughen.huggingface.trainer import ToughTrainer


def built(folder, cls=ToughTrainer, rows=None, **changes):
    made = cls(tiny("bert"), arguments(folder, **changes), train_dataset=rows or make_rows(8))
    made.accelerator = SimpleNamespace(num_processes=2, process_index=0)
    return made


def test_the_trainers_random_order_is_dealt(tmp_path):
    """Canary: nothing is refused that is dealt, and each process gets its half."""
    assert sum(map(len, sharded_batches(built(tmp_path)))) == 4


class Ordered(ToughTrainer):
    """Brings an order of its own."""

    def _get_train_sampler(self, *_):
        return range(8)


class Stream:
    """Rows that have no number."""

    def __iter__(self):
        return iter(make_rows(8))


def test_an_order_that_would_not_be_kept_is_refused(tmp_path):
    with pytest.raises(InputError, match="_get_train_sampler"):
        sharded_batches(built(tmp_path, Ordered))
    with pytest.raises(InputError, match="train_sampling_strategy='group_by_length'"):
        sharded_batches(built(tmp_path, train_sampling_strategy="group_by_length"))
    made = built(tmp_path)
    made.train_dataset = Stream()
    with pytest.raises(InputError, match="a Stream has none"):
        sharded_batches(made)


def test_a_collator_that_loses_the_weight_of_fillers_is_refused():
    with pytest.raises(InputError, match="drops the column weight"):
        check_fillers({"input_ids": 0}, [[0]])
    check_fillers({"input_ids": 0}, None)
    check_fillers({"weight": 0}, [[0]])
