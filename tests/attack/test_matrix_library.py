"""oneDNN in the place of MKL: the same numbers but for rounding, and only where it is meant to be."""

import numpy as np
import pytest
import torch

from saved_models import save_classifier
from tiny import reviews, save_tiny_model
from toughen.attack import matrix_library
from toughen.attack.queries import Queries
from toughen.classifier.classifier import Classifier

TEXTS = [text for text, _ in reviews(12, seed=2)]


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    tiny = save_tiny_model(tmp_path_factory.mktemp("pretrained"))
    return Classifier.load(save_classifier(tiny, tmp_path_factory.mktemp("model"), "single-label"))


@pytest.fixture
def fits(monkeypatch):
    """Let the processor be one where oneDNN pays; the list says of each linear layer whether oneDNN took it."""
    taken, fits = [], matrix_library._fits
    monkeypatch.setattr(matrix_library, "one_dnn_pays", torch.backends.mkldnn.is_available)
    monkeypatch.setattr(matrix_library, "_fits", lambda args: taken.append(fits(args)) or taken[-1])
    return taken


def processor(monkeypatch, **facts):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: facts, raising=False)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this PyTorch has no oneDNN")
def test_onednn_says_what_mkl_says(classifier, fits):
    quick, plain = (Queries(classifier, quick=quick).probabilities(TEXTS) for quick in (True, False))
    assert fits, "oneDNN was asked"
    assert all(fits)
    assert np.allclose(quick, plain, atol=1e-6)
    count = len(fits)
    classifier.predict(TEXTS)
    assert len(fits) == count, "nothing is left behind"


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this PyTorch has no oneDNN")
def test_bfloat16_and_gradients_stay_with_pytorch(classifier, fits):
    Queries(classifier, precision="bf16").answer([])
    with matrix_library.quick_linear(classifier), torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        classifier.model(input_ids=torch.ones(1, 4, dtype=torch.int64))
    with matrix_library.quick_linear(classifier):
        loss = classifier.model(input_ids=torch.ones(1, 4, dtype=torch.int64)).logits.sum()
    assert loss.requires_grad
    assert fits
    assert not any(fits)


def test_only_processors_whose_avx512_mkl_leaves_unused_change_over(monkeypatch):
    processor(monkeypatch, cpu_name="AMD EPYC", avx512_f=True)
    assert matrix_library.one_dnn_pays() == torch.backends.mkldnn.is_available()
    for facts in ({"cpu_name": "Intel(R) Xeon(R)", "avx512_f": True}, {"cpu_name": "AMD EPYC", "avx512_f": False}, {}):
        processor(monkeypatch, **facts)
        assert not matrix_library.one_dnn_pays()
