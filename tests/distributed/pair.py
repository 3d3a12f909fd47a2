"""Two gloo processes that run every combination, through the engine and ToughTrainer, and write what came out."""

import gc
import os
from dataclasses import replace
from pathlib import Path

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from contract.bench import Bench, Injected, pick, total
from contract.table import ADVERSARIES, AVERAGES, COMBINATIONS, INPUTS, OBJECTIVES, TASKS, Combination
from engine.models import VOCABULARY, batch, tiny
from huggingface.trials import make_rows, trainer, weights
from toughen import Fgm
from toughen.data.batches import LengthBuckets
from toughen.engine.engine import Engine
from toughen.engine.randomness import torch_noise
from toughen.engine.weight_average import make_average
from toughen.huggingface.trainer import ToughTrainer
from toughen.recipe.recipe import Recipe
from toughen.recipe.training import Training

LENGTHS = (7, 4, 5, 3, 9, 3, 6, 4, 8, 5, 7, 3, 4, 6, 5, 9)
LABELS = (0, 1, 1, 0, 1, 0, 0, 1, 1, 1, 0, 0, 1, 0, 1, 0)
BATCHES = {task: [batch(lengths=LENGTHS, labels=LABELS, seed=seed, task=task) for seed in (1, 2, 3)] for task in TASKS}
SHARES = [
    [[range(0, 4), range(4, 8)], [range(8, 12), range(12, 16)]],
    [[range(0, 5), range(5, 8)], [range(8, 10), range(10, 16)]],
    [[range(0, 4), range(4, 8)], [range(8, 12), range(12, 16)]],
]
"""Per optimiser step and rank, the rows of each micro-batch; the second step's are uneven."""

ROWS = make_rows(13)
FEW_LABELS = [row | {"labels": -100} if i % 3 else row for i, row in enumerate(ROWS)]
TRIALS = {
    "plain": {},
    "rdrop+pgd+ema": {
        "objective": OBJECTIVES["rdrop"],
        "adversary": ADVERSARIES["pgd"],
        "average": AVERAGES["ema"],
    },
    "low memory": {
        "objective": OBJECTIVES["rdrop"],
        "adversary": ADVERSARIES["pgd"],
        "training": Training(memory="low"),
    },
    "vat+swa": {"adversary": ADVERSARIES["vat"], "average": AVERAGES["swa"]},
    "freelb": {"adversary": ADVERSARIES["freelb-auto"]},
    "smart+neftune+ema": {
        "adversary": ADVERSARIES["smart"],
        "inputs": INPUTS["neftune"],
        "average": AVERAGES["ema"],
    },
}
TASK_TRIALS = {task: {"adversary": ADVERSARIES["fgm"]} for task in TASKS if task != "single-label"}
TASK_TRIALS["regression"] = {"adversary": Fgm(radius="auto")}  # whose ranks exchange each row's losses
ADVERSARY = ("scale", "flipped", "accuracy")
ACCUMULATION = {"equal windows": 2, "a window of one row": 3}


def run_engine(combination, rank=None, *, sync=True, labelled=16, split=False):
    """Train three optimiser steps; ``rank`` None is the single process. Return weights and averages.

    Of the 16 rows of each step the first ``labelled`` have a label: with 6 of them rank 1 sees none. ``split``: the
    single process accumulates the ranks' micro-batches one after the other.
    """
    bench = Bench(*combination, wrap=None if rank is None else DistributedDataParallel, steps=3)
    averages = [make_average(c, bench.model, total_steps=3) for c in AVERAGES.values() if c]
    optimizer = torch.optim.SGD(bench.model.parameters(), lr=0.1)
    for whole, shares in zip(BATCHES[combination.task], SHARES, strict=True):
        if labelled < 16:
            whole = whole | {"labels": torch.where(torch.arange(16) < labelled, whole["labels"], -100)}
        count = total(whole)  # rows or words
        if rank is None and split:
            parts = [pick(whole, share) for rows in shares for share in rows]
            bench.accumulate(parts, examples=count, labelled=count)
        elif rank is None:
            bench.backward(whole)
        else:
            parts = [pick(whole, share) for share in shares[rank]]
            # means over the 2 processes
            counts = {"examples": count / 2, "labelled": (count if labelled == 16 else labelled) / 2}
            bench.backward(parts[0], sync=False, **counts)
            bench.backward(parts[1], sync=sync, **counts)
        bench.step(optimizer)
        for average in averages:
            average.update()
    states = [weights(bench.model), *(average.state_dict() for average in averages)]
    return {f"{i} {name}": tensor for i, state in enumerate(states) for name, tensor in state.items()}


def run_broken(rank=None):
    """Return the gradient of a step in which a row of rank 0, and all of rank 1's last micro-batch, are no numbers."""
    model = tiny("bert")
    model.get_input_embeddings().register_forward_hook(
        lambda _, args, hidden: hidden.masked_fill((args[0] == VOCABULARY - 1).unsqueeze(-1), torch.nan)
    )
    whole, broken = dict(BATCHES["single-label"][0]), [1, *SHARES[0][1][1]]
    whole["input_ids"] = whole["input_ids"].clone()
    whole["input_ids"][broken, 1] = VOCABULARY - 1
    with Engine(model if rank is None else DistributedDataParallel(model), adversary=Fgm(radius=0.3)) as engine:
        if rank is None:
            engine.backward(pick(whole, [row for row in range(16) if row not in broken]))
        else:
            for share, last in zip(SHARES[0][rank], (False, True), strict=True):
                engine.backward(pick(whole, share), examples=8, labelled=8, sync=last)
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def run_share(rank):
    """Take two steps in which the adversary acts on half of each rank's own rows; return the weights."""
    torch.manual_seed(rank)
    model = tiny("bert")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    adversary = replace(ADVERSARIES["pgd"], share=0.5)
    with Engine(DistributedDataParallel(model), OBJECTIVES["rdrop"], adversary, memory="low") as engine:
        for whole in BATCHES["single-label"][:2]:
            for number, rows in enumerate(SHARES[0][rank]):
                engine.backward(pick(whole, rows), examples=8, sync=number == 1)
            engine.step(optimizer)
    return weights(model)


class Injecting(ToughTrainer):
    """ToughTrainer whose random starts are a function of each row's content."""

    def training_step(self, model, inputs, num_items_in_batch=None):
        self.injected.about(inputs)
        return super().training_step(model, inputs, num_items_in_batch)


def run_trainer(folder, recipe, accumulation, world=1, rows=ROWS, task="single-label"):
    """Train 13 rows for two epochs in batches of 4 over all processes; return weights, validation loss and log."""
    model = tiny("bert", task=task)
    injected = Injected(model)
    own = LengthBuckets([0] * len(rows), 4, seed=7, bucket=False) if world == 1 else None
    made = trainer(
        folder,
        cls=Injecting,
        model=model,
        rows=rows,
        keep={"recipe": Recipe(**recipe), "batches": own},
        per_device_train_batch_size=4 // world,
        per_device_eval_batch_size=6 // world,
        gradient_accumulation_steps=accumulation,
        ddp_backend="gloo" if world > 1 else None,
    )
    made.injected = made.engine._noise = injected
    made.train()
    found = weights(made.model) | log_of(made)
    if task == "single-label":  # for words Trainer's own is a mean over batches
        found["validation loss"] = torch.tensor(made.evaluate()["eval_loss"])
    made.engine.close()
    return found


def log_of(made):
    """Return the numbers that were logged, by step."""
    terms = ("loss/task", "loss/rdrop", "loss/adversarial", "loss/bregman")
    wanted = ("loss", "grad_norm", "perturbation_norm", *(f"adversary/{n}" for n in ADVERSARY), *terms)
    lines = made.state.log_history
    return {f"{line['step']} {name}": torch.tensor(line[name]) for line in lines for name in wanted if name in line}


def run_resumed(folder):
    """Train 4 steps with dropout, log every 2; once whole, once continued at step 3 by a new trainer."""
    ends = []
    for name, seed in (("whole", 0), ("continued", 5)):
        made = trainer(
            folder / name,
            TRIALS["rdrop+pgd+ema"],
            model=tiny("bert", dtype=torch.float32, dropout=0.1, seed=seed),
            rows=ROWS,
            per_device_train_batch_size=2,
            gradient_accumulation_steps=2,
            logging_steps=2,
            save_strategy="steps",
            save_steps=1,
            ddp_backend="gloo",
        )
        made.train(str(folder / "whole" / "checkpoint-3") if ends else None)
        ends.append(weights(made.model) | log_of(made))
        made.engine.close()
    return ends


class Watched(ToughTrainer):
    """ToughTrainer that keeps what dropout will draw first, and what a random start is at first."""

    def training_step(self, model, inputs, num_items_in_batch=None):
        if self.state.global_step == 0:
            before = torch.get_rng_state()
            mask, start = torch.nn.functional.dropout(torch.ones(64)), torch_noise("normal", torch.ones(64))
            self.drawn = {"mask": mask, "start": start}
            torch.set_rng_state(before)
        return super().training_step(model, inputs, num_items_in_batch)


def run_drawing(folder, world=2):
    """Train with dropout, random starts and a pooled head; return the weights before and after, and the first draws."""
    torch.manual_seed(5)
    model = tiny("bert", dtype=torch.float32, dropout=0.1)
    recipe = Recipe(adversary=ADVERSARIES["pgd-random"], objective=OBJECTIVES["rdrop"], inputs=INPUTS["neftune"])
    made = trainer(
        folder, cls=Watched, model=model, rows=ROWS, keep={"recipe": recipe}, ddp_backend="gloo" if world > 1 else None
    )
    made.train()
    made.engine.close()
    return {name: {name: value} for name, value in made.drawn.items()} | {"drawing": weights(made.model)}


def spread(state):
    """Return the largest difference between the two ranks' states."""
    names = sorted(state)
    mine = torch.cat([state[name].double().flatten() for name in names])
    both = [torch.empty_like(mine) for _ in range(2)]
    distributed.all_gather(both, mine)
    return float((both[0] - both[1]).abs().max())


def work(rank, folder):
    """Be one of the two processes."""
    folder = Path(folder)
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    distributed.init_process_group("gloo", init_method=f"file://{folder / 'store'}", rank=rank, world_size=2)
    states = {str(combination): run_engine(combination, rank) for combination in COMBINATIONS}
    states["silent"] = run_engine(Combination(), rank, sync=False)
    for name, recipe in TRIALS.items():
        for window, accumulation in ACCUMULATION.items():
            states[f"{name}, {window}"] = run_trainer(folder / name / window, recipe, accumulation, world=2)
    for task, recipe in TASK_TRIALS.items():
        states[task] = run_trainer(folder / task, recipe, 2, world=2, rows=make_rows(13, task=task), task=task)
    states["share"] = run_share(rank)
    states["broken rows"] = run_broken(rank)
    states["few labels"] = run_engine(Combination("rdrop", "vat"), rank, labelled=6)
    states["few labels, trainer"] = run_trainer(folder / "few", TRIALS["vat+swa"], 2, world=2, rows=FEW_LABELS)
    states |= run_drawing(folder / "drawing")
    states["whole"], states["continued"] = run_resumed(folder)
    apart = {name: spread(state) for name, state in states.items()}
    if rank == 0:
        torch.save({"apart": apart, "states": states}, folder / "results.pt")
    shut_down()


def shut_down():
    """End in order: nobody leaves before the other is done, and no wrapper outlives the process group."""
    gc.collect()
    distributed.barrier()
    distributed.destroy_process_group()
