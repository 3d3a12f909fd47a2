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
        if folder and (Path(folder) / "onnxruntime_c_api.h").exists():
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
    """Configure and build; return the folder."""
    for tool in ("cmake", "g++"):
        if shutil.which(tool) is None:
            do_without(f"{tool} is not installed")
    headers = find_headers()
    if headers is None:
        do_without("ONNX Runtime's headers are not installed and cannot be fetched; set ORT_INCLUDE")
    folder = BUILD / name
    settings = (f"-DTOUGHEN_ORT_INCLUDE={headers}", "-DTOUGHEN_WERROR=ON", *settings)
    make("cmake", "-S", ROOT / "cpp", "-B", folder, *settings)
    make("cmake", "--build", folder, "--parallel", "2")
    return folder


def make(*command, **settings):
    """Run a tool that has to succeed; return what it printed."""
    made = subprocess.run(command, capture_output=True, text=True, **settings)
    assert made.returncode == 0, made.stdout + made.stderr
    return made.stdout


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
    settings = ("-DTOUGHEN_SANITIZE=ON", "-DCMAKE_CXX_FLAGS_RELEASE=-O1")
    return Program(locked("cpp-sanitized", *settings) / "toughen-cli")


@pytest.fixture(scope="session")
def fast_program():
    """The program as users build it."""
    return Program(locked("cpp") / "toughen-cli")


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """The shared libraries, installed under a prefix of their own."""
    prefix = tmp_path_factory.mktemp("prefix")
    settings = ("-DBUILD_SHARED_LIBS=ON", "-DTOUGHEN_PROGRAM=OFF", "-DCMAKE_CXX_FLAGS_RELEASE=-O1")
    make("cmake", "--install", locked("cpp-shared", *settings), "--prefix", prefix)
    return prefix
