"""A seed is one that every generator takes, wherever one is given."""

import pytest

from toughen.assess.questions import Questions
from toughen.attack.subject import read_labelled
from toughen.errors import InputError
from toughen.recipe.training import Training


@pytest.mark.parametrize("seed", [-1, 2**32])
@pytest.mark.parametrize(
    "use",
    [
        lambda seed: Training(seed=seed),
        lambda seed: Questions(seed=seed),
        lambda seed: read_labelled(None, [], {}, limit=None, seed=seed),
    ],
)
def test_a_seed_beyond_what_generators_take_is_refused(use, seed):
    with pytest.raises(InputError, match=rf"seed must be from 0 to 4294967295, got {seed}"):
        use(seed)


def test_the_largest_seed_is_taken():
    assert Training(seed=2**32 - 1).seed == 2**32 - 1
