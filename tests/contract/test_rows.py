"""Rows do not know each other: neither the split into micro-batches nor padding nor batch mates change what one gives.

Every dropout field is 0, dropout masks and random starts are injected, float64. Whatever spans the micro-batch (scope:
vocabulary, weight space, mixup) is exempt from the first and the third of these, and then shows that it really spans.
"""

import pytest
import torch

from contract.bench import Bench, pick, relative_difference, total
from contract.table import AVERAGES, COMBINATIONS, TASKS, Combination
from engine.models import batch, distance, gradients, without_labels
from toughen.engine.weight_average import make_average

EXACT = 1e-9
LENGTHS = (7, 4, 5, 3, 9, 3, 6, 4, 8, 5)
LABELS = (0, 1, 2, 0, 1, 0, 2, 1, 1, 2)
FIRST, SECOND = (
    {task: batch(lengths=LENGTHS, labels=LABELS, seed=seed, task=task) for task in TASKS} for seed in (1, 2)
)
SPLIT = (4, 1, 5)
LABEL_FREE = ("vat", "vat-auto", "smart", "rat", "rat-detached")
ROWS = len(LENGTHS)
every_combination = pytest.mark.parametrize("combination", COMBINATIONS, ids=str)
every_perturbation = pytest.mark.parametrize(
    "combination", [combination for combination in COMBINATIONS if combination.moves_embeddings], ids=str
)


def cut(whole, sizes):
    """Cut a batch into micro-batches, each padded to its own longest row."""
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return [pick(whole, range(start, start + size)) for start, size in zip(starts, sizes, strict=True)]


def both(first, count, second, other):
    """Return the first ``count`` rows of a batch and ``other`` ones of a second of the same width."""
    return {name: torch.cat([first[name][:count], second[name][:other]]) for name in first}


def train(combination, sizes):
    """Train two optimiser steps; return weights and all averages after each, and the losses."""
    bench = Bench(*combination, steps=2)
    averages = [make_average(config, bench.model, total_steps=2) for config in AVERAGES.values() if config]
    optimizer = torch.optim.SGD(bench.model.parameters(), lr=0.1)
    states, losses = [], []
    for batches in (FIRST, SECOND):
        whole = batches[combination.task]
        losses.append(float(bench.accumulate(cut(whole, sizes), examples=total(whole), labelled=total(whole))))
        bench.step(optimizer)
        states.append({name: p.detach().clone() for name, p in bench.model.named_parameters()})
        for average in averages:
            average.update()
        states += [{k: v.clone() for k, v in average.state_dict().items()} for average in averages]
    return states, torch.tensor(losses)


@every_combination
def test_accumulation_equals_one_big_batch(combination):
    """1x10 = 4+1+5: losses, weights and both averages over two steps; a norm over the micro-batch cannot."""
    whole, loss = train(combination, (ROWS,))
    split, split_loss = train(combination, SPLIT)
    apart = max(distance(a, b) for a, b in zip(whole, split, strict=True))
    if combination.spans_rows:
        assert apart > 1e-6, "exempt because it really spans the micro-batch"
    else:
        assert apart < EXACT
        assert (loss - split_loss).abs().max() < EXACT
    raw, ema, swa = whole[3:]
    assert distance(raw, {name: ema[f"average.{name}"] for name in raw}) > 1e-6, "EMA is no copy"
    assert swa["counter.updates"] == 1


@pytest.mark.parametrize("task", TASKS)
def test_accumulation_without_examples_is_another_gradient(task):
    """Canary: reduced by each micro-batch's own rows the sum over three is no mean over all of them."""
    bench = Bench(task=task)
    whole = bench.gradients(FIRST[task])
    wrong = bench.gradients(*cut(FIRST[task], SPLIT))
    assert relative_difference(wrong, whole) > 0.5


@every_combination
def test_padding_changes_nothing(combination, monkeypatch):
    """The same rows padded 6 tokens further give the same gradients, and delta is 0 on padding."""
    bench = Bench(*combination)
    short = pick(FIRST[combination.task], range(6))
    long = pick(FIRST[combination.task], range(6), width=short["input_ids"].shape[1] + 6)
    tight = bench.gradients(short)
    if not combination.moves_embeddings:
        assert distance(bench.gradients(long), tight) < EXACT
        return
    with bench.deltas(monkeypatch) as found:
        assert distance(bench.gradients(long), tight) < EXACT
    outside = ~long["attention_mask"].bool()
    if combination.inputs == "mixup":
        outside = outside & (torch.arange(outside.shape[1]) >= short["input_ids"].shape[1])
    for delta in found:
        assert float(delta[outside].abs().max()) == 0
        assert float(delta.abs().max()) > 0


@every_perturbation
def test_a_row_is_perturbed_alike_whatever_its_batch_mates(combination, monkeypatch):
    """Delta of rows 0 and 1 stays when all other rows are exchanged; with a norm over the micro-batch it does not."""
    bench = Bench(*combination)
    first, second = FIRST[combination.task], SECOND[combination.task]
    other = {name: torch.cat([first[name][:2], second[name][2:]]) for name in first}
    with bench.deltas(monkeypatch) as found:
        bench.gradients(first)
        bench.gradients(other)
    before, after = torch.stack(found).chunk(2)
    apart = float((before[:, :2] - after[:, :2]).abs().max())
    assert float((before[:, 2:] - after[:, 2:]).abs().max()) > 1e-3, "the other rows did change"
    assert apart > 1e-4 if combination.spans_rows else apart < EXACT


@every_combination
def test_rows_of_weight_0_change_nothing(combination):
    """Fillers among the rows leave the gradient, the loss and the training accuracy as they are without them."""
    bench = Bench(*combination)
    first, second = FIRST[combination.task], SECOND[combination.task]
    rows = pick(first, range(6))
    alone, loss = bench.gradients(rows), float(bench.backward(rows))
    bench.engine.tally.reset()
    filled = both(first, 6, second, 3)
    filled["weight"] = torch.tensor([1.0] * 6 + [0.0] * 3)
    assert distance(bench.gradients(filled), alone) < EXACT
    counted = bench.engine.tally.counts()
    if combination.task in ("multi-label", "regression") or combination.inputs == "mixup":
        assert counted is None
    else:
        assert float(counted[1:].sum()) == total(rows)
    assert float(bench.backward(filled)) == pytest.approx(loss, abs=EXACT)
    filled["weight"][:] = 1
    assert distance(bench.gradients(filled), alone) > 1e-4, "canary: with a weight the rows do count"


@pytest.mark.parametrize(
    "combination", [combination for combination in COMBINATIONS if combination.task == "single-label"], ids=str
)
def test_probabilities_stand_for_their_classes(combination):
    """Certain ones give the gradients of class ids; others their own, the same in micro-batches as in one batch."""
    bench = Bench(*combination)
    ids = pick(FIRST["single-label"], range(6))
    certain = ids | {"labels": torch.eye(3, dtype=torch.float64)[ids["labels"]]}
    hard = bench.gradients(ids)
    assert distance(bench.gradients(certain), hard) < EXACT
    unsure = ids | {"labels": 0.7 * certain["labels"] + 0.1}
    soft = bench.gradients(unsure)
    assert distance(soft, hard) > 1e-5, "canary: the probabilities matter"
    if not combination.spans_rows:
        split = bench.gradients(*cut(unsure, (3, 1, 2)), examples=total(ids), labelled=total(ids))
        assert distance(split, soft) < EXACT


WEIGHTS = torch.tensor([0.5, 3.0, 1.25, 0.1], dtype=torch.float64)


@every_combination
def test_a_weight_is_what_a_row_counts_for(combination):
    """Rows i of gradient g_i and u_i labelled words (or 1) give sum_i w_i u_i g_i / sum_i w_i u_i, cut or not."""
    bench = Bench(*combination)
    rows = pick(FIRST[combination.task], range(len(WEIGHTS)))
    weighted = rows | {"weight": WEIGHTS}
    together = bench.gradients(weighted)
    assert distance(together, bench.gradients(rows)) > 1e-4, "canary: the weights matter"
    if combination.spans_rows:
        return
    single = [pick(rows, [i]) for i in range(len(WEIGHTS))]
    sizes = WEIGHTS * torch.stack([bench.engine.likelihood.units(row["labels"]).sum() for row in single])
    alone = [bench.gradients(row) for row in single]
    by_hand = {name: sum(w * g[name] for w, g in zip(sizes, alone, strict=True)) / sizes.sum() for name in together}
    assert distance(together, by_hand) < EXACT
    whole = float(sizes.sum())
    parts = cut(weighted, (1, 3))
    assert distance(bench.gradients(*parts, examples=whole, labelled=whole), by_hand) < EXACT


@every_combination
def test_rows_without_label_enter_only_terms_that_need_none(combination):
    """If no term of the recipe is label-free, rows without label change nothing; else they do. Words never do."""
    bench = Bench(*combination)
    first, second = FIRST[combination.task], SECOND[combination.task]
    rows = pick(first, range(6))
    alone = bench.gradients(rows)
    more = both(first, 6, second, 6)
    more["labels"][6:] = without_labels(more["labels"][6:])
    apart = distance(bench.gradients(more), alone)
    free = combination.objective == "rdrop" or combination.adversary in (
        "vat",
        "vat-auto",
        "smart",
        "rat",
        "rat-detached",
    )
    assert apart > 1e-5 if free and combination.task != "tokens" else apart < EXACT


@pytest.mark.parametrize("task", [task for task in TASKS if task != "tokens"])
@pytest.mark.parametrize("adversary", ["none", "pgd", "vat", "smart"])
def test_the_task_is_a_mean_over_labelled_rows_and_a_divergence_one_over_all(adversary, task):
    """Half the rows labelled: the gradient is that of mean-over-5 task + mean-over-10 divergence, micro-batched or not.

    Derivation: losses are additive over rows, so the recipe's gradient is the one of its labelled rows alone, with the
    divergences at half weight (5 of 10 rows), plus that of its unlabelled rows, reduced by 10.
    """
    bench = Bench("rdrop", adversary, average="ema" if adversary == "smart" else "none", task=task)
    labels = FIRST[task]["labels"].clone()
    labels[1::2] = without_labels(labels[1::2])
    mixed = FIRST[task] | {"labels": labels}
    whole = bench.gradients(mixed)
    parts = cut(mixed, SPLIT)
    assert distance(bench.gradients(*parts, examples=10.0, labelled=5.0), whole) < EXACT
    labelled, unlabelled = pick(mixed, range(0, 10, 2)), pick(mixed, range(1, 10, 2))
    apart = bench.gradients(labelled, unlabelled, examples=10.0, labelled=5.0)
    assert distance(apart, whole) < EXACT
    if (adversary, task) == ("none", "single-label"):
        assert distance(whole, _by_hand(bench, labelled, unlabelled)) < EXACT
    assert distance(bench.gradients(FIRST[task]), whole) > 1e-4, "canary: the labels do matter"


def _by_hand(bench, labelled, unlabelled):
    """Gradients of 1/5 sum task + 1/10 sum divergence, in plain autograd."""
    objective = bench.engine.objective
    bench.model.zero_grad()
    for rows in (labelled, unlabelled):
        bench.injected.about(rows)
        doubled = {name: torch.cat([rows[name]] * 2) for name in ("input_ids", "attention_mask")}
        first, second = bench.model(**doubled).logits.chunk(2)
        p, q = first.softmax(-1), second.softmax(-1)
        divergence = (p * (p / q).log()).sum() + (q * (q / p).log()).sum()
        (objective.alpha / 2 * divergence / 10).backward(retain_graph=True)
        if rows is labelled:
            task = objective.task(first, rows["labels"]) + objective.task(second, rows["labels"])
            (task.sum() / 2 / 5).backward()
    return gradients(bench.model)


@every_combination
def test_examples_alone_accumulate_labelled_rows_rightly(combination):
    """A plain loop that gives ``examples`` and no ``labelled`` gets the same gradient where every row has a label."""
    bench = Bench(*combination)
    whole = pick(FIRST[combination.task], range(8))
    parts, count = cut(whole, (5, 3)), total(whole)
    counted = bench.gradients(*parts, examples=count, labelled=count)
    assert distance(bench.gradients(*parts, examples=count), counted) < EXACT


@pytest.mark.parametrize("adversary", ["none", "fgm", "vat", "gradient-penalty", "sam"])
def test_a_batch_in_which_nothing_counts_leaves_a_gradient_of_0(adversary):
    """Texts without a labelled word, or fillers alone: 0, and not the 0/0 that would poison the weights."""
    bench = Bench(adversary=adversary, task="tokens")
    words = FIRST["tokens"] | {"labels": without_labels(FIRST["tokens"]["labels"])}
    fillers = FIRST["tokens"] | {"weight": torch.zeros(ROWS)}
    for rows in (words, fillers):
        for given in ({}, {"examples": torch.zeros(()), "labelled": torch.zeros(())}):
            found = bench.gradients(rows, **given)
            assert all(torch.equal(g, torch.zeros_like(g)) for g in found.values())
    assert max(float(g.abs().max()) for g in bench.gradients(FIRST["tokens"]).values()) > 1e-3, "canary"


@pytest.mark.parametrize("combination", [Combination(), Combination(inputs="mixup"), Combination(adversary="sam")])
def test_fractional_weights_are_a_weighted_mean(combination):
    """Two windows of half a text each count as one: weights of .5 are those of 1 with half the count."""
    bench = Bench(*combination)
    rows = pick(FIRST["single-label"], range(2))
    whole = bench.gradients(rows)
    half = bench.gradients(rows | {"weight": torch.tensor([0.25, 0.25])})
    assert distance(half, whole) < EXACT
    assert distance(bench.gradients(rows | {"weight": torch.tensor([0.25, 0.5])}), whole) > 1e-4
