"""Builds the C++ program once, with sanitizers, and gives the ways to run it."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build"


def find_headers():
    """Return the folder of ONNX Runtime's headers: a named one, the system's, or fetched once; None without network."""
    for folder in (os.environ.get("ORT_INCLUDE"), "/usr/include/onnxruntime", BUILD / "ort-include"):
        if folder and (Path(folder) / "onnxruntime_cxx_api.h").exists():
            return Path(folder)
    fetched = subprocess.run([ROOT / "cpp/headers.sh", BUILD / "ort-include"], capture_output=True, text=True)
    return BUILD / "ort-include" if fetched.returncode == 0 else None


def find_library():
    """Return ONNX Runtime's shared library: a named one, or the wheel's."""
    import onnxruntime

    own = sorted(Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime.so*"))
    return os.environ.get("ORT_LIB") or str(own[0])


def do_without(reason):
    """Skip, but not in CI, where nothing may be missing."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


def build(name, *settings):
    """Configure and build; return the program."""
    for tool in ("cmake", "g++"):
        if shutil.which(tool) is None:
            do_without(f"{tool} is not installed")
    headers = find_headers()
    if headers is None:
        do_without("ONNX Runtime's headers are not installed and cannot be fetched; set ORT_INCLUDE")
    folder = BUILD / name
    for command in (
        ["cmake", "-S", ROOT / "cpp", "-B", folder, f"-DORT_INCLUDE={headers}", *settings],
        ["cmake", "--build", folder, "--parallel", "2"],
    ):
        made = subprocess.run(command, capture_output=True, text=True)
        assert made.returncode == 0, made.stdout + made.stderr
    return folder / "toughen-cli"


def locked(name, *settings):
    """Build; of several test processes one at a time."""
    import fcntl

    BUILD.mkdir(exist_ok=True)
    with (BUILD / "cpp.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return build(name, *settings)


class Program:
    """The program, run on texts."""

    def __init__(self, path):
        self.path = path

    def call(self, arguments, env):
        known = {"ORT_LIB": find_library(), "ASAN_OPTIONS": "detect_leaks=0"}
        return {"args": [str(self.path), *map(str, arguments)], "env": os.environ | known | env}

    def run(self, *arguments, data=b"", **env):
        return subprocess.run(**self.call(arguments, env), input=data, capture_output=True)

    def start(self, *arguments):
        return subprocess.Popen(**self.call(arguments, {}), stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def answers(self, folder, texts, *arguments):
        """Return one parsed answer per text; fails if the program does."""
        data = "".join(json.dumps(text) + "\n" for text in texts).encode()
        ran = self.run(folder, "--json", *arguments, data=data)
        assert ran.returncode == 0, ran.stderr.decode()[-2000:]
        return [json.loads(line) for line in ran.stdout.decode().split("\n")[:-1]]

    def refusal(self, *arguments, data=b"", **env):
        """Return the one sentence with which it refuses."""
        ran = self.run(*arguments, data=data, **env)
        assert ran.returncode == 2, (ran.returncode, ran.stderr.decode()[-2000:])
        (line,) = ran.stderr.decode().splitlines()
        return line


@pytest.fixture(scope="session")
def program():
    """The program under AddressSanitizer and UndefinedBehaviorSanitizer."""
    return Program(locked("cpp-sanitized", "-DTOUGHEN_SANITIZE=ON", "-DCMAKE_CXX_FLAGS_RELEASE=-O1"))


@pytest.fixture(scope="session")
def fast_program():
    """The program as users build it."""
    return Program(locked("cpp"))
