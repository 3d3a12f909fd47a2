"""One Python call: a table of texts and labels in, a scored run folder out.

    python examples/python_call.py [--model FOLDER] [--recipe NAME] [--steps N] [--output FOLDER]

The sample corpus and the MiniLM of `make demo` are the defaults, so this runs offline.
"""

import argparse

import pandas as pd

import toughen
from toughen.demo.corpus import FOLDER as CORPUS
from toughen.demo.encoder import find_minilm


def main() -> None:
    args = arguments()
    reviews = pd.read_csv(CORPUS / "train.csv")  # columns text and label; any other two will do, if named
    run = toughen.train(
        reviews,
        model=args.model or find_minilm(),
        recipe=args.recipe,
        output=args.output,
        overwrite=True,
        training={"max_steps": args.steps, "learning_rate": 1e-4, "max_length": 64},
        **{"data.validation_share": 0.2},  # a table has no validation split: a fifth of it is held out
    )
    print("validation F1", run.metrics["validation"]["f1"])

    unseen = pd.read_csv(CORPUS / "test.csv")
    print("test", {name: score for name, score in run.evaluate(unseen).items() if name in ("accuracy", "f1", "mcc")})

    for text in ("Not bad at all, and I would go again.", "The staff could not care less."):
        answer = run.predict([text])[0]
        print(f"{answer['label']} {answer['score']:.2f}  {text}")

    # The same run, later or elsewhere: toughen.Run.open(folder); its model/ loads with transformers alone.
    assert toughen.Run.open(args.output).metrics == run.metrics


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", help="folder or hub id; default: the MiniLM of make demo")
    parser.add_argument("--recipe", default="tough-stack", help="shipped recipe or YAML file")
    parser.add_argument("--steps", type=int, default=30, help="optimiser steps")
    parser.add_argument("--output", default="runs/python", help="folder for the run")
    return parser.parse_args()


if __name__ == "__main__":
    main()
