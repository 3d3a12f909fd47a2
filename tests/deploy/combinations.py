"""Combinations of models that disagree, by every rule and for every task, without a training."""

import copy

import torch

from toughen.classifier.temperature import Temperature
from toughen.runs.combination import Combination
from toughen.runs.ensemble import Ensemble
from toughen.runs.rules import Rule, Stacker

WEIGHTS = (0.2, 0.0, 0.8)
SOFT = {"temperature": 1.7}
CASES = {
    "mean of probabilities": ("mean-probabilities", SOFT | {"thresholds": [0.4]}),
    "mean of logits": ("mean-logits", SOFT),
    "vote": ("vote", SOFT),
    "vote by thresholds": ("vote", {"thresholds": [0.45]}),
    "weights": ("weights", SOFT),
    "stack": ("stack", SOFT),
    "stack of pairs": ("stack", {"pairs": True}),
    "labels, mean of logits": ("mean-logits", {"task": "multi-label", "thresholds": [0.3, 0.5, 0.6]}),
    "labels, vote": ("vote", {"task": "multi-label", "thresholds": [0.45, 0.5, 0.55]} | SOFT),
    "labels, weights": ("weights", {"task": "multi-label"}),
    "numbers, mean": ("mean-logits", {"task": "regression"}),
    "numbers, weights": ("weights", {"task": "regression", "truncation": "windows", "overlap": 4}),
    "words, mean of logits": ("mean-logits", {"task": "tokens"} | SOFT),
    "words, vote": ("vote", {"task": "tokens"}),
    "words, weights": ("weights", {"task": "tokens"}),
    "windows, weights": ("weights", {"truncation": "windows", "overlap": 4}),
}


def other(classifier, seed):
    """Return a copy whose head says other things, and surer ones."""
    made = copy.deepcopy(classifier)
    generator = torch.Generator().manual_seed(seed)
    head = made.model.classifier
    with torch.no_grad():
        head.weight.copy_(torch.randn(head.weight.shape, generator=generator) / 2)
        head.bias.copy_(torch.randn(head.bias.shape, generator=generator) / 4)
    if made.temperature is not None:
        made.temperature = Temperature(0.5 + seed / 2, made.temperature.thresholds)
    return made


def rule(how, members, labels):
    if how == "weights":
        return Rule(how, WEIGHTS)
    if how != "stack":
        return Rule(how)
    generator = torch.Generator().manual_seed(0)
    coefficients = torch.randn((labels, members * labels), generator=generator).double()
    return Rule(how, stacker=Stacker(tuple(map(tuple, coefficients.tolist())), (0.3, *[0.0] * (labels - 1))))


def combine(made, how):
    """Put three models that differ, by a rule, in the place of a run's one."""
    members = [other(made.classifier, seed) for seed in (1, 2, 3)]
    made.classifier = Combination.by(rule(how, 3, len(members[0].label_names)), members)
    return made.classifier


def combine_deep(made):
    """Combine a run in folds, a vote and a single model by their mean logit."""
    ones = [other(made.classifier, seed) for seed in range(1, 7)]
    vote = Combination.by(Rule("vote"), ones[2:5])
    made.classifier = Combination.by(Rule("mean-logits"), [Ensemble.of(ones[:2]), vote, ones[5]])
    return made.classifier
