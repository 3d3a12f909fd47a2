"""A service over HTTP is attacked as the run that it serves is, no faster than said; other answers are refused."""

import json
import re
import shlex
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import toughen
from tiny import reviews, save_tiny_model, write_csv
from toughen.attack import Endpoint, attack, noise_curve
from toughen.cli import main
from toughen.data.read.chunks import as_dataset
from toughen.errors import InputError

PAGE = Path(__file__).parents[2] / "docs/attacks.md"
TRAINING = {"max_steps": 60, "batch_size": 16, "max_length": 32, "learning_rate": 3e-3}
pytestmark = pytest.mark.filterwarnings("ignore:training accuracy .* sat at the majority rate:UserWarning")


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("desk")
    write_csv(folder / "test.csv", reviews(24, seed=5))
    data = {"train": reviews(96, 1), "validation": reviews(24, 2)}
    model = save_tiny_model(folder / "model")
    toughen.train(data, model=model, recipe="plain", output=folder / "run", quiet=True, training=TRAINING, probe=False)
    return folder


@pytest.fixture(scope="module")
def service(desk):
    """The address of `toughen serve`'s application, in front of the run's own model."""
    pytest.importorskip("uvicorn", reason="uvicorn is not installed")
    from serve.servers import serving
    from toughen.serve.model import open_model

    with serving(open_model(desk / "run")) as address:
        yield address


@contextmanager
def answering(*answers):
    """Serve prepared answers (status, body, headers), the last again and again; yields the address and the bodies."""
    left, seen = list(answers), []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            seen.append(
                (time.monotonic(), json.loads(self.rfile.read(int(self.headers["Content-Length"]))), self.headers)
            )
            status, body, headers = left.pop(0) if len(left) > 1 else left[0]
            if callable(body):
                body = body(seen[-1][1])
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/predict", seen
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


def scores(**labels):
    return [{"label": name, "score": p} for name, p in labels.items()]


def fair(body):
    return [scores(no=0.25, yes=0.75) for _ in body["inputs"]]


OK = (200, fair, {})


def dataset(*texts):
    import pyarrow as pa

    return as_dataset(pa.table({"text": list(texts)}))


@pytest.mark.parametrize("path", ["predict", ""])
def test_a_service_is_attacked_as_its_run_is(desk, service, path):
    endpoint = Endpoint(service + path)
    assert endpoint.shape == ("tei" if path else "hosted")
    assert endpoint.label_names == ("negative", "positive")
    given = {"limit": 16, "seed": 3, "budget": 60}
    theirs = attack(endpoint, desk / "test.csv", "deepwordbug", batch_size=8, **given)
    ours = attack(desk / "run", desk / "test.csv", "deepwordbug", **given)
    assert theirs.fooled > 0
    # Misspelt words are one unknown word to this model: they tie, and rounding settles ties, so queries may differ.
    one, other = (
        [(text.row, text.before, text.status, text.after) for text in found.outcomes] for found in (theirs, ours)
    )
    assert one == other


def test_noise_over_http_is_the_noise_of_the_run(desk, service):
    given = {"corruptions": ["swap"], "limit": 16, "samples": 10}
    assert noise_curve(Endpoint(service), desk / "test.csv", **given).points == (
        noise_curve(desk / "run", desk / "test.csv", **given).points
    )


def test_the_command_writes_results_and_a_report(desk, service, tmp_path, capsys):
    command = ["attack", service + "predict", "--data", str(desk / "test.csv"), "--attack", "deepwordbug"]
    assert main([*command, "--limit", "8", "--budget", "30", "--output", str(tmp_path / "out")]) == 0
    saved = json.loads((tmp_path / "out/attack.json").read_text())
    assert saved["run"] == service + "predict"
    assert "accuracy after" in " ".join(capsys.readouterr().out.split())
    pytest.importorskip("matplotlib", reason="needs the extra report")
    assert service + "predict" in (tmp_path / "out/report.html").read_text()


REFUSED = {
    "gradient": (["--attack", "hotflip"], "--attack hotflip takes the gradient, which no service answers"),
    "embeddings": (["--attack", "pgd"], "--attack pgd takes the gradient"),
    "standard": (["--standard"], "--standard takes the gradient"),
    "certify": (["--certify"], "--certify is for runs"),
    "neighbours": (["--attack", "textfooler"], "give a neighbour list"),
    "precision": (["--attack", "deepwordbug", "--precision", "bf16"], "needs a classifier that shows its model"),
    "shape": (["--noise", "--shape", "json"], "shape must be tei or hosted, got 'json'"),
    "timeout": (["--noise", "--timeout", "0"], "timeout must be above 0, got 0.0"),
    "rate": (["--noise", "--requests-per-second", "-1"], "requests_per_second must be above 0"),
    "token": (["--noise", "--token", "NOWHERE"], "--token NOWHERE is neither an environment variable nor a file"),
}


@pytest.mark.parametrize(("more", "sentence"), REFUSED.values(), ids=REFUSED)
def test_what_no_service_answers_is_refused(desk, service, tmp_path, capsys, more, sentence):
    command = [
        "attack",
        service + "predict",
        "--data",
        str(desk / "test.csv"),
        "--output",
        str(tmp_path / "out"),
        *more,
    ]
    assert main(command) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_options_of_a_url_belong_to_one_and_its_results_need_a_folder(desk, service, capsys):
    data = ["--data", str(desk / "test.csv"), "--noise"]
    assert main(["attack", str(desk / "run"), *data, "--shape", "tei"]) == 2
    assert "--shape is for a URL" in capsys.readouterr().err
    assert main(["attack", service, *data]) == 2
    assert "name one with --output DIR" in capsys.readouterr().err


ADDRESSES = {
    "http://": "http:// is no address",
    "ftp://127.0.0.1/": "is no address",
    "http://127.0.0.1:x/": "is no address",
    "http://me:secret@127.0.0.1/": "the address holds a name or password",
    "https://models.example.org/predict": "models.example.org is another machine: say how many requests per second",
    "http://127.0.0.1:9/predict": "cannot be reached (ConnectError",
}


@pytest.mark.parametrize(("url", "sentence"), ADDRESSES.items(), ids=ADDRESSES)
def test_an_address_that_will_not_do_is_refused(url, sentence):
    with pytest.raises(InputError) as caught:
        Endpoint(url)
    assert sentence in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_token_is_not_sent_in_the_open_to_another_machine():
    with pytest.raises(InputError, match="for everybody to read; use https"):
        Endpoint("http://models.example.org/", token="t", requests_per_second=1)


ANSWERS = {
    "no JSON": ((200, b"<html>", {}), "the answer is not JSON"),
    "no list": ((200, {"label": "yes"}, {}), "1 texts were sent, and the answer is not a list of as many"),
    "other keys": ((200, [[{"name": "yes"}]], {}), "a text's answer is not a list of {label, score}"),
    "flat": ((200, scores(yes=1.0), {}), "a text's answer is not a list of {label, score}"),
    "first label alone": ((200, [scores(yes=0.9)], {}), "a text gets 1 label, and an attack needs the probability of"),
    "raw scores": ((200, [scores(yes=3.1, no=-2.0)], {}), "the scores of a text sum to 1.1"),
    "several labels": ((200, [scores(yes=0.9, no=0.8)], {}), "the scores of a text sum to 1.7"),
    "no number": ((200, [scores(yes=float("nan"), no=0.5)], {}), "the scores of a text sum to nan"),
    "no such page": ((404, b"not here", {}), "answered 404: not here"),
    "no token": ((401, b"", {}), "refuses who asks (401); name its token with --token"),
    "elsewhere": ((307, b"", {"Location": "http://example.org/"}), "leads elsewhere (307)"),
}


@pytest.mark.parametrize(("answer", "sentence"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer_of_another_shape_is_refused(answer, sentence):
    with answering(answer) as (address, _), pytest.raises(InputError) as caught:
        Endpoint(address)
    assert sentence in str(caught.value)
    assert str(caught.value).startswith(address)


def test_labels_that_change_are_refused():
    with answering(OK, (200, [scores(yes=0.5, maybe=0.5)], {})) as (address, _):
        endpoint = Endpoint(address)
        with pytest.raises(InputError, match="one text gets the labels no, yes, another maybe, yes"):
            endpoint.probabilities(dataset("a"))


def test_bodies_batches_and_token_are_what_each_shape_takes():
    with answering(OK) as (address, seen):
        endpoint = Endpoint(address, token="secret")
        assert endpoint.probabilities(dataset("a", "b", "c"), batch_size=2).tolist() == [[0.25, 0.75]] * 3
        Endpoint(address, shape="hosted").probabilities(dataset("a", "b"))
    bodies = [body for _, body, _ in seen]
    assert [body["inputs"] for body in bodies[1:3]] == [[["a"], ["b"]], [["c"]]]
    assert bodies[4] == {"inputs": ["a", "b"], "parameters": {"top_k": 10_000}}
    assert seen[0][2]["Authorization"] == "Bearer secret"
    assert "Authorization" not in seen[3][2]


def test_no_more_requests_are_sent_than_stated():
    with answering(OK) as (address, seen):
        endpoint = Endpoint(address, requests_per_second=20)
        endpoint.probabilities(dataset(*"abcde"), batch_size=1)
        assert endpoint.requests == 6
    times = [when for when, _, _ in seen]
    assert times[-1] - times[0] >= 5 / 20 - 0.02


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_service_is_asked_again_when_it_says(status):
    with answering((status, b"", {"Retry-After": "0.2"}), OK) as (address, seen):
        assert Endpoint(address).label_names == ("no", "yes")
    assert len(seen) == 2
    assert seen[1][0] - seen[0][0] >= 0.2


def test_a_service_that_stays_busy_is_given_up():
    with answering((503, b"", {"Retry-After": "0"})) as (address, seen):
        with pytest.raises(InputError, match="answered 503 6 times: it is busy"):
            Endpoint(address)
        assert len(seen) == 6


def test_a_service_that_does_not_answer_in_time_is_refused():
    def late(_):
        time.sleep(0.5)
        return []

    with answering((200, late, {})) as (address, _), pytest.raises(InputError, match=r"did not answer within 0\.1 s"):
        Endpoint(address, timeout=0.1)


def test_the_commands_of_the_page_run(desk, service, tmp_path, monkeypatch):
    (block,) = re.findall(r"<!-- serving -->\n```bash\n(.*?)```", PAGE.read_text(), re.S)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "test.csv").write_text((desk / "test.csv").read_text())
    for line in block.splitlines():
        assert main(shlex.split(line.replace("http://127.0.0.1:8080/", service))[1:]) == 0, line
    assert {path.name for path in tmp_path.iterdir()} >= {"found", "noise"}
