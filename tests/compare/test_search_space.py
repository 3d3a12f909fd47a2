"""What `--over` and `--space` say, and what they must not."""

import pytest

from toughen import load_recipe
from toughen.compare.search_space import Dimension, make_space, read_space
from toughen.errors import InputError


class Proposal:
    """Stands in for an Optuna trial: takes the lowest value, or the choice it is told to."""

    def __init__(self, **choices):
        self.choices, self.asked = choices, []

    def suggest_categorical(self, key, choices):
        self.asked.append(key)
        return self.choices.get(key, choices[0])

    def suggest_float(self, key, low, high, log):
        self.asked.append((key, low, high, log))
        return low

    suggest_int = suggest_float


def test_ranges_and_choices():
    space = make_space(
        load_recipe("pgd"),
        ["adversary.radius=0.05:0.5:log", "adversary.steps=1:4", "training.schedule=cosine,linear", "average=none,ema"],
    )
    assert space.dimensions == (
        Dimension("average", choices=("none", "ema")),
        Dimension("adversary.radius", 0.05, 0.5, log=True),
        Dimension("adversary.steps", 1.0, 4.0, whole=True),
        Dimension("training.schedule", choices=("cosine", "linear")),
    )
    chosen = space.choose(Proposal())
    assert chosen == {"average": "none", "adversary.radius": 0.05, "adversary.steps": 1, "training.schedule": "cosine"}
    assert type(chosen["adversary.steps"]) is int
    assert load_recipe("pgd", chosen).adversary.radius == 0.05


def test_a_setting_that_the_chosen_technique_lacks_is_passed_over():
    recipe = load_recipe("plain")
    space = make_space(recipe, ["adversary.steps=2:5", "adversary=fgm,pgd,none"])
    assert space.choose(Proposal(adversary="pgd")) == {"adversary": "pgd", "adversary.steps": 2}
    assert space.choose(Proposal(adversary="fgm")) == {"adversary": "fgm"}
    assert space.choose(Proposal(adversary="none")) == {"adversary": "none"}


def test_a_file_says_the_same(tmp_path):
    file = tmp_path / "space.yaml"
    file.write_text("training.learning_rate: 1e-5:1e-4:log\nobjective: [cross-entropy, rdrop]\naverage: [null, ema]\n")
    assert read_space(file) == [
        "training.learning_rate=1e-5:1e-4:log",
        "objective=cross-entropy,rdrop",
        "average=none,ema",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("training.learning_rate", "must be KEY=LOW:HIGH"),
        ("training.learning_rate=1e-4:1e-5", "LOW below HIGH"),
        ("training.learning_rate=0:1e-5:log", "above 0"),
        ("training.learning_rate=low:high", "'low' is not a number"),
        ("training.learning_rate=1e-4", "a range or different choices"),
        ("training.learning_rate=-1:1", "must be above 0"),
        ("training.lerning_rate=1:2", "did you mean training.learning_rate"),
        ("training.schedule=cosine,square", "training.schedule must be"),
        ("adversary=pgd,pdg", "unknown technique 'pdg'"),
        ("data.validation_share=0.1:0.3", "trials are compared by it"),
        ("training.seed=1:9", "trials are compared by it"),
    ],
)
def test_refusals(text, says):
    with pytest.raises(InputError, match=says):
        make_space(load_recipe("pgd"), [text])


def test_nothing_and_twice_are_refused(tmp_path):
    with pytest.raises(InputError, match="nothing to search"):
        make_space(load_recipe("pgd"), [])
    with pytest.raises(InputError, match="searched twice"):
        make_space(load_recipe("pgd"), ["adversary.steps=1:2", "adversary.steps=2:3"])
    with pytest.raises(InputError, match="no such file"):
        read_space(tmp_path / "none.yaml")
