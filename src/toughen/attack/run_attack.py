"""Run an attack on a classifier and labelled texts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from toughen.arrays import Floats, Ints
from toughen.attack.attack_recipes import MAX_CHANGED, RECIPES, SIMILARITY, Attack, Ingredients
from toughen.attack.constraints import STOP_WORDS
from toughen.attack.goals import decide
from toughen.attack.queries import PART, Precision, Queries, drive
from toughen.attack.results import AttackResult, Outcome, Status
from toughen.attack.search_methods import Trial
from toughen.attack.search_requests import Scores, Service, Side, search_beside
from toughen.attack.subject import Examples, classifier_of, examples_of, threshold_of
from toughen.attack.whitebox import EmbeddingPgd, WhiteBox, require_white_box
from toughen.data.words import Words
from toughen.errors import InputError
from toughen.machine.allocator import freed_memory_kept
from toughen.settings import require

ATTACKS = (*RECIPES, "pgd")
_BY_GRADIENT = ("hotflip", "pgd")
BUDGET = 1000
_PGD_SOURCE = "Madry et al., Towards Deep Learning Models Resistant to Adversarial Attacks (1706.06083), on embeddings"
_BOUND = ("a bound in embedding space: no text is written",)


def attack(
    run_or_classifier: Any,
    data: Any,
    attack: str = "textfooler",
    *,
    limit: int | None = None,
    seed: int = 0,
    budget: int | None = BUDGET,
    neighbours: str | Path | Mapping[str, Sequence[str]] | None = None,
    max_changed: float = MAX_CHANGED,
    stop_words: Sequence[str] | None = None,
    same_part_of_speech: bool = False,
    encoder: str | Path | None = None,
    similarity: float = SIMILARITY,
    mlm: str | Path | None = None,
    radius: float = 0.5,
    steps: int = 10,
    precision: Precision = "fp32",
    side: Side | None = None,
    batch_size: int = 64,
    columns: Mapping[str, str | None] | None = None,
    progress: Callable[[int], None] | None = None,
    reference: bool = False,
) -> AttackResult:
    """Attack the texts that a classifier answers rightly.

    Args:
        run_or_classifier: a run, its folder, or a single-label classifier (see `TextClassifier`).
        data: labelled texts, or pairs of texts: a hub id, file, folder (its test split), DataFrame, Dataset or list.
        attack: one of `ATTACKS`.
        limit: so many texts, drawn by the seed.
        seed: the same seed gives the same result.
        budget: distinct texts that may be asked about for each text, the original not counted; None is no limit.
        neighbours: word list (see `read_word_lists`); default from the model's own word embeddings.
        max_changed: share of the words that may be changed, above 0 and at most 1; one always may.
        stop_words: words that stay; default a short English and Chinese list.
        same_part_of_speech: let nltk's tagger forbid replacements by another part of speech.
        encoder: folder of a sentence encoder, for a constraint on similarity.
        similarity: least cosine by that encoder.
        mlm: folder of a masked language model, for bae.
        radius: of pgd, in units of the mean norm of the embedding table's rows.
        steps: of pgd.
        precision: "bf16" searches in bfloat16, on hardware that has it two to three times as fast; what is in
            doubt is asked again in float32, and so is every success. The search may then take other ways, and not the
            same on all machines.
        side: of pairs, the text that is changed: first or second (the default); the other stays.
        batch_size: texts per pass of the model.
        columns: names of the columns ``text``, ``text_pair`` and ``label``; default the recipe's, or found.
        progress: called with the number of texts that are done.
        reference: search the slow way, one text after the other and without remembering answers; for comparison.

    Returns:
        The result, with one outcome per text.

    Raises:
        InputError: if the name is unknown, the data or a folder wrong, the task not single-label, or something that
            the attack needs is missing.
    """
    require(attack in ATTACKS, "attack", attack, f"must be one of {', '.join(ATTACKS)}")
    require(precision in ("fp32", "bf16"), "precision", precision, "must be fp32 or bf16")
    require(side in (None, "first", "second"), "side", side, "must be first or second")
    require(budget is None or budget >= 1, "budget", budget, "must be at least 1")
    classifier, known = classifier_of(run_or_classifier)
    words = STOP_WORDS if stop_words is None else frozenset(word.lower() for word in stop_words)
    given = Ingredients(
        classifier, neighbours, encoder, similarity, mlm, max_changed, words, same_part_of_speech, batch_size
    )
    built = EmbeddingPgd(radius, steps) if attack == "pgd" else RECIPES[attack](given)
    needs_single = "reads the gradient of single texts" if attack in _BY_GRADIENT else None
    known = {**known, **(columns or {})}
    examples = examples_of(classifier, data, known, limit=limit, seed=seed, side=side, pairs=needs_single)
    queries = _queries(classifier, batch_size, precision, reference)
    with freed_memory_kept():
        if isinstance(built, EmbeddingPgd):
            return run_pgd(built, queries, examples, seed)
        at_once = 1 if reference else 64
        return run_attack(built, queries, given.services(), examples, seed, budget, at_once=at_once, progress=progress)


def _queries(classifier: Any, batch_size: int, precision: Precision, reference: bool) -> Queries:
    if reference:
        return Queries(classifier, 32, cache=False, joint=False, quick=False)
    if precision == "bf16" and not hasattr(getattr(classifier, "model", None), "parameters"):
        raise InputError("precision bf16 needs a classifier that shows its model; use fp32.")
    return Queries(classifier, batch_size, precision=precision)


def run_attack(
    attack: Attack,
    queries: Queries,
    services: Mapping[type, Service],
    examples: Examples,
    seed: int,
    budget: int | None,
    *,
    at_once: int = 64,
    progress: Callable[[int], None] | None = None,
) -> AttackResult:
    """Attack examples that have been read; see `attack`.

    Args:
        attack: four parts.
        queries: asks the classifier.
        services: answer the other kinds of request.
        examples: the texts.
        seed: of the attack.
        budget: per text, or None.
        at_once: texts attacked side by side.
        progress: called with the number of texts that are done.
    """
    began = time.perf_counter()
    clean = queries.probabilities([examples.asked(i, text) for i, text in enumerate(examples.texts)])
    right = right_ones(clean, examples.labels, threshold_of(queries.classifier))
    searches = [
        search_beside(
            attack.start(examples.texts[i], label, float(attack.goal.margin(clean[i : i + 1], label)[0]), seed),
            examples.beside_of(i),
        )
        for i in right.tolist()
        for label in [int(examples.labels[i])]
    ]
    part = PART if queries.joint else None
    asked = {**services, Scores: queries}
    found = drive(searches, asked, budget=budget, at_once=at_once, part=part, progress=progress)
    seconds, texts_run, passes = time.perf_counter() - began, queries.texts_run, queries.passes
    trials = {int(i): trial for i, (trial, _) in zip(right, found, strict=True)}
    spent = {int(i): count for i, (_, count) in zip(right, found, strict=True)}
    after, unconfirmed = _confirm(attack, queries, examples, trials)
    before = decide(clean, threshold_of(queries.classifier))
    outcomes = tuple(_outcome(examples, i, int(before[i]), trials, after, spent) for i in range(len(examples)))
    parts = (attack.goal.describe(), attack.transformation.describe())
    constraints = tuple(constraint.describe() for constraint in attack.constraints)
    return AttackResult(
        *(attack.name, attack.source, *parts, constraints, attack.search.describe(), budget, seed),
        tuple(queries.classifier.label_names),
        outcomes,
        texts_run,
        passes,
        seconds,
        unconfirmed,
        queries.precision,
        None if examples.beside is None else examples.beside[0].side,
    )


def right_ones(probabilities: Floats, labels: Ints, threshold: float | None) -> Ints:
    """Return the positions of the texts that are answered rightly."""
    if not len(labels):
        raise InputError("there are no texts to attack; give labelled texts.")
    return np.flatnonzero(decide(probabilities, threshold) == labels)


def _confirm(
    attack: Attack, queries: Queries, examples: Examples, trials: Mapping[int, Trial]
) -> tuple[dict[int, int], int]:
    """Ask about every success anew, without memory; return the answers of those that stand, and how many do not."""
    reached = [i for i, trial in trials.items() if trial.reached]
    fresh = replace(queries, cache=False, joint=True, precision="fp32", quick=False)
    probabilities = fresh.probabilities([examples.asked(i, trials[i].words.text) for i in reached])
    answers = decide(probabilities, threshold_of(queries.classifier))
    stands = [
        bool(attack.goal.reached(probabilities[k : k + 1], int(examples.labels[i]))[0]) for k, i in enumerate(reached)
    ]
    after = {i: int(answer) for i, answer, stood in zip(reached, answers, stands, strict=True) if stood}
    return after, len(reached) - len(after)


def _outcome(
    examples: Examples,
    i: int,
    before: int,
    trials: Mapping[int, Trial],
    after: Mapping[int, int],
    spent: Mapping[int, int],
) -> Outcome:
    original, fooled = Words.of(examples.texts[i]), i in after
    status: Status = "wrong" if i not in trials else "fooled" if fooled else "held"
    return Outcome(
        row=int(examples.rows[i]),
        text=examples.texts[i],
        label=int(examples.labels[i]),
        before=before,
        status=status,
        adversarial=trials[i].words.text if fooled else None,
        after=after.get(i, before),
        words=len(original),
        changed=len(original.changed(trials[i].words)) if fooled else 0,
        queries=spent.get(i, 0),
        beside=None if examples.beside is None else examples.beside[i].text,
    )


def run_pgd(pgd: EmbeddingPgd, queries: Queries, examples: Examples, seed: int) -> AttackResult:
    """Attack the embeddings of examples that have been read."""
    require_white_box(queries.classifier, "the attack pgd")
    began, threshold = time.perf_counter(), threshold_of(queries.classifier)
    before = decide(queries.probabilities(examples.texts), threshold)
    right = np.flatnonzero(before == examples.labels)
    chosen = Examples([examples.texts[i] for i in right], examples.labels[right], examples.rows[right])
    box = WhiteBox(queries.classifier, queries.batch_size)
    found, passes = pgd.run(box, chosen, threshold, seed)
    after, count = (
        dict(zip(right.tolist(), found.tolist(), strict=True)),
        dict(zip(right, passes.tolist(), strict=True)),
    )
    outcomes = tuple(
        _change_outcome(examples, i, int(before[i]), after.get(i, int(before[i])), count.get(i, 0))
        for i in range(len(examples))
    )
    return AttackResult(
        "pgd",
        _PGD_SOURCE,
        "untargeted: any answer but the true label",
        pgd.describe(),
        _BOUND,
        "projected gradient ascent on the margin",
        None,
        seed,
        tuple(queries.classifier.label_names),
        outcomes,
        queries.texts_run,
        queries.passes + box.passes,
        time.perf_counter() - began,
    )


def _change_outcome(examples: Examples, i: int, before: int, after: int, passes: int) -> Outcome:
    label = int(examples.labels[i])
    status: Status = "wrong" if before != label else "fooled" if after != label else "held"
    words = len(Words.of(examples.texts[i]))
    return Outcome(int(examples.rows[i]), examples.texts[i], label, before, status, None, after, words, 0, passes)
