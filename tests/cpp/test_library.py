"""The library as others use it: from the installed prefix, in C++ and in C, and beside another ONNX Runtime."""

import ctypes
import itertools
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from cpp.conftest import find_headers, find_library, make
from cpp.old_export import change, known_answers, unpack
from deploy.pipelines import PIPELINES
from deploy.ugly import ugly_strings
from toughen.deploy.table import Reading, compile_table

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    return unpack(tmp_path_factory.mktemp("exported"))


@pytest.fixture(scope="module")
def examples(installed, tmp_path_factory):
    """The programs of examples/embed, built on what was installed alone."""
    folder = tmp_path_factory.mktemp("embed")
    how = [f"-DCMAKE_PREFIX_PATH={installed}", f"-DORT_INCLUDE={find_headers()}"]
    make("cmake", "-S", ROOT / "examples/embed", "-B", folder, *how)
    make("cmake", "--build", folder)
    return folder


def run(*command, **env):
    return make(*command, env=os.environ | {"ORT_LIB": find_library()} | env)


def test_a_program_on_the_installed_library_answers(examples, exported):
    wanted = known_answers(exported)[0]
    label, probability = run(examples / "embed", exported, wanted["text"]).split()
    assert (label, float(probability)) == (
        wanted["answer"]["label"],
        pytest.approx(wanted["answer"]["score"], abs=1e-4),
    )


def test_the_tokenizer_alone_needs_no_onnx_runtime(examples, exported):
    wanted = known_answers(exported)[0]
    found = [
        line.split(" ") for line in run(examples / "tokens", exported / "tokenizer.bin", wanted["text"]).splitlines()
    ]
    assert [int(number) for number, _ in found] == wanted["ids"][0][1:-1]
    assert "".join(word for _, word in found).replace("##", "") == wanted["text"].replace(" ", "")
    linked = make("ldd", examples / "tokens")
    assert "libtoughen_tokenizer.so" in linked
    assert "libtoughen.so" not in linked


def test_a_host_keeps_its_own_onnx_runtime(examples, exported, tmp_path):
    """The host's library is a second one of the process: a copy, which the loader takes for another."""
    own = Path(shutil.copy(find_library(), tmp_path / "libown.so"))
    found = run(examples / "beside", exported, exported / "model.onnx", own).split()
    assert found[0] == "input_ids"
    assert found[1] == found[2]


def test_what_the_library_promises(fast_program, exported, tmp_path):
    """tests/cpp/library.cpp, linked with the static libraries by pkg-config."""
    if shutil.which("pkg-config") is None:
        pytest.skip("pkg-config is not installed")
    prefix, built = tmp_path / "prefix", fast_program.path.parent
    make("cmake", "--install", built, "--prefix", prefix)
    (found,) = prefix.rglob("toughen.pc")
    env = os.environ | {"PKG_CONFIG_PATH": str(found.parent)}
    flags = make("pkg-config", "--static", "--cflags", "--libs", "toughen", env=env).split()
    make(
        "g++",
        "-std=c++17",
        "-Wall",
        "-Wextra",
        "-Werror",
        ROOT / "tests/cpp/library.cpp",
        *flags,
        "-o",
        tmp_path / "library",
    )
    broken = change(unpack(tmp_path / "broken"), bias=float("inf"))
    tables = ROOT / "tests/cpp/exports/tables-2"
    assert run(tmp_path / "library", exported, broken, tables / "windows.bin", tables / "bytes.bin") == "as promised\n"


def test_no_symbol_of_another_library(fast_program, installed):
    """The shared libraries show their C interface alone, and nothing of ONNX Runtime's C++ interface is in ours."""
    for name in ("libtoughen.so", "libtoughen_tokenizer.so"):
        (library,) = installed.rglob(name)
        lines = make("nm", "-D", "--defined-only", library).splitlines()
        symbols = {line.split()[-1] for line in lines} - {"TOUGHEN_0"}
        assert symbols
        assert all(symbol.startswith("toughen_") and symbol.endswith("@@TOUGHEN_0") for symbol in symbols), symbols
    archive = make("nm", "-C", fast_program.path.parent / "libtoughen.a")
    assert "Ort::Global" not in archive
    assert " toughen_classifier_open" in archive


class Text(ctypes.Structure):
    _fields_ = [("kind", ctypes.c_int), ("parts", ctypes.c_void_p), ("count", ctypes.c_size_t)]


class String(ctypes.Structure):
    _fields_ = [("data", ctypes.c_char_p), ("size", ctypes.c_size_t)]


class C:
    """The C interface by ctypes, as another language would call it."""

    def __init__(self, prefix):
        os.environ["ORT_LIB"] = find_library()
        (path,) = prefix.rglob("libtoughen.so")
        (tokenizer,) = prefix.rglob("libtoughen_tokenizer.so")
        ctypes.CDLL(str(tokenizer), mode=ctypes.RTLD_GLOBAL)
        self.lib = ctypes.CDLL(str(path))
        for name, kind in (
            ("status_message", ctypes.c_char_p),
            ("status_index", ctypes.c_size_t),
            ("classifier_label", ctypes.c_char_p),
            ("outputs_rows", ctypes.c_size_t),
            ("outputs_values", ctypes.POINTER(ctypes.c_double)),
            ("outputs_chosen", ctypes.POINTER(ctypes.c_size_t)),
            ("classifier_open", ctypes.c_void_p),
            ("classifier_predict", ctypes.c_void_p),
            ("tokenizer_open", ctypes.c_void_p),
            ("tokenizer_encode_detailed", ctypes.c_void_p),
            ("tokenizer_ids_detailed", ctypes.c_void_p),
            ("tokenizer_decode", ctypes.c_void_p),
            ("encoding_rows", ctypes.c_size_t),
            ("encoding_size", ctypes.c_size_t),
            ("encoding_text", ctypes.c_size_t),
            ("encoding_ids", ctypes.POINTER(ctypes.c_int64)),
            ("encoding_parts", ctypes.POINTER(ctypes.c_int32)),
            ("encoding_offsets", ctypes.POINTER(ctypes.c_size_t)),
            ("encoding_token", ctypes.c_char_p),
            ("decoded_text", ctypes.c_char_p),
        ):
            getattr(self.lib, f"toughen_{name}").restype = kind

    def call(self, name, *arguments):
        """Call what returns a status; return (code, index, message)."""
        status = ctypes.c_void_p(getattr(self.lib, f"toughen_{name}")(*arguments))
        found = (
            self.lib.toughen_status_code(status),
            self.lib.toughen_status_index(status),
            self.lib.toughen_status_message(status).decode(),
        )
        self.lib.toughen_status_free(status)
        return found

    def predict(self, handle, texts):
        parts = [(String * 1)(String(text, len(text))) for text in texts]
        rows = (Text * len(texts))(*(Text(0, ctypes.addressof(part), 1) for part in parts))
        outputs = ctypes.c_void_p()
        said = self.call("classifier_predict", handle, rows, ctypes.c_size_t(len(texts)), None, ctypes.byref(outputs))
        return said, outputs

    def open_tokenizer(self, table):
        handle = ctypes.c_void_p()
        assert self.call("tokenizer_open", str(table).encode(), ctypes.byref(handle))[0] == 0
        return handle

    def rows(self, name, handle, texts):
        """Return (text, ids, parts, offsets, tokens) of each row of a batch."""
        strings = given = (String * len(texts))(*(String(text, len(text)) for text in texts))
        if name == "tokenizer_encode_detailed":
            step = ctypes.sizeof(String)
            given = (Text * len(texts))(*(Text(0, ctypes.addressof(strings) + i * step, 1) for i in range(len(texts))))
        made = ctypes.c_void_p()
        assert self.call(name, handle, given, ctypes.c_size_t(len(texts)), ctypes.byref(made)) == (0, 2**64 - 1, "")
        rows = []
        for row in range(self.lib.toughen_encoding_rows(made)):
            size, places = self.lib.toughen_encoding_size(made, row), self.lib.toughen_encoding_offsets(made, row)
            rows.append(
                (
                    self.lib.toughen_encoding_text(made, row),
                    self.lib.toughen_encoding_ids(made, row)[:size],
                    self.lib.toughen_encoding_parts(made, row)[:size],
                    [(places[2 * i], places[2 * i + 1]) for i in range(size)],
                    [self.lib.toughen_encoding_token(made, row, i, None).decode() for i in range(size)],
                )
            )
        self.lib.toughen_encoding_free(made)
        return rows

    def decode(self, handle, rows, skip_special):
        """Return ((code, index, message), texts) of a batch."""
        kept = [(ctypes.c_int64 * len(row))(*row) for row in rows]
        given = (String * len(rows))(*(String(ctypes.cast(row, ctypes.c_char_p), len(row)) for row in kept))
        made, count = ctypes.c_void_p(), ctypes.c_size_t(len(rows))
        said = self.call("tokenizer_decode", handle, given, count, skip_special, ctypes.byref(made))
        texts = []
        for i in range(len(rows) if made else 0):
            size = ctypes.c_size_t()
            texts.append(self.lib.toughen_decoded_text(made, i, ctypes.byref(size)).decode())
            assert "\0" in texts[-1] or size.value == len(texts[-1].encode())
        self.lib.toughen_decoded_free(made)
        return said, texts


@pytest.mark.parametrize("name", ["bert", "gpt2-bare", "xlm-r"])
def test_a_batch_of_tokens_by_the_c_interface(installed, name, tmp_path):
    """As Hugging Face's: with special tokens and without, decoded with them and without."""
    if name == "xlm-r":
        pytest.importorskip("sentencepiece", reason="sentencepiece is not installed")
    tokenizer = PIPELINES[name]()
    (tmp_path / "tokenizer.bin").write_bytes(compile_table(tokenizer, Reading(10**6)))
    c = C(installed)
    handle = c.open_tokenizer(tmp_path / "tokenizer.bin")
    texts = ["a good film, isn't it?", "", "[MASK] <s> é 😀 中文 ", *ugly_strings(300, seed=8)]
    texts = [text.replace("\0", "") for text in texts]
    for special in (True, False):
        function = "tokenizer_encode_detailed" if special else "tokenizer_ids_detailed"
        wanted = tokenizer(texts, add_special_tokens=special, truncation=False, verbose=False).encodings
        found = c.rows(function, handle, [text.encode() for text in texts])
        for i, (row, text, one) in enumerate(zip(found, texts, wanted, strict=True)):
            starts = [0, *itertools.accumulate(len(char.encode()) for char in text)]
            places = [(starts[begin], starts[end]) for begin, end in one.offsets]
            parts = [-1 if part is None else part for part in one.sequence_ids]
            assert row == (i, one.ids, parts, places, one.tokens)
    rows = [one.ids for one in wanted] + [tokenizer(text)["input_ids"] for text in texts] + [[10**6], []]
    for skip in (True, False):
        said, decoded = c.decode(handle, rows, skip)
        assert said == (0, 2**64 - 1, "")
        assert decoded == tokenizer.backend_tokenizer.decode_batch(rows, skip_special_tokens=skip)
    assert c.decode(handle, [[1], [2, -100]], True) == ((1, 1, "the id -100 is none of a tokenizer"), [])
    c.lib.toughen_tokenizer_free(handle)


def test_the_c_interface_from_another_language(installed, exported, monkeypatch):
    monkeypatch.setenv("ORT_LIB", find_library())
    c, handle = C(installed), ctypes.c_void_p()
    code, _, said = c.call("classifier_open", b"/nothing", None, ctypes.byref(handle))
    assert (code, handle.value, "cannot read /nothing/tokenizer.bin" in said) == (3, None, True)
    assert c.call("classifier_open", str(exported).encode(), None, ctypes.byref(handle)) == (0, 2**64 - 1, "")
    known = known_answers(exported)
    (code, _, _), outputs = c.predict(handle, [one["text"].encode() for one in known])
    assert code == 0
    for i, one in enumerate(known):
        assert c.lib.toughen_outputs_rows(outputs, i) == 1
        values = c.lib.toughen_outputs_values(outputs, i, 0)[:2]
        assert values == pytest.approx(list(one["answer"]["probabilities"].values()), rel=0, abs=1e-5)
        count = ctypes.c_size_t()
        chosen = c.lib.toughen_outputs_chosen(outputs, i, 0, ctypes.byref(count))[: count.value]
        assert [c.lib.toughen_classifier_label(handle, label).decode() for label in chosen] == [one["answer"]["label"]]
    c.lib.toughen_outputs_free(outputs)
    said, nothing = c.predict(handle, [b"good", b"bad", b"\xff"])
    assert (said, nothing.value) == ((2, 2, "the text is not UTF-8 (byte 1)"), None)
    c.lib.toughen_classifier_free(handle)


def test_the_program_says_so_where_a_file_is_a_folder(fast_program, tmp_path):
    (tmp_path / "tokenizer.bin").mkdir()
    ran = subprocess.run([fast_program.path, tmp_path, "--ids"], input=b"a\n", capture_output=True)
    assert (ran.returncode, b"Is a directory" in ran.stderr) == (2, True)
    assert json.dumps(ran.stdout.decode()) == '""'
