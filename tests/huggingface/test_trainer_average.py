"""The weights that are scored are the weights saved and loaded as best; the optimiser goes on with raw ones."""

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification

from engine.models import distance, tiny
from huggingface.trials import checkpoints, collate, losses, run, trainer, weights
from toughen import Fgm
from toughen.engine.averages import Ema, Swa
from toughen.huggingface.checkpoint import AVERAGE, RAW

EVERY = {"save_strategy": "steps", "save_steps": 1, "logging_steps": 1}
EMA = {"adversary": Fgm(radius=0.4), "average": Ema(decay=0.8)}


class Scores:
    """Keeps the logits of every evaluation, in order; the metric is best at evaluation ``best``."""

    def __init__(self, best=-1):
        self.logits, self.best = [], best

    def __call__(self, prediction):
        self.logits.append(torch.tensor(prediction.predictions))
        return {"goodness": float(len(self.logits) - 1 == self.best)}


def logits_of(model, rows):
    model.eval()
    with torch.no_grad():
        return torch.cat(
            [
                model(**{k: v for k, v in collate(rows[i : i + 8]).items() if k != "labels"}).logits
                for i in range(0, len(rows), 8)
            ]
        )


@pytest.fixture(scope="module")
def ema_run(tmp_path_factory):
    """An EMA run with dropout, evaluated and saved at every step, and the same without average."""
    ends = {}
    for name, recipe in (("ema", EMA), ("raw", {"adversary": EMA["adversary"]})):
        folder = tmp_path_factory.mktemp(name)
        torch.manual_seed(0)
        made = run(
            folder,
            recipe,
            model=tiny("bert", dtype=torch.float32, dropout=0.1),
            eval_strategy="steps",
            eval_steps=1,
            keep={"compute_metrics": Scores()},
            **EVERY,
        )
        ends[name] = made, checkpoints(folder)
    return ends


def test_what_is_scored_is_what_is_saved(ema_run):
    """Each checkpoint, loaded as any model, gives the logits that were scored at its step; the raw weights do not."""
    made, saved = ema_run["ema"]
    assert sorted(saved) == list(range(1, 9))
    for step, folder in saved.items():
        model = AutoModelForSequenceClassification.from_pretrained(folder)
        scored = made.compute_metrics.logits[step - 1]
        assert torch.equal(logits_of(model, made.eval_dataset), scored)
        model.load_state_dict(load_file(folder / RAW), strict=False)
        assert float((logits_of(model, made.eval_dataset) - scored).abs().max()) > 1e-4


def test_the_average_does_not_touch_the_training(ema_run):
    """Raw weights after every step, logged losses and learning rates are bitwise those of the run without average."""
    (with_ema, averaged), (without, raw) = ema_run["ema"], ema_run["raw"]
    for step in raw:
        assert distance(load_file(averaged[step] / RAW), load_file(raw[step] / "model.safetensors")) == 0
    assert losses(with_ema) == losses(without)


def test_checkpoints_hold_the_average_of_the_definition(ema_run):
    """s <- d s + (1-d) w with d = min(.8, (1+n)/(10+n)), recomputed in float64 from the raw weights, to 1e-6."""
    _, saved = ema_run["ema"]
    average = {k: v.double() for k, v in weights(tiny("bert", dtype=torch.float32, dropout=0.1)).items()}
    for n in range(1, 9):
        decay = min(0.8, (1 + n) / (10 + n))
        raw = load_file(saved[n] / RAW)
        average = {name: decay * old + (1 - decay) * raw[name].double() for name, old in average.items()}
        held = load_file(saved[n] / AVERAGE)
        assert distance({k: held[f"average.{k}"].double() for k in average}, average) < 1e-6
        assert distance(load_file(saved[n] / "model.safetensors"), {k: held[f"average.{k}"] for k in average}) == 0


def test_after_training_the_model_holds_the_average(ema_run, tmp_path):
    """The model, ``save_model`` and a later ``evaluate`` all are the last average; nothing is averaged any more."""
    made, saved = ema_run["ema"]
    assert made.average is None
    assert distance(weights(made.model), load_file(saved[8] / "model.safetensors")) == 0
    made.save_model(str(tmp_path))
    assert distance(load_file(tmp_path / "model.safetensors"), weights(made.model)) == 0
    assert not (tmp_path / RAW).exists()
    made.evaluate()
    assert torch.equal(made.compute_metrics.logits.pop(), made.compute_metrics.logits[7])


def test_the_log_shows_the_decay(ema_run):
    """``average_decay`` on every training line is that step's."""
    lines = [line for line in ema_run["ema"][0].state.log_history if "loss" in line]
    assert [line["average_decay"] for line in lines] == pytest.approx(
        [min(0.8, (1 + n) / (10 + n)) for n in range(1, 9)]
    )


def test_load_best_brings_the_best_average_and_retires_the_live_one(tmp_path):
    """Best at the third evaluation: the model holds that checkpoint's scored weights, and evaluating keeps them."""
    scores = Scores(best=2)
    made = run(
        tmp_path,
        EMA,
        eval_strategy="steps",
        eval_steps=1,
        load_best_model_at_end=True,
        metric_for_best_model="goodness",
        keep={"compute_metrics": scores},
        **EVERY,
    )
    assert made.state.best_global_step == 3
    best = load_file(checkpoints(tmp_path)[3] / "model.safetensors")
    assert distance(weights(made.model), best) == 0
    made.evaluate()
    assert torch.equal(scores.logits[-1], scores.logits[2])
    assert distance(weights(made.model), best) == 0
    assert not torch.equal(scores.logits[2], scores.logits[7]), "canary: the last average scores otherwise"


class EvaluationError(RuntimeError):
    """A metric's own failure."""


def test_an_evaluation_that_raises_gives_the_raw_weights_back(tmp_path):
    """The metric raises at the third evaluation: the model holds raw weights again, bitwise those of a raw run."""
    scores = Scores()

    def fail_third(prediction):
        if len(scores.logits) == 2:
            raise EvaluationError
        return scores(prediction)

    made = trainer(tmp_path / "ema", EMA, eval_strategy="steps", eval_steps=1, keep={"compute_metrics": fail_third})
    with pytest.raises(EvaluationError):
        made.train()
    raw = run(tmp_path / "raw", {"adversary": EMA["adversary"]}, **EVERY)
    assert distance(weights(made.model), load_file(checkpoints(tmp_path / "raw")[3] / "model.safetensors")) == 0
    assert raw.state.global_step == 8


@pytest.mark.parametrize(
    ("rate", "tail"),
    [("constant", [5e-4] * 4), ("cyclic", [5e-4, 2.5e-4, 5e-4, 2.5e-4]), ("schedule", None)],
    ids=["constant", "cyclic", "schedule"],
)
def test_swa_has_its_tail(tmp_path, rate, tail):
    """From half of 8 steps on the rate is SWA's; before it, and throughout with ``schedule``, it is the Trainer's."""
    every = 2 if rate == "cyclic" else 1
    made = run(tmp_path, {"average": Swa(start=0.5, rate=rate, rate_factor=0.5, every=every)})
    rates = [line["learning_rate"] for line in made.state.log_history if "loss" in line]
    linear = [1e-3 * (1 - step / 8) for step in range(8)]
    assert rates == pytest.approx(linear[:4] + (tail or linear[4:]))


def test_swa_is_the_mean_of_the_tail(tmp_path):
    """start .5 of 8 steps: the scored weights are the plain mean of the raw ones after steps 5 to 8."""
    made = run(tmp_path, {"average": Swa(start=0.5)}, **EVERY)
    raw = [load_file(checkpoints(tmp_path)[step] / RAW) for step in range(5, 9)]
    mean = {name: torch.stack([w[name].double() for w in raw]).mean(0) for name in raw[0]}
    assert distance({k: v.double() for k, v in weights(made.model).items()}, mean) < 1e-6
