"""Two processes agree with each other to 0.0 and with one process: one spawned pair runs all combinations."""

import multiprocessing
import os

import pytest
import torch

from contract.table import COMBINATIONS, Combination
from distributed import pair
from engine.models import distance

TIMEOUT = 420


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Run the pair, check that both processes ended well, return what rank 0 wrote."""
    folder = tmp_path_factory.mktemp("pair")
    context = multiprocessing.get_context("spawn")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLOO_SOCKET_IFNAME", "lo")
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("MASTER_ADDR", "127.0.0.1")
        processes = [context.Process(target=pair.work, args=(rank, str(folder))) for rank in range(2)]
        for process in processes:
            process.start()
    try:
        for process in processes:
            process.join(TIMEOUT)
        assert [process.exitcode for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
    return torch.load(folder / "results.pt")


@pytest.mark.parametrize("combination", COMBINATIONS, ids=str)
def test_ranks_agree_and_equal_one_process(results, combination):
    """After three accumulated steps: weights and averages equal on both ranks, and those of one process to 1e-9.

    What spans the micro-batch equals one process that accumulates the same four micro-batches.
    """
    found = results["states"][str(combination)]
    assert results["apart"][str(combination)] == 0.0
    assert distance(found, pair.run_engine(combination, split=combination.spans_rows)) < 1e-9


@pytest.mark.parametrize("adversary", ["sam", "awp", "pgd-vocabulary"])
def test_what_spans_the_micro_batch_differs_from_one_big_batch(results, adversary):
    """Canary: the exemption is needed."""
    combination = next(c for c in COMBINATIONS if c.adversary == adversary)
    assert distance(results["states"][str(combination)], pair.run_engine(combination)) > 1e-6


def test_ranks_agree_where_the_adversary_acts_on_a_share_of_the_rows(results):
    """Each rank chooses rows of its own, and makes passes again in the backward; the gradient is still shared."""
    assert results["apart"]["share"] == 0.0


def test_ranks_leave_out_the_same_rows(results):
    """A row of one rank and a whole micro-batch of the other: the gradient is that of the rows that stay."""
    assert results["apart"]["broken rows"] == 0.0
    assert distance(results["states"]["broken rows"], pair.run_broken()) < 1e-9


def test_ranks_that_do_not_communicate_drift_apart(results):
    """Canary: with ``sync`` false throughout, the comparison between ranks does see the difference."""
    assert results["apart"]["silent"] > 1e-6


@pytest.mark.parametrize("window", pair.ACCUMULATION)
@pytest.mark.parametrize("trial", pair.TRIALS)
def test_trainer_on_two_processes_equals_one(results, tmp_path, trial, window):
    """13 rows on two ranks (fillers of weight 0, uneven windows): weights and validation loss as on one process."""
    name = f"{trial}, {window}"
    assert results["apart"][name] == 0.0
    alone = pair.run_trainer(tmp_path, pair.TRIALS[trial], pair.ACCUMULATION[window])
    assert distance(results["states"][name], alone) < 1e-6


@pytest.mark.filterwarnings("ignore:training accuracy .* sat at the majority rate")
@pytest.mark.parametrize("task", pair.TASK_TRIALS)
def test_every_task_on_two_processes_equals_one(results, tmp_path, task):
    """Means over rows, or over the words of both processes, whose numbers differ."""
    assert results["apart"][task] == 0.0
    rows = pair.make_rows(13, task=task)
    alone = pair.run_trainer(tmp_path, pair.TASK_TRIALS[task], 2, rows=rows, task=task)
    assert distance(results["states"][task], alone) < 1e-6


def test_labels_on_one_process_only(results, tmp_path):
    """6 of 16 rows have a label and all of them are on rank 0: still the task is their mean, in engine and Trainer."""
    assert results["apart"]["few labels"] == 0.0
    alone = pair.run_engine(Combination("rdrop", "vat"), labelled=6)
    assert distance(results["states"]["few labels"], alone) < 1e-9
    alone = pair.run_trainer(tmp_path, pair.TRIALS["vat+swa"], 2, rows=pair.FEW_LABELS)
    assert distance(results["states"]["few labels, trainer"], alone) < 1e-6
    assert distance(results["states"]["vat+swa, equal windows"], alone) > 1e-3, "canary: labels do matter"


def test_two_processes_resume_as_if_uninterrupted(results):
    """Killed in the second epoch, dropout on: weights and average bitwise, the logged terms to 1e-6."""
    whole, continued = results["states"]["whole"], results["states"]["continued"]
    assert results["apart"]["continued"] == results["apart"]["whole"] == 0.0
    assert whole.keys() == continued.keys()
    logged = {name for name in whole if name[0].isdigit()}
    assert {"2 loss", "4 loss", "4 loss/rdrop"} <= logged
    for name in whole:
        assert distance({name: whole[name]}, {name: continued[name]}) <= (1e-6 if name in logged else 0), name


@pytest.mark.parametrize("what", ["mask", "start"])
def test_each_process_draws_its_own(results, tmp_path, what):
    """Dropout masks and random starts of the first step; the first process draws what one alone would."""
    assert results["apart"][what] > 0.5
    alone = pair.run_drawing(tmp_path, world=1)
    assert distance(results["states"][what], alone[what]) == 0.0


def test_processes_that_draw_their_own_hold_the_same_weights(results):
    assert results["apart"]["drawing"] == 0.0


def test_nothing_is_left_of_the_environment():
    """The pair's variables stay with the pair."""
    assert "RANK" not in os.environ
