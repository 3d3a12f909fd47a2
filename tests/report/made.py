"""Results as the other commands write them, made up, with texts that try to be markup."""

# ruff: noqa: E501

import json
import random

import pyarrow as pa
import pyarrow.parquet as pq

from toughen.assess.calibration import calibration, decisions

HOSTILE = "<script>alert('x')</script> & $\\alpha$"
LABELS = ("<b>bad</b>", "好 $1")
WORDS = "a <i>very</i> fine film"


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def one_set(n=200, accuracy=0.8, confidence=0.9, seed=0, **more):
    rng = random.Random(seed)
    rights = [i < round(accuracy * n) for i in range(n)]
    sure = [min(0.999, max(0.501, rng.gauss(confidence, 0.05))) for _ in range(n)]
    told = calibration(decisions("single-label", _probabilities(sure, rights), [1] * n, None))
    right, wrong = sum(rights), n - sum(rights)
    half = n // 2
    return {
        "n": n, "accuracy": right / n, "f1": 0.79, "mcc": None, "undefined": {"mcc": "no reason"}, "seconds": 1.0,
        "samples_per_second": n / 1.0, "intervals": {"accuracy": [right / n - 0.05, right / n + 0.05], "f1": [0.7, 0.85]},
        "calibration": told | {"intervals": {"ece": [0.05, 0.15]}},
        "confusion": {"labels": list(LABELS), "matrix": [[half - wrong, wrong], [0, n - half]]}, "left_out": {},
    } | more  # fmt: skip


def _probabilities(sure, rights):
    import numpy as np

    return np.array([[1 - p, p] if right else [p, 1 - p] for p, right in zip(sure, rights, strict=True)])


def part(name, accuracy, low, high, n=50):
    return {
        "by": "filter", "name": name, "n": n, "share": 0.25, "small": n < 30, "metrics": {"accuracy": accuracy, "f1": None},
        "intervals": {"accuracy": [low, high]},
    }  # fmt: skip


def evaluation(folder, run="run", **changes):
    main = one_set(**changes)
    main["slices"] = [part(HOSTILE, 0.4, 0.3, 0.5), part("long", 0.82, 0.7, 0.9), part("rare", 0.2, 0.1, 0.3, n=5)]
    main["mistakes"] = [{"row": 3, "text": HOSTILE, "label": LABELS[0], "prediction": LABELS[1], "score": 0.99}]
    main["dropout"] = {
        "passes": 3,
        "seed": 0,
        "flip_rate": 0.05,
        "kl_clean": 0.01,
        "intervals": {"flip_rate": [0.02, 0.08]},
    }
    main["ood"] = {
        "n": 200,
        "n_ood": 50,
        "max_softmax": {"auroc": 0.5, "interval": [0.4, 0.6]},
        "energy": {"auroc": 0.7, "interval": None},
    }
    other = one_set(seed=1) | {"drop": {"accuracy": {"drop": 0.01, "interval": [-0.03, 0.05]}}}
    return write(folder / "evaluation.json", {
        "format": 1, "run": str(run), "task": "single-label", "label_names": list(LABELS), "thresholds": None,
        "temperature": None, "sources": {"data": "/somewhere/test.csv", "more": "x"}, "predictions": {},
        "questions": {"samples": 100, "seed": 0}, "sets": {"data": main, "more": other},
    })  # fmt: skip


def attacked(n=200, attacked=180, fooled=90, **more):
    held = attacked - fooled
    return {
        "attack": "textfooler", "source": "a paper", "goal": "any", "transformation": HOSTILE, "search": "greedy", "budget": 100,
        "n": n, "seed": 0, "attacked": attacked, "fooled": fooled, "accuracy_before": attacked / n, "accuracy_after": held / n,
        "success_rate": fooled / attacked, "queries_per_example": 12.5, "changed_share": 0.1, "texts_run": 9, "passes": 3,
        "seconds": 1.5, "unconfirmed": 0, "precision": "fp32", "constraints": ["few words"],
        "accuracy_after_interval": [held / n - 0.05, held / n + 0.05], "success_interval": [0.4, 0.6],
    } | more  # fmt: skip


def attack(folder, kind="attack", run="run"):
    results = {
        "attack": attacked(),
        "standard": {
            "version": 1, "n": 200, "accuracy_before": 0.9, "robust_accuracy": 0.3, "interval": [0.2, 0.4], "flags": ["odd"],
            "members": {"word": attacked()}, "bounds": {"0.1": attacked(changed_share=None)},
        },
        "noise": {"metric": "accuracy", "n": 200, "seed": 0, "left_out": [], "points": list(noise())},
        "certify": {
            "n": 200, "rate": 0.7, "copies": 20, "confidence": 0.95, "seed": 0, "accuracy_before": 0.9, "vote_accuracy": 0.85,
            "certified": [{"changed_words": k, "accuracy": 0.8 - k / 10, "low": 0.7 - k / 10, "high": 0.9 - k / 10} for k in range(4)],
        },
    }  # fmt: skip
    path = write(
        folder / "attack.json",
        {
            "format": 1,
            "kind": kind,
            "run": str(run),
            "sources": {"data": "t.csv"},
            "texts": "pairs.parquet",
            "result": results[kind],
        },
    )
    entry = {
        "row": 7,
        "text": WORDS,
        "adversarial": WORDS.replace("fine", HOSTILE),
        "label": LABELS[0],
        "predicted": LABELS[1],
        "attack": "textfooler",
    }
    pq.write_table(pa.Table.from_pylist([entry]), folder / "pairs.parquet")
    return path


def noise():
    for name, loss in (("clean", 0), ("mean", 0.02), ("typos", 0.03), ("case", 0.01), (HOSTILE, 0.05), ("emoji", 0.0)):
        for severity in [0] if name == "clean" else range(1, 6):
            value = 0.9 - loss * severity
            yield {
                "corruption": name,
                "severity": severity,
                "rate": 0.1,
                "changed": 0.5,
                "value": value,
                "low": value - 0.02,
                "high": value + 0.02,
            }


def difference(name, mean, low, high, p, metric="f1", **more):
    return {
        "name": name, "against": "plain", "metric": metric, "mean": mean, "low": low, "high": high, "p": p, "p_holm": p,
        "skipped": 0, "seeds": [2, 2], "relative_cost": 3.3, "relative_seconds": 2.0,
    } | more  # fmt: skip


def comparison(folder):
    groups = [
        {"name": name, "runs": [{"path": f"runs/{name}/{seed}", "seed": seed, "seen_in_training": 0} for seed in (1, 2)],
         "mean": {"f1": 0.8, "rmse": None}, "sd": {"f1": 0.01, "rmse": None}, "cost": {"units_per_step": 3.0, "seconds": 9.0}}
        for name in ("plain", HOSTILE)
    ]  # fmt: skip
    return write(folder / "comparison.json", {
        "kind": "comparison", "data": "reviews", "n": 300, "task": "single-label", "label_names": list(LABELS), "metric": "f1",
        "metrics": ["f1", "accuracy"], "baseline": "plain", "samples": 100, "level": 0.95, "groups": groups,
        "differences": [difference(HOSTILE, 0.02, 0.01, 0.03, 0.001), difference(HOSTILE, 0.0, -0.1, 0.1, 1.0, "accuracy")],
        "mcnemar": [{"name": HOSTILE, "against": "plain", "runs": ["a", "b"], "only_first": 3, "only_second": 2, "p": 1.0, "p_mid": 0.9, "p_mid_holm": 1.0}],
    })  # fmt: skip


def ablation(folder, single=0.01):
    arms = [
        {
            "name": name,
            "slots": [],
            "mean": 0.8,
            "low": low,
            "high": 0.85,
            "sd": 0.01,
            "n": 2,
            "relative_cost": cost,
            "seconds": 3.0,
            "runs": [],
        }
        for name, low, cost in (("plain", 0.7, 1.0), ("adversary", None, 3.3))
    ]
    effects = [
        difference("adversary", 0.02, 0.01, 0.03, 0.01, kind="against plain"),
        difference("average", None, None, None, None, kind="main effect"),
    ]
    power = {
        "sd": 0.01,
        "sd_from": "measured",
        "seeds": 2,
        "alpha": 0.05,
        "power": 0.8,
        "comparisons": 1,
        "single": single,
        "after_holm": single,
    }
    return write(folder / "ablation.json", {
        "kind": "ablation", "recipe": {"model": "roberta-base", "data": {"source": "reviews"}}, "over": ["adversary"], "design": "full",
        "seeds": [1, 2], "power": power, "split": "test", "metric": "f1", "arms": arms, "effects": effects, "failed": {HOSTILE: "why"},
    })  # fmt: skip


def plan(folder):
    arms = [
        {
            "name": name,
            "slots": [],
            "finished": done,
            "units_per_step": units,
            "passes_per_step": 1,
            "relative_cost": units / 3,
        }
        for name, done, units in (("plain", [1], 3.0), ("adversary", [], 9.0))
    ]
    power = {
        "sd": 0.01,
        "sd_from": "assumed",
        "seeds": 2,
        "alpha": 0.05,
        "power": 0.8,
        "comparisons": 2,
        "single": 0.1,
        "after_holm": 0.2,
    }
    return write(folder / "plan.json", {
        "kind": "ablation plan", "recipe": {"model": "roberta-base", "data": {"source": "reviews"}}, "over": ["adversary"],
        "design": "full", "seeds": [1, 2], "arms": arms, "runs": 4, "power": power,
    })  # fmt: skip


def search(folder):
    trials = [
        {
            "number": i,
            "state": "complete",
            "value": 0.7 + i / 100,
            "settings": {"training.learning_rate": 1e-5 * (i + 1)},
            "evaluations": [],
            "failed": None,
        }
        for i in range(4)
    ]
    trials.append({"number": 4, "state": "failed", "value": None, "settings": {}, "evaluations": [], "failed": "x"})
    return write(
        folder / "search.json",
        {
            "kind": "search",
            "study": HOSTILE,
            "metric": "f1",
            "split": "validation",
            "direction": "maximize",
            "space": [],
            "trials": trials,
            "best": trials[3],
        },
    )


RECIPE = """\
model: {model}
data: {{source: reviews}}
inputs: null
objective: {{name: rdrop, alpha: 1.0}}
adversary: {{name: pgd, steps: 3}}
average: null
training: {{epochs: 2.0, batch_size: 8, max_length: 64, truncation: head, metric: accuracy, seed: 1}}
"""


def run(folder, model="roberta-base", n=200):
    """Write a finished run whose validation loss rises again."""
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(RECIPE.format(model=model))
    scored = {
        "n": n,
        "accuracy": 0.8,
        "f1": 0.79,
        "mcc": None,
        "log_loss": 0.5,
        "undefined": {"mcc": "no reason"},
        "seconds": 1.0,
    }
    train = {
        "seconds": 200.0,
        "samples_per_second": 9.0,
        "passes_per_step": 6.0,
        "units_per_step": 16.0,
        "steps": 40,
        "epochs": 2.0,
        "best_step": 20,
    }
    simple = {"n": n, "accuracy": 0.7, "f1": 0.69, "mcc": 0.4, "log_loss": 0.6}
    baselines = {"majority": {**simple, "accuracy": 0.5, "f1": None}, "words": simple, "frozen": simple}
    told = {
        "verdict": "test accuracy 0.800; a simple model gets 0.700.",
        "next": "toughen evaluate",
        "collapsed": False,
    }
    write(
        folder / "metrics.json",
        {"validation": scored, "test": scored, "train": train, "environment": {"toughen": "0", "device": "cpu"}}
        | {"baselines": {"validation": baselines, "test": baselines}}
        | told,
    )
    mistake = {"row": 7, "text": f"{HOSTILE} was fine", "label": LABELS[0], "prediction": LABELS[1], "score": 0.987}
    counts = {"labels": list(LABELS), "matrix": [[91, 9], [31, 69]]}
    write(folder / "mistakes.json", {"split": "test", "confusion": counts, "mistakes": [mistake] * 3})
    log = [
        {
            "step": s,
            "loss": 1 - s / 50,
            "loss/task": 0.9 - s / 50,
            "loss/rdrop": 0.01,
            "perturbation_norm": 0.2,
            "adversary/accuracy": 0.5,
            "learning_rate": 1e-4,
            "grad_norm": 1.0,
        }
        for s in range(5, 45, 5)
    ]
    log += [
        {"step": s, "eval_loss": 0.4 + abs(s - 20) / 50, "eval_accuracy": 0.8 - abs(s - 20) / 100, "eval_roc_auc": 0.9}
        for s in (10, 20, 30, 40)
    ]
    write(folder / "checkpoints/checkpoint-9/trainer_state.json", {"log_history": []})
    write(folder / "checkpoints/checkpoint-40/trainer_state.json", {"log_history": log})
    write(
        folder / "model/config.json",
        {"id2label": {"0": LABELS[0], "1": LABELS[1]}, "toughen": {"task": "single-label"}},
    )
    return folder / "metrics.json"


KINDS = {
    "run": run,
    "evaluation": evaluation,
    "noise": lambda folder: attack(folder, "noise"),
    "attack": attack,
    "standard": lambda folder: attack(folder, "standard"),
    "certify": lambda folder: attack(folder, "certify"),
    "comparison": comparison,
    "ablation": ablation,
    "search": search,
    "plan": plan,
}
