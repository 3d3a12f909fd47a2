"""Rows do not know each other: neither the split into micro-batches nor padding nor batch mates change what one gives.

Every dropout field is 0, dropout masks and random starts are injected, float64; 48 pairs x 3 averages.
"""

import pytest
import torch

from contract.bench import Bench, pick, relative_difference
from contract.table import AVERAGES, OBJECTIVES, PAIRS, PERTURBED, names, spans_rows
from toughen.training.averaging import make_average
from training.models import batch, distance, gradients

EXACT = 1e-9
LENGTHS = (7, 4, 5, 2, 9, 3, 6, 4, 8, 5, 7, 3, 4, 6, 5, 9)
LABELS = (0, 1, 1, 0, 1, 0, 0, 1, 1, 1, 0, 0, 1, 0, 1, 0)
FIRST, SECOND = (batch(lengths=LENGTHS, labels=LABELS, seed=seed) for seed in (1, 2))
SPLITS = {"4x4": (4, 4, 4, 4), "7+5+4": (7, 5, 4)}
every_pair = pytest.mark.parametrize(("objective", "adversary"), PAIRS, ids=names(PAIRS))
every_adversary = pytest.mark.parametrize(("objective", "adversary"), PERTURBED, ids=names(PERTURBED))


def cut(whole, sizes):
    """Cut a batch into micro-batches, each padded to its own longest row."""
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return [pick(whole, range(start, start + size)) for start, size in zip(starts, sizes, strict=True)]


def train(objective, adversary, sizes):
    """Train two optimiser steps; return weights and averages after each, and the losses."""
    bench = Bench(objective, adversary)
    averages = {name: make_average(config, bench.model, total_steps=2) for name, config in AVERAGES.items() if config}
    optimizer = torch.optim.SGD(bench.model.parameters(), lr=0.1)
    states, losses = [], []
    for whole in (FIRST, SECOND):
        losses.append(float(bench.accumulate(cut(whole, sizes), examples=16.0, labelled=16.0)))
        bench.engine.step(optimizer)
        states.append({name: p.detach().clone() for name, p in bench.model.named_parameters()})
        for average in averages.values():
            average.update()
        states += [{k: v.clone() for k, v in average.state_dict().items()} for average in averages.values()]
    return states, torch.tensor(losses)


@every_pair
def test_accumulation_equals_one_big_batch(objective, adversary):
    """1x16 = 4x4 = 7+5+4: losses, weights and both averages over two steps; a norm over the micro-batch cannot."""
    whole, loss = train(objective, adversary, (16,))
    for sizes in SPLITS.values():
        split, split_loss = train(objective, adversary, sizes)
        apart = max(distance(a, b) for a, b in zip(whole, split, strict=True))
        if spans_rows(adversary):
            assert apart > 1e-6, "scope: vocabulary is exempt because it really spans the micro-batch"
        else:
            assert apart < EXACT
            assert (loss - split_loss).abs().max() < EXACT
    raw, ema, swa = whole[3:]
    assert distance(raw, {name: ema[f"average.{name}"] for name in raw}) > 1e-6, "EMA is no copy"
    assert swa["counter.updates"] == 1


def test_accumulation_without_examples_is_another_gradient():
    """Canary: reduced by each micro-batch's own rows the sum over 4x4 is 4 times the mean over 16."""
    bench = Bench("cross-entropy", "none")
    whole = bench.gradients(FIRST)
    wrong = bench.gradients(*cut(FIRST, (4, 4, 4, 4)))
    assert relative_difference(wrong, whole) == pytest.approx(3, abs=1e-6)


@every_pair
def test_padding_changes_nothing(objective, adversary, monkeypatch):
    """The same rows padded 6 tokens further give the same gradients, and delta is 0 on padding."""
    bench = Bench(objective, adversary)
    short = pick(FIRST, range(6))
    long = pick(FIRST, range(6), width=short["input_ids"].shape[1] + 6)
    tight = bench.gradients(short)
    if adversary == "none":
        assert distance(bench.gradients(long), tight) < EXACT
        return
    with bench.deltas(monkeypatch) as found:
        assert distance(bench.gradients(long), tight) < EXACT
    for delta in found:
        assert float(delta[~long["attention_mask"].bool()].abs().max()) == 0
        assert float(delta.abs().max()) > 0


@every_adversary
def test_a_row_is_perturbed_alike_whatever_its_batch_mates(objective, adversary, monkeypatch):
    """Delta of rows 0 and 1 stays when all other rows are exchanged; with a norm over the micro-batch it does not."""
    bench = Bench(objective, adversary)
    other = {name: torch.cat([FIRST[name][:2], SECOND[name][2:]]) for name in FIRST}
    with bench.deltas(monkeypatch) as found:
        bench.gradients(FIRST)
        bench.gradients(other)
    before, after = torch.stack(found).chunk(2)
    apart = float((before[:, :2] - after[:, :2]).abs().max())
    assert float((before[:, 2:] - after[:, 2:]).abs().max()) > 1e-3, "the other rows did change"
    assert apart > 1e-4 if spans_rows(adversary) else apart < EXACT


@every_pair
def test_rows_of_weight_0_change_nothing(objective, adversary):
    """Fillers among the rows leave the gradient, the loss and the training accuracy as they are without them."""
    bench = Bench(objective, adversary)
    rows = pick(FIRST, range(6))
    alone, loss = bench.gradients(rows), float(bench.backward(rows))
    bench.engine.tally.reset()
    filled = {name: torch.cat([FIRST[name][:6], SECOND[name][:3]]) for name in FIRST}
    filled["weight"] = torch.tensor([1.0] * 6 + [0.0] * 3)
    assert distance(bench.gradients(filled), alone) < EXACT
    assert float(bench.engine.tally.counts()[1:].sum()) == 6
    assert float(bench.backward(filled)) == pytest.approx(loss, abs=EXACT)
    filled["weight"][:] = 1
    assert distance(bench.gradients(filled), alone) > 1e-4, "canary: with a weight the rows do count"


@every_pair
def test_rows_without_label_enter_only_terms_that_need_none(objective, adversary):
    """If no term of the recipe is label-free, rows with label -100 change nothing; else they do."""
    bench = Bench(objective, adversary)
    rows = pick(FIRST, range(6))
    alone = bench.gradients(rows)
    more = {name: torch.cat([FIRST[name][:6], SECOND[name][:6]]) for name in FIRST}
    more["labels"] = torch.cat([rows["labels"], torch.full((6,), -100)])
    apart = distance(bench.gradients(more), alone)
    assert bench.engine.takes_unlabelled == (objective == "rdrop" or adversary.startswith("vat"))
    assert apart > 1e-4 if bench.engine.takes_unlabelled else apart < EXACT


@pytest.mark.parametrize("adversary", ["none", "pgd", "vat"])
def test_the_task_is_a_mean_over_labelled_rows_and_a_divergence_one_over_all(adversary):
    """Half the rows labelled: the gradient is that of mean-over-8 task + mean-over-16 divergence, micro-batched or not.

    Derivation: losses are additive over rows, so the recipe's gradient is the one of its labelled rows alone, with the
    divergences at half weight (8 of 16 rows), plus that of its unlabelled rows, reduced by 16.
    """
    bench = Bench("rdrop", adversary)
    mixed = FIRST | {"labels": torch.where(torch.arange(16) % 2 == 0, FIRST["labels"], -100)}
    whole = bench.gradients(mixed)
    parts = cut(mixed, (7, 5, 4))
    assert distance(bench.gradients(*parts, examples=16.0, labelled=8.0), whole) < EXACT
    labelled, unlabelled = pick(mixed, range(0, 16, 2)), pick(mixed, range(1, 16, 2))
    apart = bench.gradients(labelled, unlabelled, examples=16.0, labelled=8.0)
    assert distance(apart, whole) < EXACT
    if adversary == "none":
        assert distance(whole, _by_hand(bench, labelled, unlabelled)) < EXACT
    assert distance(bench.gradients(FIRST), whole) > 1e-4, "canary: the labels do matter"


def _by_hand(bench, labelled, unlabelled):
    """Gradients of 1/8 sum task + 1/16 sum divergence, in plain autograd."""
    objective = bench.engine.objective
    bench.model.zero_grad()
    for rows in (labelled, unlabelled):
        bench.injected.about(rows)
        doubled = {name: torch.cat([rows[name]] * 2) for name in ("input_ids", "attention_mask")}
        first, second = bench.model(**doubled).logits.chunk(2)
        p, q = first.softmax(-1), second.softmax(-1)
        divergence = (p * (p / q).log()).sum() + (q * (q / p).log()).sum()
        (objective.alpha / 2 * divergence / 16).backward(retain_graph=True)
        if rows is labelled:
            task = objective.task(first, rows["labels"]) + objective.task(second, rows["labels"])
            (task.sum() / 2 / 8).backward()
    return gradients(bench.model)


def test_every_objective_has_its_pairs():
    """The table is whole: 144 combinations."""
    assert len(PAIRS) * len(AVERAGES) == 144
    assert len(OBJECTIVES) == 3


@every_pair
def test_examples_alone_accumulate_labelled_rows_rightly(objective, adversary):
    """A plain loop that gives ``examples`` and no ``labelled`` gets the same gradient where every row has a label."""
    bench = Bench(objective, adversary)
    parts = cut(pick(FIRST, range(8)), (5, 3))
    counted = bench.gradients(*parts, examples=8.0, labelled=8.0)
    assert distance(bench.gradients(*parts, examples=8.0), counted) < EXACT
