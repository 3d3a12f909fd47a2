"""Greedy soup of one run's checkpoints: an average of weights that was chosen by its validation score."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import Trainer

Weights = dict[str, Tensor]


class Candidate(NamedTuple):
    """Weights that were scored."""

    step: int
    score: float
    file: Path


@dataclass(frozen=True)
class Cooked:
    """A finished soup.

    Attributes:
        weights: the mean of the chosen candidates' weights.
        steps: the steps of those chosen, the best first.
        scores: the soup's score after each candidate that was chosen.
        tried: how many candidates there were.
    """

    weights: Weights
    steps: tuple[int, ...]
    scores: tuple[float, ...]
    tried: int

    def report(self) -> dict[str, Any]:
        """Return what was chosen, for ``metrics.json``."""
        return {"steps": list(self.steps), "scores": list(self.scores), "candidates": self.tried}


class Candidates:
    """The best weights of a run so far, one file each.

    Attributes:
        folder: where the files are.
    """

    def __init__(self, folder: Path, top_k: int, *, greater_is_better: bool, writes: bool = True) -> None:
        """Prepare.

        Args:
            folder: holds ``step-N.safetensors``.
            top_k: how many are kept.
            greater_is_better: whether a higher score is better.
            writes: whether this process writes the files (the others only read them).
        """
        self.folder, self._top_k, self._writes = folder, top_k, writes
        self._sign = 1.0 if greater_is_better else -1.0

    def restart(self, from_step: int = 0) -> None:
        """Forget what was scored after this step, as a resumed run must; 0 forgets all."""
        if self._writes:
            for candidate in self:
                if candidate.step > from_step or from_step == 0:
                    candidate.file.unlink()

    def offer(self, step: int, score: float, model: nn.Module) -> None:
        """Take the model's trainable weights in, if they are among the best."""
        if not self._writes:
            return
        ranked = sorted(self, key=self._rank)
        if len(ranked) >= self._top_k and self._rank(ranked[-1]) <= self._rank(Candidate(step, score, self.folder)):
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        weights = {name: p.detach().cpu().contiguous() for name, p in model.named_parameters() if p.requires_grad}
        unfinished = self.folder / f"step-{step}.part"
        save_file(weights, unfinished, metadata={"score": repr(float(score))})
        unfinished.replace(self.folder / f"step-{step}.safetensors")
        for candidate in sorted(self, key=self._rank)[self._top_k :]:
            candidate.file.unlink()

    def __iter__(self) -> Iterator[Candidate]:
        for file in sorted(self.folder.glob("step-*.safetensors")):
            with safe_open(file, framework="pt") as opened:
                score = float((opened.metadata() or {})["score"])
            yield Candidate(int(file.stem.removeprefix("step-")), score, file)

    def ranked(self) -> list[Candidate]:
        """Return the candidates, the best first; of equals the earlier one."""
        return sorted(self, key=self._rank)

    def cook(self, score: Callable[[Weights], float]) -> Cooked | None:
        """Return the greedy soup of the candidates, None if there are none.

        Args:
            score: the validation score of weights.
        """
        ranked = self.ranked()
        if not ranked:
            return None
        files = [candidate.file for candidate in ranked]
        weights, chosen, scores = greedy(files, load_file, lambda w: self._sign * score(w))
        return Cooked(
            weights, tuple(ranked[i].step for i in chosen), tuple(self._sign * s for s in scores), len(ranked)
        )

    def _rank(self, candidate: Candidate) -> tuple[float, int]:
        return -self._sign * candidate.score, candidate.step


def greedy(
    ranked: Sequence[Path], load: Callable[[Path], Weights], score: Callable[[Weights], float]
) -> tuple[Weights, list[int], list[float]]:
    """Add weights to an average one by one, the best first, each only if the average gets strictly better.

    Source: Wortsman et al., "Model soups" (2203.05482), recipe 1; all candidates share their pretrained start.

    Args:
        ranked: files of weights, the best first; at least one.
        load: reads one.
        score: the validation score of weights, higher is better.

    Returns:
        The mean of the chosen weights, their positions in ``ranked``, and the score after each of them.
    """
    soup, chosen = load(ranked[0]), [0]
    scores = [score(soup)]
    for position, file in enumerate(ranked[1:], start=1):
        tried = mix_weights(soup, load(file), 1 / (len(chosen) + 1))
        reached = score(tried)
        if reached > scores[-1]:
            soup = tried
            chosen.append(position)
            scores.append(reached)
    return soup, chosen, scores


def mix_weights(soup: Weights, more: Weights, share: float) -> Weights:
    """Return (1 - share) * soup + share * more, in float32 or wider, each weight in its own dtype."""
    return {name: _lerp(weight, more[name], share) for name, weight in soup.items()}


def _lerp(first: Tensor, second: Tensor, share: float) -> Tensor:
    wide = torch.float64 if first.dtype == torch.float64 else torch.float32
    return first.to(wide).lerp(second.to(wide), share).to(first.dtype)


def cook(trainer: Trainer, candidates: Candidates) -> Cooked | None:
    """Put the greedy soup of a training's candidates into its model; they are scored on the validation rows."""
    metric = str(trainer.args.metric_for_best_model)
    name = metric if metric.startswith("eval_") else f"eval_{metric}"
    trainer.accelerator.wait_for_everyone()  # the main process writes the candidates that all read
    model = trainer.accelerator.unwrap_model(trainer.model, keep_torch_compile=False)

    def score(weights: Weights) -> float:
        pour(weights, model)
        output = trainer.evaluation_loop(trainer.get_eval_dataloader(), "soup", metric_key_prefix="eval")
        return float((output.metrics or {})[name])

    cooked = candidates.cook(score)
    if cooked is not None:
        pour(cooked.weights, model)
    return cooked


@torch.no_grad()
def pour(weights: Weights, model: nn.Module) -> None:
    """Put weights into a model, by name."""
    named = dict(model.named_parameters())
    for name, weight in weights.items():
        named[name].copy_(weight)
