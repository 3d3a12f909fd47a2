"""Who may ask, in which words, and what every answer carries whatever it is."""

import json
import logging

import pytest

pytest.importorskip("fastapi", reason="fastapi is not installed")
pytest.importorskip("prometheus_client", reason="prometheus-client is not installed")

from serve.fakes import ask, served
from toughen.errors import InputError
from toughen.machine.services import is_loopback
from toughen.serve.headers import Origins
from toughen.serve.logs import REQUEST_ID, JsonLines

INPUTS = {"inputs": "a good film"}


def status(headers, origins=None, path="/predict"):
    return ask(path, INPUTS, headers=headers, origins=origins).status_code


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_only_json_is_json(kind):
    refused = ask("/predict", INPUTS, headers={"content-type": kind})
    assert refused.status_code == 415
    assert refused.json()["error"].startswith("The body must be JSON")
    assert status({"content-type": "Application/JSON; charset=utf-8"}) == 200


def test_a_packed_body_is_refused():
    assert status({"content-encoding": "gzip"}) == 415
    assert status({"content-encoding": "identity"}) == 200


def test_a_page_of_another_origin_may_call_only_where_it_is_allowed():
    assert status({"origin": "http://test"}) == status({}) == 200
    foreign = "https://example.org"
    for origin in (foreign, "null", "http://test.example.org", "http://test:8080", ""):
        refused = ask("/predict", INPUTS, headers={"origin": origin})
        assert refused.status_code == 403, origin
        assert "access-control-allow-origin" not in refused.headers
        assert ask("/info", method="GET", headers={"origin": origin}).status_code == 403
    allowed = Origins([foreign])
    answer = ask("/predict", INPUTS, headers={"origin": foreign}, origins=allowed)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, foreign)
    assert answer.headers["vary"] == "Origin"
    asked = ask("/predict", method="OPTIONS", headers={"origin": foreign}, origins=allowed)
    assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (200, foreign)
    assert "content-type" in asked.headers["access-control-allow-headers"]
    assert (
        ask("/predict", method="OPTIONS", headers={"origin": "https://example.com"}, origins=allowed).status_code == 403
    )


def test_the_same_origin_is_the_same_with_its_ports_number_or_without():
    both = {"host": "films.example.org", "origin": "https://films.example.org:443"}
    assert status(both) == 200
    assert status(both | {"host": "films.example.org:8080"}) == 403


def test_a_name_that_was_made_to_point_here_is_refused():
    local = Origins(["https://films.example.org"], local=True)
    for host in ("localhost:8080", "127.0.0.1", "[::1]:8080", "10.0.0.7:80", "films.example.org"):
        assert status({"host": host}, local) == 200, host
    for host in ("evil.example", "localhost.evil.example", "films.example.org.evil.example", "", "[::1"):
        assert status({"host": host}, local) == 421, host
        assert ask("/info", method="GET", headers={"host": host}, origins=local).status_code == 421
        assert status({"host": host}) == 200, "asked for where nobody said that the service is local"
    assert is_loopback("127.0.0.1")
    assert is_loopback("::1")
    assert is_loopback("localhost")
    assert not is_loopback("0.0.0.0")
    assert not is_loopback("example.org")


@pytest.mark.parametrize(
    "wrong", ["example.org", "https://", "https://example.org/", "ftp://example.org", "*", "http://[::1"]
)
def test_what_is_no_origin_is_named(wrong):
    with pytest.raises(InputError, match="is no origin"):
        Origins([wrong])


def test_every_answer_says_how_it_may_be_used():
    for path, method in (("/", "GET"), ("/predict", "POST"), ("/nothing", "GET"), ("/healthz", "GET")):
        headers = ask(path, INPUTS, method=method).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert ask("/predict", INPUTS).headers["cache-control"] == "no-store"


def test_a_request_keeps_its_callers_id_and_gets_one_where_it_has_none():
    ids = [ask("/healthz", method="GET").headers["x-request-id"] for _ in range(2)]
    assert len(set(ids)) == 2
    assert ask("/healthz", method="GET", headers={"x-request-id": "a-1"}).headers["x-request-id"] == "a-1"
    for bad in ("a b", "x" * 200, '"}'):
        assert ask("/healthz", method="GET", headers={"x-request-id": bad}).headers["x-request-id"] != bad


def test_the_log_says_of_which_request_it_speaks(caplog):
    lines = []

    class Kept(logging.Handler):
        def emit(self, record):
            lines.append(json.loads(self.format(record)))

    handler, logger = Kept(), logging.getLogger("toughen.serve")
    handler.setFormatter(JsonLines())
    logger.addHandler(handler)
    access = logging.getLogger("toughen.serve.access")
    access.setLevel(logging.INFO)
    try:
        ask("/predict", {"inputs": "crash"}, headers={"x-request-id": "a-1"})
    finally:
        logger.removeHandler(handler)
        access.setLevel(logging.NOTSET)
    failed, answered = lines
    assert "secret detail" in failed["traceback"]
    assert (answered["method"], answered["path"], answered["status"]) == ("POST", "/predict", 500)
    assert failed["request_id"] == answered["request_id"] == "a-1"
    assert answered["seconds"] > 0
    assert REQUEST_ID.get() is None


def test_a_label_is_text_whatever_it_looks_like():
    labels = ("{{say}}", "{{model}} {{name}} <b>&amp;")
    model = served(labels=labels)
    page = ask("/", model=model, method="GET").text
    (shown,) = [part.split("</script>")[0] for part in page.split('id="model">')[1:]]
    assert json.loads(shown)["labels"] == list(labels)
    assert json.loads(page.split('id="say">')[1].split("</script>")[0])["en"]["ask"] == "Classify"
    assert {one["label"] for one in ask("/predict", INPUTS, model).json()} == set(labels)
