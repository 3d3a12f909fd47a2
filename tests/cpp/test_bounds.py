"""What goes into the program is bounded in work and memory, and read as Python reads it; wrong files are refused."""

import json
import resource
import struct
import subprocess

import pytest

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from cpp.old_export import change, known_answers, unpack
from cpp.test_tokenizer import folder_of, signed
from deploy.pipelines import PIPELINES, bert
from toughen.deploy.binary import Writer

MANY = 16 * 1024 * 1024 - 64  # bytes, a little below the longest line
MEMORY = 256 * 1024 * 1024


@pytest.fixture
def exported(tmp_path):
    return unpack(tmp_path / "exported")


def bounded(program, *arguments, data):
    """Run without ONNX Runtime in little memory."""

    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))

    return subprocess.run(**program.call(arguments, {}), input=data, capture_output=True, preexec_fn=limit)


def test_an_old_export_is_read_as_it_was(fast_program, exported):
    known = known_answers(exported)
    texts = [one["text"] for one in known]
    assert fast_program.answers(exported, texts, "--ids") == [one["ids"] for one in known]
    for answer, was in zip(fast_program.answers(exported, texts), known, strict=True):
        assert answer["label"] == was["answer"]["label"]
        assert answer["probabilities"] == pytest.approx(was["answer"]["probabilities"], rel=0, abs=1e-5)


@pytest.mark.parametrize("unit", ["good film\n", "好" * 3, "good\u3000", "a,", "\n"])
def test_a_text_is_read_until_its_ids_are_full(fast_program, exported, unit):
    """The whole of it has the ids of its beginning, whatever it consists of."""
    long = unit * (MANY // 2 // len(unit.encode()))
    short = unit * 4000
    lines = [json.dumps(text, ensure_ascii=False) + "\n" for text in (long, short)]
    found = [bounded(fast_program, exported, "--ids", "--json", data=line.encode()) for line in lines]
    if unit in ("good film\n", "好" * 3):
        assert found[0].returncode == 0, found[0].stderr
    assert found[1].returncode == 0
    whole = fast_program.run(exported, "--ids", "--json", data=lines[0].encode())
    assert whole.returncode == 0
    assert whole.stdout == found[1].stdout
    assert len(json.loads(whole.stdout)[0]) == (2 if unit == "\n" else 24)


QUICK = ("bert", "gpt2", "deberta-file")


@pytest.mark.parametrize(
    "name", [*QUICK, *(pytest.param(n, marks=pytest.mark.slow) for n in PIPELINES if n not in QUICK)]
)
def test_a_beginning_decides_as_the_whole_text(fast_program, name, tmp_path):
    """Cutting a long text changes no id: of ugly texts joined by all that words are parted by."""
    if name in ("xlm-r", "deberta-file", "deberta", "albert"):
        pytest.importorskip("sentencepiece", reason="sentencepiece is not installed")
    from deploy.ugly import ugly_strings

    tokenizer = PIPELINES[name]()
    parts = ugly_strings(600, seed=31)
    texts = [joint.join(parts[i : i + 30] + ["的一部", "film"] * 200) for i in range(0, 600, 30) for joint in (" ", "")]
    folder = folder_of(tokenizer, tmp_path, max_length=20)
    wanted = tokenizer(texts, truncation=True, max_length=20)["input_ids"]
    assert fast_program.answers(folder, texts, "--ids") == [[ids] for ids in wanted]
    assert max(map(len, texts)) > 1000
    pairs = [pair for a, b in zip(texts[::2], texts[1::2], strict=True) for pair in ([a, b], [a, "film"], ["film", b])]
    for length in (20, 21):  # halves that are alike, and that are not
        # One by one: the library keeps all that it cuts off, each piece of one text with each piece of the other.
        wanted = [tokenizer(*pair, truncation=True, max_length=length)["input_ids"] for pair in pairs]
        folder = folder_of(tokenizer, tmp_path, max_length=length)
        assert fast_program.answers(folder, pairs, "--ids") == [[ids] for ids in wanted]


def test_json_that_is_no_text_is_refused_before_it_is_built(fast_program, exported):
    line = b"[" + b"0," * (MANY // 2) + b"0]\n"
    ran = bounded(fast_program, exported, "--ids", "--json", data=line)
    assert (ran.returncode, b"something that is no string" in ran.stderr) == (2, True)
    deep = bounded(fast_program, exported, "--ids", "--json", data=b"[" * MANY)
    assert deep.returncode == 2


def tiny_steps(count):
    """Return a payload with so many steps that do nothing."""
    out = Writer()
    out.u32(8, 0)
    out.u8(0, 0, 0, 0, 0, 1)
    out.u32(0, 0, 0, 0)  # padding, no added tokens, no white space
    out.u32(count)
    for _ in range(count):
        out.blob(b"\x01" + struct.pack("<I", 1) + struct.pack("<III", 97, 1, 98))
    return out.finish_bare()


def growing_steps(count):
    """Return a payload whose steps make a thousand characters of one, again and again."""
    out = Writer()
    out.u32(8, 0)
    out.u8(0, 0, 0, 0, 0, 1)
    out.u32(0, 0, 0, 0)
    out.u32(count)
    step = b"\x01" + struct.pack("<III", 1, 97, 1000) + struct.pack("<I", 97) * 1000
    for _ in range(count):
        out.blob(step)
    out.u32(0)
    out.u8(1)
    out.blob("##")
    out.u32(0, 100, 1)
    out.blob("a")
    out.u32(0, 1, 1, 0, 0, 2, 1, 0, 0, 2, 0, 0, 1)
    out.blob("a")
    out.numbers([0])
    return out.finish_bare()


@pytest.mark.parametrize("payload", [tiny_steps(20_000), growing_steps(4)], ids=["many steps", "growing steps"])
def test_a_small_table_cannot_fill_the_memory(fast_program, payload, tmp_path):
    (tmp_path / "tokenizer.bin").write_bytes(signed(payload))
    ran = bounded(fast_program, tmp_path, "--ids", data=b"a\n")
    assert (ran.returncode, b"its content makes no sense" in ran.stderr) == (2, True), ran.stderr


def test_added_tokens_are_found_as_hugging_face_finds_them(fast_program, tmp_path):
    """Of hundreds that begin alike the leftmost and longest; with and without white space beside it."""
    import random

    from tokenizers import AddedToken

    rng = random.Random(4)
    tokenizer = bert()
    words = ["".join(rng.choices("<ab>", k=rng.randint(1, 5))) for _ in range(300)]
    added = [AddedToken(w, lstrip=rng.random() < 0.3, rstrip=rng.random() < 0.3, normalized=False) for w in set(words)]
    tokenizer.add_tokens(sorted(added, key=str))
    texts = ["".join(rng.choices(["<", "a", "b", ">", " ", "film"], k=40)) for _ in range(300)]
    wanted = tokenizer(texts)["input_ids"]
    assert fast_program.answers(folder_of(tokenizer, tmp_path), texts, "--ids") == [[ids] for ids in wanted]


ODD = "good\u2028bad\u0085film\x0bbad\x0cfilm\x1cbad"
LINES = {
    "mark": ("\ufeffgood\nbad\n", ["good", "bad"]),
    "returns": ("good\r\nbad\rgood film", ["good", "bad", "good film"]),
    "empty lines": ("\n\r\n\rgood\n", ["", "", "", "good"]),
    "marks inside": ("good\n\ufeffbad\n", ["good", "\ufeffbad"]),
    "signs that end no line": (f"{ODD}\n", [ODD]),
}


@pytest.mark.parametrize("case", LINES)
def test_lines_end_where_pythons_end(fast_program, exported, case, tmp_path):
    from toughen.data.read.readers import read_lines

    text, lines = LINES[case]
    (tmp_path / "texts.txt").write_bytes(text.encode())
    assert read_lines(tmp_path / "texts.txt", "texts.txt").table["text"].to_pylist() == lines
    found = fast_program.run(exported, "--ids", data=text.encode())
    assert [json.loads(line) for line in found.stdout.splitlines()] == fast_program.answers(exported, lines, "--ids")


def test_each_line_is_answered_before_the_next(fast_program, exported):
    with fast_program.start(exported, "--line-buffered") as running:
        for text in (b"a good film\n", b"a bad film\r", b"\n", b"good\n"):  # the third ends what the second began
            running.stdin.write(text)
            running.stdin.flush()
            if text != b"\n":
                assert running.stdout.readline().startswith(b'{"label": ')
        running.stdin.close()
        assert running.stdout.read() == b""
        assert running.wait() == 0


def test_help_and_version_are_no_errors(fast_program):
    for argument, part in (("--help", b"--line-buffered"), ("-h", b"usage: "), ("--version", b"toughen-cli 0.1.0")):
        ran = fast_program.run(argument)
        assert (ran.returncode, ran.stderr, part in ran.stdout) == (0, b"", True)


WRONG = {
    "activation": "log_softmax_v2",
    "labels": [1, 2],
    "thresholds": ["x"],
    "temperature": 0,
    "task": "tagging",
    "format": 2,
    "pairs": "no",
}


@pytest.mark.parametrize("entry", WRONG)
def test_a_description_that_means_nothing_is_refused(fast_program, exported, entry):
    from toughen.deploy.predictor import load
    from toughen.errors import InputError

    pytest.importorskip("onnx", reason="onnx is not installed")
    change(exported, **{entry: WRONG[entry]})
    assert entry in fast_program.refusal(exported, data=b"a\n")
    with pytest.raises(InputError, match=entry):
        load(exported)


@pytest.mark.parametrize("noted", ["x", {}, {"threshold": None}, {"threshold": "x"}, {"set_threshold": True}])
def test_an_abstention_that_means_nothing_is_refused(fast_program, exported, noted):
    from toughen.deploy.predictor import load
    from toughen.errors import InputError

    pytest.importorskip("onnx", reason="onnx is not installed")
    change(exported, abstention=noted)
    assert "abstention" in fast_program.refusal(exported, data=b"a\n")
    with pytest.raises(InputError, match="abstention"):
        load(exported)


@pytest.mark.parametrize("file", ["tokenizer.bin", "tokenizer.json"])
def test_another_models_tokenizer_is_refused(fast_program, exported, file, tmp_path):
    import hashlib

    from toughen.deploy.predictor import load
    from toughen.errors import InputError

    pytest.importorskip("onnx", reason="onnx is not installed")
    files = [exported / name for name in ("tokenizer.bin", "tokenizer.json")]
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    change(exported, sha256=sums)
    assert fast_program.run(exported, data=b"a\n").returncode == 0
    load(exported)
    change(exported, sha256=sums | {file: "0" * 64})
    if file == "tokenizer.bin":
        assert "is another model's" in fast_program.refusal(exported, data=b"a\n")
        return
    with pytest.raises(InputError, match="another model's"):
        load(exported)


@pytest.mark.parametrize("bias", [float("inf"), float("nan")])
def test_no_answer_is_no_number(fast_program, exported, bias):
    from toughen.deploy.predictor import load
    from toughen.errors import InputError

    pytest.importorskip("onnx", reason="onnx is not installed")
    change(exported, bias=bias)
    said = fast_program.refusal(exported, data=b"a\nb\n")
    assert said.startswith("toughen-cli: line 1: the model's answer is no number")
    with pytest.raises(InputError, match="no number"):
        load(exported).predict(["a"])


def test_a_text_without_tokens_is_named(fast_program, tmp_path):
    """GPT-2's tokenizer makes nothing of an empty text; the model cannot read it, and the program says which it was."""
    from deploy.pipelines import gpt2

    exported = unpack(tmp_path)
    folder_of(gpt2(), exported, max_length=24)
    assert fast_program.refusal(exported, data=b"a good film\n" * 5 + b"\nbad\n") == (
        "toughen-cli: line 6: the text has no tokens, and the model reads at least one"
    )
