"""A run's model and card go up to a hub: a real server here, which keeps what it is sent."""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import huggingface_hub
import pytest
import yaml

from report import made
from toughen import InputError
from toughen.cli import main
from toughen.report.card import is_ours
from toughen.report.push import push
from toughen.runs.finished import FinishedRun

pytest.importorskip("jinja2", reason="needs the extra report")


class Hub(ThreadingHTTPServer):
    """The part of the hub's interface that an upload asks for."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answers)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.created, self.files, self.summaries, self.status = [], {}, [], 200


class Answers(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        self._reply({"id": "me/reviews", "sha": "0" * 40, "siblings": []})

    def do_POST(self):
        body, hub = self._body(), self.server
        if hub.status != 200:
            self._reply({"error": "no"}, hub.status)
        elif self.path == "/api/repos/create":
            asked = json.loads(body)
            hub.created.append(asked)
            name = f"{asked.get('organization') or 'me'}/{asked['name']}"
            self._reply({"url": f"{hub.url}/{name}", "name": name})
        elif self.path == "/api/validate-yaml":
            assert json.loads(body)["content"].startswith("---\n") or "my own words" in json.loads(body)["content"]
            self._reply({"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            names = [file["path"] for file in json.loads(body)["files"]]
            self._reply({"files": [{"path": n, "uploadMode": "regular", "shouldIgnore": False} for n in names]})
        else:
            assert self.path.startswith("/api/models/me/reviews/commit/")
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "header":
                    hub.summaries.append(line["value"]["summary"])
                else:
                    hub.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            self._reply({"success": True, "commitUrl": f"{hub.url}/me/reviews/commit/1", "commitOid": "1" * 40})

    def _body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers["Content-Length"]))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _reply(self, content, status=200):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def hub(monkeypatch):
    server = Hub()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    point_to(monkeypatch, server.url)
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def point_to(monkeypatch, url, *, offline=False):
    """Do in this process what the environment variables do in a new one."""
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", url)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", offline)
    monkeypatch.setenv("HF_TOKEN", "hf_token")


@pytest.fixture
def run(tmp_path):
    path = made.run(tmp_path / "reviews").parent
    (path / "model/model.safetensors").write_bytes(b"weights")
    (path / "model/.cache").write_text("not to be shown")
    config = json.loads((path / "model/config.json").read_text())
    config["id2label"] = {"0": "<img src=x>", "1": "[good](http://x)"}
    (path / "model/config.json").write_text(json.dumps(config))
    return path


def test_the_model_goes_up_with_its_card(run, hub, capsys):
    assert main(["push", str(run), "me/reviews", "--private", "--message", "First", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["repository"] == "me/reviews"
    assert shown["url"] == f"{hub.url}/me/reviews"
    (asked,) = hub.created
    assert (asked["organization"], asked["name"]) == ("me", "reviews")
    assert asked.get("private") or asked.get("visibility") == "private"  # by the version of the hub's library
    assert hub.summaries == ["First"]
    assert FinishedRun.open(run), "nothing is damaged by the card"
    assert hub.files.keys() == set(shown["files"])
    assert {name: hub.files[name] for name in hub.files} == {
        path.name: path.read_bytes() for path in (run / "model").iterdir() if path.name != ".cache"
    }
    card = hub.files["README.md"].decode()
    assert is_ours(card)
    assert yaml.safe_load(card.split("---\n")[1])["library_name"] == "transformers"
    assert r"\<img src=x\>" in card
    assert r"\[good\](http://x)" in card


def test_a_name_alone_is_under_ones_own_account_and_an_edited_card_goes_up_as_it_is(run, hub):
    (run / "model/README.md").write_text("my own words")
    pushed = push(run, "reviews")
    assert pushed.repository == "me/reviews"
    assert hub.files["README.md"] == b"my own words"
    assert hub.summaries == ["Upload reviews"]


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (401, "log in with hf auth login"),
        (403, "log in with hf auth login"),
        (404, "no such owner"),
        (400, "answered 400"),
    ],
)
def test_what_the_hub_refuses_is_one_sentence(run, hub, capsys, status, says):
    hub.status = status
    assert main(["push", str(run), "me/reviews"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert says in told
    assert hub.url in told


def test_a_hub_that_nobody_reaches_and_names_that_are_none(run, hub, monkeypatch):
    with pytest.raises(InputError, match="is no name of a repository"):
        push(run, "me/reviews/model")
    point_to(monkeypatch, "http://127.0.0.1:9")
    with pytest.raises(InputError, match=r"the hub at http://127\.0\.0\.1:9 cannot be reached"):
        push(run, "me/reviews")
    point_to(monkeypatch, hub.url, offline=True)
    with pytest.raises(InputError, match="HF_HUB_OFFLINE"):
        push(run, "me/reviews")
    assert hub.files == {}


def test_a_run_without_a_model_of_its_own_is_refused(run, hub):
    (run / "model/config.json").unlink()
    with pytest.raises(InputError, match="has no model of its own"):
        push(run, "me/reviews")
    assert hub.created == []
