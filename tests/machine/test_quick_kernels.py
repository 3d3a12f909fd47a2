"""The CPU kernels that a training replaces: the same distributions and results as torch's own, and only inside."""

import subprocess
import sys
import threading

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from engine.models import batch, gradients, tiny
from toughen import Pgd
from toughen.engine.engine import Engine
from toughen.machine import kernels
from toughen.machine.kernels import _PIECE, bernoulli_, quick_kernels, safe_softmax

SHARES = (0.9, 0.5, 0.1, 0.85, 0.99, 1 / 3, 1e-4)
MANY = (3, 401, 501)  # more than one piece; not a multiple of what a word holds


def dropped(seed=0, shape=(1000,)):
    torch.manual_seed(seed)
    return torch.nn.functional.dropout(torch.ones(shape), 0.1)


# ---- dropout


@pytest.mark.parametrize("p", SHARES)
def test_each_element_is_one_with_the_probability_asked_for(p):
    """Within 4.5 standard deviations over 601,500 elements."""
    torch.manual_seed(0)
    drawn = bernoulli_(torch.empty(MANY), p)
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    assert abs(drawn.mean(dtype=torch.float64) - p) < 4.5 * (p * (1 - p) / drawn.numel()) ** 0.5


@pytest.mark.parametrize("p", [0.9, 0.99])
def test_what_one_word_decides_is_independent(p):
    """Neighbours up to 8 apart share words; chunks have generators of their own. Canary: a repeated mask is found."""
    torch.manual_seed(1)
    drawn = bernoulli_(torch.empty(2, 2 * _PIECE, dtype=torch.float64), p) - p
    bound = 5 / (drawn[0].numel() ** 0.5)

    def correlation(a, b):
        return abs((a * b).mean() / (p * (1 - p)))

    for apart in range(1, 9):
        assert correlation(drawn[0, apart:], drawn[0, :-apart]) < bound
    assert correlation(drawn[0], drawn[1]) < bound
    assert correlation(drawn[0], drawn[0]) > bound


@pytest.mark.parametrize("p", [0.0, 1.0, 1e-12, 1 - 1e-12])
def test_never_and_always_are_exact(p):
    assert bernoulli_(torch.full(MANY, 7.0), p).unique().tolist() == [round(p)]


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_no_probability_is_an_error(p):
    with pytest.raises(RuntimeError, match=r"expects p to be in \[0, 1\]"):
        bernoulli_(torch.empty(3), p)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.bool, torch.int64, torch.uint8])
def test_every_type_gets_the_same(dtype):
    expected = bernoulli_(torch.empty(50, 7), 0.7, generator=torch.Generator().manual_seed(3))
    drawn = bernoulli_(torch.empty(50, 7, dtype=dtype), 0.7, generator=torch.Generator().manual_seed(3))
    assert drawn.dtype is dtype
    assert torch.equal(drawn.float(), expected)


@pytest.mark.parametrize("make", [lambda t: t.T, lambda t: t[:, ::2], lambda t: t[1:1], lambda t: t[0, 0]])
def test_strides_are_followed_and_nothing_beside_them_is_touched(make):
    whole = torch.full((600, 1000), 7.0)
    drawn = make(whole)
    assert bernoulli_(drawn, 0.5) is drawn
    assert (whole != 7).sum() == drawn.numel()
    assert set(drawn.unique().tolist()) <= {0.0, 1.0}


@pytest.fixture
def threads():
    """Change the number of threads, and put it back."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_a_seed_gives_the_same_whatever_the_number_of_threads(threads):
    drawn = []
    for count in (1, 2, 5):
        threads(count)
        drawn.append(bernoulli_(torch.empty(MANY), 0.9, generator=torch.Generator().manual_seed(4)))
    other = bernoulli_(torch.empty(MANY), 0.9, generator=torch.Generator().manual_seed(5))
    assert torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], other)


@pytest.mark.parametrize(
    ("p", "kind"), [(0.9, torch.int16), (0.5, torch.int16), (0.99, torch.int32), (1e-4, torch.int32)]
)
def test_sixteen_bits_decide_only_where_they_are_near_enough(monkeypatch, p, kind):
    asked = []
    monkeypatch.setattr(kernels, "_draw", lambda flat, below, kind, generator: asked.append((below, kind)))
    bernoulli_(torch.empty(3), p)
    ((below, used),) = asked
    bits = 8 * kind.itemsize
    assert used is kind
    assert (below + 2 ** (bits - 1)) / 2**bits == pytest.approx(p, rel=1e-4 if p < 0.9 else 1e-5)


def test_a_thread_that_outlives_the_main_one_draws_too():
    """Python's pools take no work any more then."""
    script = """
import threading, time, torch
from toughen.machine.kernels import bernoulli_
torch.set_num_threads(2)
def late():
    threading.main_thread().join()
    print("share", bernoulli_(torch.empty(2_000_000), 0.9).mean().item())
threading.Thread(target=late).start()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.startswith("share 0.")
    assert not done.stderr


@pytest.mark.parametrize("shape", [(50,), MANY])
def test_a_given_generator_leaves_torchs_alone_and_a_restored_state_repeats_a_mask(shape):
    before = torch.get_rng_state()
    bernoulli_(torch.empty(shape), 0.9, generator=torch.Generator().manual_seed(0))
    assert torch.equal(torch.get_rng_state(), before)
    first = bernoulli_(torch.empty(shape), 0.9)
    assert not torch.equal(bernoulli_(torch.empty(shape), 0.9), first)
    torch.set_rng_state(before)
    assert torch.equal(bernoulli_(torch.empty(shape), 0.9), first)


@pytest.mark.parametrize("count", [1, 2])
def test_masks_are_drawn_in_inference_mode(threads, count):
    threads(count)
    with quick_kernels(), torch.inference_mode():
        assert set((dropped(shape=MANY) > 1).unique().tolist()) == {False, True}


# ---- softmax


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("dim", [-1, 1])
def test_softmax_is_bitwise_torchs(dtype, dim):
    """Rows that see nothing are zeros, one that is not a number stays so; canary: there are some of each kind."""
    torch.manual_seed(0)
    scores = torch.randn(4, 5, 6, dtype=dtype)
    plain = safe_softmax(scores, dim)
    assert torch.equal(plain, torch._safe_softmax(scores, dim))
    scores.select(dim, 0)[0] = float("-inf")  # some do not see the first
    scores.movedim(dim, -1)[1, 2] = float("-inf")
    scores.movedim(dim, -1)[2, 1, 3] = float("nan")
    found, expected = safe_softmax(scores, dim), torch._safe_softmax(scores, dim)
    assert torch.equal(found.nan_to_num(9), expected.nan_to_num(9))
    assert (found.movedim(dim, -1)[1, 2] == 0).all()
    assert found.isnan().sum() == 6 if dim == -1 else found.isnan().any()


@pytest.mark.parametrize("shape", [(), (0, 3), (3, 0)])
def test_softmax_of_nothing_and_of_a_number(shape):
    scores = torch.zeros(shape)
    assert torch.equal(safe_softmax(scores, -1), torch._safe_softmax(scores, -1))


def test_softmax_widens_where_it_is_told_to():
    scores = torch.randn(3, 4, dtype=torch.bfloat16)
    assert torch.equal(safe_softmax(scores, -1, torch.float32), torch._safe_softmax(scores, -1, torch.float32))


# ---- inside and outside


def test_torchs_own_kernels_are_back_afterwards_and_nobody_is_warned():
    """In a fresh process, where torch's own have nothing in front of them before."""
    script = """
import torch
from toughen.machine.kernels import quick_kernels
def drawn():
    torch.manual_seed(0)
    dropped = torch.nn.functional.dropout(torch.ones(1000), 0.1)
    mine = torch.empty(50).bernoulli_(generator=torch.Generator().manual_seed(1))
    return torch.cat([dropped, mine])
before = drawn()
with quick_kernels(False):
    assert torch.equal(drawn(), before)
first, second = quick_kernels(), quick_kernels()
first.__enter__()
second.__enter__()
inside = drawn()
first.__exit__(None, None, None)
assert not torch.equal(inside[:1000], before[:1000])
assert not torch.equal(inside[1000:], before[1000:])
assert torch.equal(drawn(), inside)
second.__exit__(None, None, None)
assert torch.equal(drawn(), before)
try:
    with quick_kernels():
        raise KeyError
except KeyError:
    pass
assert torch.equal(drawn(), before)
print("done")
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("done\n", "")


def test_inside_torch_calls_ours_with_the_probability_and_the_generator_given():
    given = torch.Generator().manual_seed(3)
    expected = bernoulli_(torch.empty(100), 0.5, generator=torch.Generator().manual_seed(3))
    with quick_kernels():
        assert torch.equal(torch.empty(100).bernoulli_(generator=given), expected)


def test_a_torch_that_cannot_tell_its_kernels_keeps_them(monkeypatch):
    monkeypatch.delattr(kernels.registry, "get_kernel")
    assert kernels._install.__wrapped__() is None


def test_threads_may_begin_and_end_while_others_draw(threads):
    """Removing a kernel while another thread called it crashed; now nothing is removed."""
    stop, failed = threading.Event(), []

    def draw():
        scores = torch.ones(4000)
        try:
            while not stop.is_set():
                torch._safe_softmax(scores, 0)
                scores.clone().bernoulli_(0.9)
        except BaseException as error:
            failed.append(error)

    with quick_kernels():
        pass
    drawing = threading.Thread(target=draw)
    drawing.start()
    for _ in range(300):
        with quick_kernels():
            torch.empty(10).bernoulli_(0.5)
    stop.set()
    drawing.join()
    assert not failed


@pytest.mark.parametrize("adversary", [None, Pgd()], ids=["plain", "pgd"])
def test_a_step_through_plain_attention_has_the_same_gradients(adversary, monkeypatch):
    """Without dropout softmax is all that is replaced. Canary: it is called inside, and not outside."""
    called = []

    def noted(*args):
        called.append(args)
        return safe_softmax(*args)

    def step(quick):
        model, rows = tiny("bert", dropout=0.0).float(), batch()
        torch.manual_seed(0)
        with quick_kernels(quick), sdpa_kernel(SDPBackend.MATH), Engine(model, adversary=adversary) as engine:
            engine.backward(rows)
        return gradients(model)

    monkeypatch.setitem(kernels._QUICK, "_safe_softmax", noted)
    own = step(False)
    assert not called
    quick = step(True)
    assert called
    assert all(torch.equal(own[name], quick[name]) for name in own | quick)


def test_dropout_inside_drops_and_scales_and_sends_gradients_through_what_it_kept():
    torch.manual_seed(0)
    given = torch.ones(200, 300, requires_grad=True)
    with quick_kernels():
        kept = torch.nn.functional.dropout(given, 0.25)
        kept.sum().backward()
    assert kept.unique().tolist() == pytest.approx([0, 4 / 3])
    assert torch.equal(given.grad, kept.detach())
