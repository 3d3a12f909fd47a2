"""The Dockerfile cannot be built here; what can be read of it is checked."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LEFT_OUT = (
    "torch",
    "transformers",
    "accelerate",
    "datasets",
    "safetensors",
    "scikit-learn",
    "scipy",
    "onnx",
    "tensorboard",
)


def instructions():
    """Return (instruction, arguments) with continued lines joined."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [tuple(line.split(" ", 1)) for line in joined.splitlines() if line]


def brought(requirements, extras):
    """Return the names of what requirements bring, with the package's own extras resolved."""
    found = set()
    for requirement in requirements:
        name, _, wanted = re.match(r"([\w.-]+)(\[(.*?)\])?", requirement).groups()
        more = [one for extra in (wanted or "").split(",") if extra and name == "toughen" for one in extras[extra]]
        found |= brought(more, extras) if name == "toughen" else {name}
    return found


def test_the_order_and_the_user():
    names = [name for name, _ in instructions()]
    assert names[0] == "FROM"
    assert set(names) <= {"FROM", "RUN", "COPY", "USER", "ENV", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT"}
    user, group = dict(instructions())["USER"].split(":")
    assert int(user) >= 10000 <= int(group), "a name, or the number of somebody on the host"
    assert any("useradd" in text and f"--uid {user}" in text for name, text in instructions() if name == "RUN")
    assert names.index("USER") > max(i for i, name in enumerate(names) if name in ("RUN", "COPY"))
    assert names[-1] == "ENTRYPOINT"


def test_what_is_copied_exists_and_is_not_ignored():
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [source for name, text in instructions() if name == "COPY" for source in text.split()[:-1]]
    assert set(copied) == kept
    for source in copied:
        assert (ROOT / source).exists()


def test_nothing_of_training_is_installed():
    (installed,) = [text for name, text in instructions() if name == "RUN" and "pip install" in text]
    assert re.search(r'"/src\[serve\]"', installed)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    found = brought([*project["dependencies"], "toughen[serve]"], extras)
    assert {"onnxruntime", "tokenizers", "fastapi", "uvicorn"} <= found
    assert not found & set(LEFT_OUT)
    assert set(LEFT_OUT) <= brought(["toughen[train,onnx]"], extras), "the list is out of date"


def test_the_commands_that_docker_starts_are_real():
    how = dict(instructions())
    entry = json.loads(how["ENTRYPOINT"])
    assert entry[:2] == ["toughen", "serve"]
    shown = subprocess.run([sys.executable, "-m", "toughen", "serve", "--help"], capture_output=True, text=True)
    for option in entry[3::2]:
        assert option in shown.stdout
    check = json.loads(how["HEALTHCHECK"].split("CMD ", 1)[1])
    assert check[:2] == ["python", "-c"]
    assert "/healthz" in check[2], "a full queue would have it restarted"
    with pytest.raises(OSError, match=r"refused|timed out|urlopen"):
        exec(check[2].replace(":8080", ":9"), {})
