"""What surrounds a pass: the dropout it draws, the copies of weights it may use, and when processes talk."""

import pytest
import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from engine.models import batch, distance, gradients, tiny
from toughen import Pgd
from toughen.engine.engine import Engine
from toughen.engine.step import Step
from toughen.machine.runtime import casts_kept


def test_dropout_is_the_same_in_frozen_blocks_and_new_again_outside():
    with Engine(tiny("bert", dropout=0.3)) as engine, torch.no_grad():
        step = Step(engine._context(), batch())
        with step.frozen():
            first, second = step.forward(), step.forward()
        free, other = step.forward(), step.forward()
        with step.frozen():
            again = step.forward()
    assert torch.equal(first, second)
    assert torch.equal(first, again)
    assert not torch.equal(first, free)
    assert not torch.equal(free, other)


def test_a_pass_without_gradients_leaves_no_cast_weights_behind_that_the_next_would_take():
    """Autocast keeps its bf16 copies for all passes of a step; one made without gradients would cut the next off.

    Torch 2.13 keeps none of such a pass; older versions, which this package takes too, do.
    """

    def found(*, before):
        with Engine(tiny("bert", dtype=torch.float32), precision="bf16") as engine:
            with casts_kept(torch.device("cpu")):
                step = Step(engine._context(), batch())
                if before:
                    with torch.no_grad():
                        step.forward()
                step.task().sum().backward()
            return gradients(engine.model)

    assert distance(found(before=True), found(before=False)) == 0.0


@pytest.fixture
def world_of_one(tmp_path):
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.parametrize(("sync", "reductions"), [(True, 1), (False, 0)])
@pytest.mark.parametrize("share", [1.0, 0.5])
def test_a_micro_batch_in_two_parts_is_reduced_over_processes_once(world_of_one, share, sync, reductions):
    """The gradient would be the same if both parts were, at twice the price: what is sent is counted."""
    sent = []

    def count(_, bucket):
        sent.append(bucket.is_last())
        done = torch.futures.Future()
        done.set_result(bucket.buffer())
        return done

    model = DistributedDataParallel(tiny("bert"))
    model.register_comm_hook(None, count)
    rows = batch(lengths=(12, 9, 12, 7, 5, 11), labels=(0, 1, 1, 0, 1, 0))
    with Engine(model, adversary=Pgd(radius=0.5, steps=2, share=share)) as engine:
        engine.backward(rows, sync=sync)
    assert sum(sent) == reductions
