"""Several models as one: the rules of `toughen.runs.rules` on logarithms of probabilities, for a graph."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from toughen.errors import InputError
from toughen.runs.members import leaves
from toughen.runs.rules import Rule

if TYPE_CHECKING:
    from toughen.classifier.classifier import Classifier

_MEAN = Rule("mean-probabilities")
_LINEAR = ("mean-probabilities", "weights")
_LEAST = 1e-38  # a probability whose logarithm is finite in float32
_HALF = 0.5

Said = list[Tensor]
"""What a classifier says: log p [B, C] (of several labels log p and log(1 - p); of regression the values, [B, 1])."""


class Leaf(torch.nn.Module):
    """One model, softened.

    Args:
        model: transformers' model, or an own one, that returns ``.logits``.
        names: the inputs, in the order of the arguments.
        activation: softmax, sigmoid or none.
        temperature: what the logits are divided by.
    """

    def __init__(self, model: torch.nn.Module, names: Sequence[str], activation: str, temperature: float) -> None:
        super().__init__()
        self.model, self.names = model, tuple(names)
        self.activation, self.temperature = activation, temperature

    def logits(self, *inputs: Tensor) -> Tensor:
        """Return the model's own numbers [B, C] (tokens: [B, T, C]) of ``inputs``, int64 [B, T] each."""
        found: Tensor = self.model(**dict(zip(self.names, inputs, strict=True))).logits
        return found

    def forward(self, *inputs: Tensor) -> Said:
        """Say what the model makes of ``inputs``."""
        logits = self.logits(*inputs)
        if self.activation == "none":
            return [logits]
        logits = logits / self.temperature
        return [logits.log_softmax(-1)] if self.activation == "softmax" else _both_sides(logits)


class Joint(torch.nn.Module):
    """Classifiers joined by a rule; each is a leaf or joined itself.

    Args:
        members: M of them.
        rule: how their outputs become one.
        activation: softmax, sigmoid or none.
        thresholds: M, by which each member decides; only votes are decisions.
    """

    def __init__(
        self,
        members: Sequence[torch.nn.Module],
        rule: Rule,
        activation: str,
        thresholds: Sequence[Sequence[float] | None],
    ) -> None:
        super().__init__()
        self.members, self.rule = torch.nn.ModuleList(members), rule
        self.activation, self.thresholds = activation, tuple(thresholds)

    def forward(self, *inputs: Tensor) -> Said:
        """Say what all of them make of ``inputs`` together."""
        said = [member(*inputs) for member in self.members]
        sides = [torch.stack(side) for side in zip(*said, strict=True)]
        shares = self.rule.weights or [1 / len(said)] * len(said)
        if self.activation == "none":
            return [(sides[0] * _column(torch.tensor(shares), sides[0])).sum(0)]
        rules: dict[str, Callable[[], Said]] = {
            "mean-probabilities": lambda: _mean(sides, shares),
            "weights": lambda: _mean(sides, shares),
            "mean-logits": lambda: _mean_logits(sides),
            "vote": lambda: self._vote(sides),
            "stack": lambda: [_stack(sides[0], self.rule)],
        }
        return rules[self.rule.how]()

    def _vote(self, sides: Said) -> Said:
        """Return the logarithm of (votes + mean probability) / (M + 1)."""
        voters = len(self.thresholds)
        yes = sides[0].exp()
        pairs = zip(yes.unbind(0), self.thresholds, strict=True)
        votes = torch.stack([self._decide(one, cuts).to(yes.dtype) for one, cuts in pairs]).sum(0)
        shares = [votes] if self.activation == "softmax" else [votes, voters - votes]
        return [_log((own + side.exp().mean(0)) / (voters + 1)) for own, side in zip(shares, sides, strict=True)]

    def _decide(self, p: Tensor, cuts: Sequence[float] | None) -> Tensor:
        """Say which labels one member answers: p [.., C] -> [.., C]; see `toughen.runs.rules.vote`."""
        if self.activation == "sigmoid":
            return p >= torch.tensor(_HALF if cuts is None else cuts, dtype=p.dtype)
        chosen = p.argmax(-1, keepdim=True) if cuts is None else (p[..., 1:] >= cuts[0]).long()
        return chosen == torch.arange(p.shape[-1])


def _both_sides(odds: Tensor) -> Said:
    return [-softplus(-odds), -softplus(odds)]


def _log(p: Tensor) -> Tensor:
    return p.clamp_min(_LEAST).log()


def _column(numbers: Tensor, beside: Tensor) -> Tensor:
    """Give a number per member the shape in which it meets what they say, [M, ...]."""
    return numbers.to(beside.dtype).view(-1, *[1] * (beside.dim() - 1))


def _mean(sides: Said, shares: Sequence[float]) -> Said:
    """Return the logarithm of the weighted mean probability."""
    logs = torch.tensor(shares, dtype=torch.float64).log()
    return [(side + _column(logs, side)).logsumexp(0) for side in sides]


def _mean_logits(sides: Said) -> Said:
    if len(sides) == 1:
        return [sides[0].mean(0).log_softmax(-1)]
    return _both_sides((sides[0] - sides[1]).mean(0))


def _stack(logs: Tensor, rule: Rule) -> Tensor:
    """Return the stacker's log-probabilities of its members', [M, B, C] -> [B, C]."""
    if rule.stacker is None:
        raise ValueError("stack needs its fitted coefficients")
    features = torch.cat((logs - logs.mean(-1, keepdim=True)).unbind(0), dim=-1)
    coefficients = torch.tensor(rule.stacker.coefficients, dtype=logs.dtype)
    # No matrix product, so that int8 leaves it alone.
    logits = (features[:, None] * coefficients).sum(-1) + torch.tensor(rule.stacker.intercept, dtype=logs.dtype)
    return logits.log_softmax(-1)


def build_joint(
    classifier: Classifier, names: Sequence[str], activation: str, plain: Callable[[Any], torch.nn.Module]
) -> Leaf | Joint:
    """Return a classifier as one module; members of weight 0 are left out.

    Args:
        classifier: one model, the models of a run in folds, or a combination, also of these.
        names: the inputs, in their order.
        activation: softmax, sigmoid or none.
        plain: makes a model ready for a graph.
    """
    members: Sequence[Classifier] = getattr(classifier, "members", ())
    if not members:
        return Leaf(plain(classifier.model), names, activation, temperature(classifier))
    rule = _rule(classifier)
    if rule.weights is not None:
        kept = [(member, share) for member, share in zip(members, rule.weights, strict=True) if share > 0]
        members, rule = [member for member, _ in kept], Rule(rule.how, tuple(share for _, share in kept))
    parts = [build_joint(member, names, activation, plain) for member in members]
    return Joint(parts, rule, activation, [member.thresholds for member in members])


def temperature(classifier: Classifier) -> float:
    """Return what a classifier's logits are divided by; 1 where no temperature was fitted."""
    return 1.0 if classifier.temperature is None else classifier.temperature.value


def refuse_no_graph(classifier: Classifier) -> None:
    """Refuse several models that no one graph can stand for.

    Raises:
        InputError: saying why.
    """
    first, *others = leaves(classifier)
    if not others:
        return
    for other in others:
        _refuse_other_reader(first, other)
    after = _after_windows(classifier)
    if classifier.truncation == "windows" and after is not None:
        raise InputError(
            f"several models that read windows cannot be exported as one graph where {after} the mean over a text's "
            "windows, which is not in the graph; combine them by mean-probabilities or weights and without "
            "temperatures, or train without windows."
        )
    votes = any(_rule(one).how == "vote" for one in _joints(classifier))
    if classifier.task == "tokens" and "O" not in classifier.label_names and votes:
        raise InputError(
            "a vote on tags without an O tag cannot be exported: words that were cut off have no answer to vote with; "
            "combine by mean-probabilities."
        )


def _rule(classifier: Classifier) -> Rule:
    found: Rule = getattr(classifier, "rule", _MEAN)
    return found


def _joints(classifier: Classifier) -> Iterator[Classifier]:
    """Yield each place where several answer as one."""
    members: Sequence[Classifier] = getattr(classifier, "members", ())
    if members:
        yield classifier
    for member in members:
        yield from _joints(member)


def _after_windows(classifier: Classifier) -> str | None:
    """Return what is done to the mean over a text's windows; None where the mean may as well come last."""
    if classifier.task == "regression":
        return None
    odd = sorted({_rule(one).how for one in _joints(classifier)} - set(_LINEAR))
    if odd:
        return f"{odd[0]} follows on"
    return None if {temperature(leaf) for leaf in leaves(classifier)} == {1.0} else "temperatures soften"


def _refuse_other_reader(first: Classifier, other: Classifier) -> None:
    """Refuse models that read texts differently: the graph reads each text once."""
    mine, theirs = _describe_input(first), _describe_input(other)
    what = next((name for name in mine if mine[name] != theirs[name]), None)
    if what is None:
        return
    shown = "" if what == "tokenizer" else f" ({mine[what]} and {theirs[what]})"
    raise InputError(
        f"the combined models {_name(first)} and {_name(other)} differ in their {what}{shown}, and one graph reads a "
        "text once; combine runs that read alike, or distil them into one model (--how distil), and export that."
    )


def _describe_input(classifier: Classifier) -> dict[str, Any]:
    tokenizer = classifier.tokenizer
    settings = ("padding_side", "truncation_side", "pad_token_id", "pad_token_type_id", "add_prefix_space")
    return {
        "tokenizer": _content(tokenizer),
        "maximal length": classifier.max_length,
        "truncation": classifier.truncation,
        "overlap": classifier.overlap,
        **{f"tokenizer's {name}": getattr(tokenizer, name, None) for name in settings},
        "tokenizer's outputs": tuple(tokenizer.model_input_names),
    }


def _content(tokenizer: Any) -> Any:
    """Return all that decides a text's ids, without what the last call set."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return tokenizer.get_vocab()
    return {name: part for name, part in json.loads(backend.to_str()).items() if name not in ("truncation", "padding")}


def _name(classifier: Classifier) -> str:
    return str(classifier.tokenizer.name_or_path)
