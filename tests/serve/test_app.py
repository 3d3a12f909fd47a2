"""Every address answers every task in the agreed form, and refuses everything else in one sentence."""

import asyncio
import json
import logging
import re
from pathlib import Path

import httpx
import numpy as np
import pytest

pytest.importorskip("fastapi", reason="fastapi is not installed")
pytest.importorskip("prometheus_client", reason="prometheus-client is not installed")

from serve.fakes import JSON, ask, client, served
from toughen.serve import Limits


def sentence(response, status, kind="validation"):
    """Check the form of a refusal, and return what it says."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    error = response.json()
    assert set(error) == {"error", "error_type"}
    assert error["error_type"] == kind
    said = error["error"]
    assert said[0].isupper() or said.split()[0].islower()
    assert said.endswith(".")
    assert "\n" not in said
    assert "Traceback" not in said
    return said


def test_one_text_gets_one_list_of_labels():
    (first, second) = ask("/predict", {"inputs": "a good film"}).json()
    assert first == {"label": "positive", "score": pytest.approx(0.731, abs=1e-3)}
    assert second == {"label": "negative", "score": pytest.approx(0.269, abs=1e-3)}
    assert ask("/predict", {"inputs": "a bad film"}).json()[0]["label"] == "negative"


@pytest.mark.parametrize("inputs", [["a good film", "a bad one"], [["a good film"], ["a bad one"]]])
def test_many_texts_get_one_list_each(inputs):
    found = ask("/predict", {"inputs": inputs}).json()
    assert [one[0]["label"] for one in found] == ["positive", "negative"]
    assert len(ask("/predict", {"inputs": inputs[:1]}).json()) == 1
    assert isinstance(ask("/predict", {"inputs": inputs[:1]}).json()[0], list)


def test_raw_scores_are_logits_up_to_a_constant():
    both = [ask("/predict", {"inputs": "good good", "raw_scores": raw}).json() for raw in (False, True)]
    plain, raw = ([one["score"] for one in found] for found in both)
    assert raw[0] - raw[1] == pytest.approx(2.0)
    exponential = np.exp(raw)
    np.testing.assert_allclose(exponential / exponential.sum(), plain)
    food = ask("/predict", {"inputs": "food", "raw_scores": True}, served("multi-label")).json()[0]
    assert food["score"] == pytest.approx(np.log(9))


def test_long_texts_are_cut_or_refused_as_asked():
    long = "good " * 30
    assert ask("/predict", {"inputs": long}).status_code == 200
    said = sentence(ask("/predict", {"inputs": ["good", long], "truncate": False}), 413)
    assert said.startswith("Text 2 of inputs has 32 tokens and the model reads 24")
    assert ask("/predict", {"inputs": "good", "truncate": False}).status_code == 200


def test_every_task_has_its_answer():
    found = ask("/predict", {"inputs": "food and staff"}, served("multi-label")).json()
    assert [(one["label"], one["predicted"]) for one in found] == [("food", True), ("staff", True), ("room", False)]
    assert ask("/predict", {"inputs": "good good"}, served("regression")).json() == [{"label": "stars", "score": 5.0}]
    pairs = served(pairs=True)
    assert ask("/predict", {"inputs": ["good", "good"]}, pairs).json()[0]["score"] == pytest.approx(0.731, abs=1e-3)
    assert len(ask("/predict", {"inputs": [["good", "bad"], ["bad", "x"]]}, pairs).json()) == 2
    tagged = ask("/predict", {"inputs": "a good film"}, served("tokens")).json()
    assert [(one["word"], one["label"]) for one in tagged] == [("a", "O"), ("good", "B-OPINION"), ("film", "O")]
    assert ask("/predict", {"inputs": [["a b", "good"], "bad"]}, served("tokens")).json()[0][0]["word"] == "a b"
    assert ask("/predict", {"inputs": ""}, served("tokens")).json() == []


def test_a_threshold_decides_what_is_predicted():
    found = ask("/predict", {"inputs": "a good film"}, served(thresholds=(0.9,))).json()
    assert [(one["label"], one["predicted"]) for one in found] == [("positive", False), ("negative", True)]


@pytest.mark.parametrize(
    "text", ["", " ", "电影很好 good", "\U0001f600 good", "e\u0301", "\u0000", "\u202egood", "<b>good</b>"]
)
def test_any_text_of_whole_characters_is_answered(text):
    assert ask("/predict", {"inputs": text}).status_code == 200
    assert ask("/explain", {"inputs": text}).status_code == 200
    assert ask("/perturb", {"inputs": text}).status_code == 200


REFUSED = {
    "malformed": (b'{"inputs": "a', 422, "The body is not valid JSON in UTF-8 (line 1"),
    "no JSON": (b"\xff\xfe\x00", 422, "The body is not valid JSON"),
    "empty": (b"", 422, "The body is not valid JSON"),
    "deep": (b"[" * 100_000, 422, "The body is nested too deeply"),
    "list": (b"[]", 422, "The body must be a JSON object with inputs"),
    "no inputs": (b'{"input": "a"}', 422, "The body must be a JSON object with inputs"),
    "empty list": (b'{"inputs": []}', 422, "inputs is an empty list"),
    "null": (b'{"inputs": null}', 422, "Text 1 of inputs is null; inputs must be a string"),
    "number": (b'{"inputs": 3}', 422, "Text 1 of inputs is a number"),
    "number in list": (b'{"inputs": ["a", 3]}', 422, "Text 2 of inputs is a number"),
    "object": (b'{"inputs": [{"text": "a"}]}', 422, "Text 1 of inputs is an object"),
    "pair": (b'{"inputs": [["a", "b"]]}', 422, "Text 1 of inputs is a list of 2 strings"),
    "surrogate": (b'{"inputs": "\\ud800"}', 422, "A text of the body has half of a surrogate pair"),
    "raw_scores": (b'{"inputs": "a", "raw_scores": "yes"}', 422, "raw_scores must be true or false, got a string"),
    "truncate": (b'{"inputs": "a", "truncate": 1}', 422, "truncate must be true or false, got a number"),
    "10k": (json.dumps({"inputs": ["a"] * 10_000}).encode(), 413, "inputs has 10,000 texts and one request may"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_requests_are_refused_in_a_sentence(case):
    body, status, start = REFUSED[case]
    assert sentence(ask("/predict", body), status).startswith(start)


def test_pairs_and_words_are_asked_for_by_models_that_take_them():
    said = sentence(ask("/predict", {"inputs": "a"}, served(pairs=True)), 422)
    assert said.startswith("Text 1 of inputs is one string; this model takes a pair of strings")
    assert "nested" not in sentence(ask("/predict", {"inputs": ["a", "b", "c"]}, served(pairs=True)), 422)
    assert sentence(ask("/explain", {"inputs": "a"}, served("tokens")), 422).startswith("This model tags words")


def test_a_body_that_is_too_large_is_refused_and_never_held():
    sent = 0

    async def endless(total):
        nonlocal sent
        chunk = b"x" * 65536
        while sent < total:
            sent += len(chunk)
            yield chunk

    said = sentence(ask("/predict", b"x" * 3_000_000), 413)
    assert said == "The body is larger than the 2,097,152 bytes taken; send it in parts."

    async def go():
        async with client() as http:
            return await http.post("/predict", content=endless(100 * 2**20), headers=JSON)

    assert sentence(asyncio.run(go()), 413) == said
    assert sent >= 100 * 2**20, "a client that is cut off while it sends cannot read why"


def test_no_body_within_the_time_is_a_refusal():
    async def slow():
        yield b"{"
        await asyncio.sleep(5)
        yield b"}"

    async def go():
        async with client(timeout=0.2) as http:
            return await http.post("/predict", content=slow(), headers=JSON)

    assert sentence(asyncio.run(go()), 408).startswith("The body did not arrive within 0.2 seconds")


def test_what_a_token_opens():
    right = {"authorization": "Bearer s3cret"}
    wrong = [{}, {"authorization": "Bearer wrong"}, {"authorization": "Basic s3cret"}, {"authorization": "s3cret"}]
    for headers in wrong:
        for path in ("/predict", "/explain", "/perturb"):
            refused = ask(path, {"inputs": "a"}, token="s3cret", headers=headers)
            sentence(refused, 401, "unauthorized")
            assert refused.headers["www-authenticate"] == "Bearer"
    for path in ("/metrics", "/info", "/openapi.json"):
        assert ask(path, token="s3cret", method="GET").status_code == 401
        assert ask(path, token="s3cret", method="GET", headers=right).status_code == 200
    for path in ("/", "/healthz", "/readyz", "/health", "/page/page.js", "/page/style.css"):
        assert ask(path, token="s3cret", method="GET").status_code == 200
    assert ask("/predict", {"inputs": "a"}, token="s3cret", headers=right).status_code == 200
    assert "s3cret" not in ask("/", token="s3cret", method="GET").text


def test_a_fault_of_ours_is_logged_and_not_told(caplog):
    with caplog.at_level(logging.ERROR, "toughen.serve"):
        refused = ask("/predict", {"inputs": "crash"})
    assert sentence(refused, 500, "backend") == "The service failed on this request; its log says why."
    assert "secret detail" in caplog.text


def test_unknown_addresses_and_methods():
    assert sentence(ask("/nothing", method="GET"), 404).startswith("There is no GET /nothing")
    refused = ask("/predict", method="GET")
    assert sentence(refused, 405).startswith("There is no GET /predict")
    assert refused.headers["allow"] == "POST"


def test_a_full_queue_says_when_to_come_again_and_recovers():
    async def go():
        model = served()
        async with client(model, max_texts=4, queue=4) as http:
            assert (await http.get("/readyz")).status_code == 200
            model.classifier.gate.clear()
            model.classifier.passes.clear()
            first = asyncio.create_task(http.post("/predict", json={"inputs": "good"}))
            while not model.classifier.passes:
                await asyncio.sleep(0.01)
            second = asyncio.create_task(http.post("/predict", json={"inputs": ["good"] * 4}))
            while (await http.get("/readyz")).status_code == 200:
                await asyncio.sleep(0.01)
            refused = await http.post("/predict", json={"inputs": "good"})
            unready = await http.get("/readyz")
            model.classifier.gate.set()
            statuses = [(await task).status_code for task in (first, second)]
            again = await http.post("/predict", json={"inputs": "good"})
            return refused, unready, statuses, again, (await http.get("/metrics")).text

    refused, unready, statuses, again, metrics = asyncio.run(go())
    assert sentence(refused, 429, "overloaded").startswith("The service is busy and its queue is full")
    assert int(refused.headers["retry-after"]) >= 1
    sentence(unready, 503, "unhealthy")
    assert [*statuses, again.status_code] == [200, 200, 200]
    assert 'toughen_rejected_total{reason="queue full"} 1.0' in metrics


def test_a_late_answer_is_a_refusal_and_its_texts_leave_the_queue():
    async def go():
        model = served()
        async with client(model, timeout=0.3) as http:
            model.classifier.gate.clear()
            model.classifier.passes.clear()
            asked = [http.post("/predict", json={"inputs": text}) for text in ("good one", "good two")]
            late = await asyncio.gather(*asked)
            model.classifier.gate.set()
            assert (await http.post("/predict", json={"inputs": "good three"})).status_code == 200
            return late, model.classifier.passes

    late, passes = asyncio.run(go())
    for refused in late:
        assert sentence(refused, 504, "overloaded").startswith("There was no answer within 0.3 seconds")
    assert len(passes) == 2, "what nobody waits for is not computed"


def test_metrics_count_requests_passes_and_refusals():
    async def go():
        async with client() as http:
            await http.post("/predict", json={"inputs": ["good"] * 3})
            await http.post("/predict", json={"inputs": []})
            await http.get("/no/such/" + "x" * 50)
            return (await http.get("/metrics")).text

    text = asyncio.run(go())
    for line in (
        'toughen_requests_total{path="/predict",status="200"} 1.0',
        'toughen_requests_total{path="/predict",status="422"} 1.0',
        'toughen_requests_total{path="other",status="404"} 1.0',
        'toughen_rejected_total{reason="invalid"} 1.0',
        'toughen_request_seconds_count{path="/predict"} 2.0',
        "toughen_batch_texts_sum 3.0",
        "toughen_batch_tokens_sum 9.0",
        "toughen_queue_texts 0.0",
    ):
        assert line in text, line


def test_openapi_has_the_models_own_answers():
    document = ask("/openapi.json", method="GET").json()
    answers = document["paths"]["/predict"]["post"]["responses"]["200"]["content"]["application/json"]["examples"]
    inputs = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert ask("/predict", {"inputs": inputs["properties"]["inputs"]["example"]}).json() == answers["one"]["value"]
    ours = {"/", "/predict", "/explain", "/perturb", "/healthz", "/readyz", "/metrics", "/info"}
    assert ours == {path for path in document["paths"] if not path.startswith("/v")}
    assert ask("/docs", method="GET").status_code == 404, "its page would load scripts from elsewhere"


def test_info_says_what_is_served():
    found = ask("/info", model=served(pairs=True), method="GET").json()
    assert (found["task"], found["labels"], found["pairs"]) == ("single-label", ["negative", "positive"], True)
    assert (found["max_input_length"], found["max_client_batch_size"]) == (24, 32)


def test_explain_gives_each_word_what_it_did():
    found = ask("/explain", {"inputs": "a good, good film"}).json()
    assert found["label"] == "positive"
    (pieces,) = found["texts"]
    assert "".join(piece["text"] for piece in pieces) == "a good, good film"
    effects = {piece["text"]: piece["effect"] for piece in pieces}
    assert effects["a"] == effects["film"] == 0
    assert effects["good"] > 0.1
    assert effects[", "] is None
    against = ask("/explain", {"inputs": "a good film", "label": "negative"}).json()
    assert against["label"] == "negative"
    assert [piece["effect"] < 0 for piece in against["texts"][0] if piece["text"] == "good"] == [True]
    assert sentence(ask("/explain", {"inputs": "a", "label": "none"}), 422).startswith("The model has no such label")
    assert sentence(ask("/explain", {"inputs": ["a", "b"]}), 422).startswith("This address takes one text")


def test_explain_of_pairs_regression_and_long_texts():
    first, second = ask("/explain", {"inputs": ["so good", "a film"]}, served(pairs=True)).json()["texts"]
    assert next(piece["effect"] for piece in first if piece["text"] == "good") > 0.2
    assert {piece["effect"] for piece in second} == {0, None}
    stars = ask("/explain", {"inputs": "a good film"}, served("regression")).json()
    assert [piece["effect"] for piece in stars["texts"][0]] == [0, None, 1, None, 0]
    model = served()
    (pieces,) = ask("/explain", {"inputs": " ".join(["word"] * 500)}, model).json()["texts"]
    assert 20 < sum(piece["effect"] is not None for piece in pieces) < 32
    assert "".join(piece["text"] for piece in pieces) == " ".join(["word"] * 500)


def test_perturb_is_seeded_and_says_what_changed():
    body = {"inputs": "The navigation was really good and the staff was friendly.", "severity": 4, "seed": 3}
    found = ask("/perturb", body).json()
    assert found == ask("/perturb", body).json()
    assert found["texts"] != ask("/perturb", body | {"seed": 4}).json()["texts"]
    assert len(found["texts"]) > 5
    for one in found["texts"]:
        assert one["inputs"] != body["inputs"]
        assert one["changed"] == (one["predictions"][0]["label"] != found["predictions"][0]["label"])
    assert any(one["changed"] for one in ask("/perturb", body | {"severity": 5}).json()["texts"]), "never seen to move"
    chinese = ask("/perturb", {"inputs": "这家餐厅的服务非常好", "severity": 5}).json()["texts"]
    assert {one["corruption"] for one in chinese} <= {"zh-homophone", "zh-visual", "zh-variant", "zh-symbol"}
    assert chinese
    assert sentence(ask("/perturb", body | {"severity": 6}), 422) == (
        "severity must be a whole number from 1 to 5, got 6."
    )


def test_the_page_speaks_the_readers_language_and_lets_nothing_in():
    page = ask("/", method="GET", headers={"accept-language": "fr, zh-CN;q=0.8, en;q=0.5"})
    assert '<html lang="zh">' in page.text
    assert '<html lang="en">' in ask("/", method="GET").text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    evil = served(labels=("</script><script>alert(1)</script>", "b"))
    assert "<script>alert" not in ask("/", model=evil, method="GET").text
    assert "http" not in ask("/page/page.js", method="GET").text


def test_both_languages_say_the_same_things():
    from toughen.attack.noise.corruptions import CORRUPTIONS
    from toughen.serve import static_files

    words = json.loads((static_files._FOLDER / "words.json").read_text())
    script = (static_files._FOLDER / "page.js").read_text() + (static_files._FOLDER / "index.html").read_text()
    assert set(words["en"]) == set(words["zh"]) >= set(CORRUPTIONS)
    used = {one or two for one, two in re.findall(r'data-say="(\w+)"|say\("(\w+)"', script)}
    assert len(used) > 20
    assert used <= set(words["en"])
    for key, text in words["en"].items():
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", words["zh"][key])), key


def test_clients_that_come_together_get_their_own_answers():
    async def go(**limits):
        model = served()
        async with client(model, queue=1000, **limits) as http:
            texts = ["good " * (i % 5) + "film" for i in range(60)]
            found = await asyncio.gather(*(http.post("/predict", json={"inputs": text}) for text in texts))
            assert max(one.status_code for one in found) == httpx.codes.OK
            for text, one in zip(texts, found, strict=True):
                positive = {label["label"]: label["score"] for label in one.json()}["positive"]
                assert positive == pytest.approx(1 / (1 + np.exp(-text.count("good"))))
            return [len(texts) for texts in model.classifier.passes]

    assert set(asyncio.run(go())) == {1}
    assert max(asyncio.run(go(max_wait_ms=5))) > 1, "nothing was put together"


def test_the_requests_and_defaults_of_the_page_in_the_documents():
    text = (Path(__file__).parents[2] / "docs/serve.md").read_text()
    asked = re.findall(r"^curl localhost:8080(/\S+) --json '(.*)'$", text, re.M)
    assert len(asked) == 6
    model = served()
    model.name = "exported"
    for path, body in asked:
        assert ask(path, body, model).status_code == 200, body
    for path in re.findall(r"^\| `(/\S*)` \|", text, re.M):
        assert ask(path, method="GET").status_code == 200
    limits = Limits()
    for shown in (
        f"| `--max-texts` | {limits.max_texts} texts",
        f"| `--max-body-bytes` | {limits.max_body_bytes // 2**20} MiB",
        f"| `--timeout` | {limits.timeout:g} s",
        f"| `--queue` | {limits.queue} texts",
        f"| `--max-batch-tokens` | {limits.max_batch_tokens} tokens",
        f"| `--max-connections` | {limits.max_connections} open",
        f"within {limits.header_seconds:g} s",
    ):
        assert shown in text
