"""Other programs' requests are answered in their own form, with the answers of /predict."""

import json

import pytest

pytest.importorskip("fastapi", reason="fastapi is not installed")
pytest.importorskip("uvicorn", reason="uvicorn is not installed")

from serve.fakes import ask, served
from serve.servers import serving
from serve.test_app import sentence

TEXTS = ["a good film", "a bad film"]
INFER, PREDICT = "/v2/models/fake/infer", "/v1/models/fake:predict"


def tensor(data, name="text", **how):
    return {"name": name, "shape": [len(data)], "datatype": "BYTES", "data": data} | how


def infer(model, *columns):
    found = ask(INFER, {"id": "7", "inputs": [tensor(column, f"input-{i}") for i, column in enumerate(columns)]}, model)
    assert found.status_code == 200, found.text
    assert (found.json()["id"], found.json()["model_name"]) == ("7", "fake")
    outputs = {one["name"]: one for one in found.json()["outputs"]}
    (described,) = [ask("/v2/models/fake", model=model, method="GET").json()["outputs"]]
    assert [one["name"] for one in described] == list(outputs)
    for one in described:
        real = outputs[one["name"]]
        assert real["datatype"] == one["datatype"]
        assert [-1, *real["shape"][1:]] == one["shape"]
    return {name: one["data"] for name, one in outputs.items()}


def test_tensors_of_each_task():
    plain = {one["label"]: one["score"] for one in ask("/predict", {"inputs": TEXTS[0]}).json()}
    found = infer(served(), TEXTS)
    assert found["label"] == ["positive", "negative"]
    assert found["probabilities"][:2] == [plain["negative"], plain["positive"]]
    found = infer(served("multi-label"), ["food", "staff room"])
    assert found["predicted"] == [True, False, False, False, True, True]
    assert infer(served("regression"), TEXTS) == {"value": [4.0, 2.0]}
    assert infer(served(pairs=True), ["good", "bad"], ["good", "x"])["label"] == ["positive", "negative"]
    tagged = infer(served("tokens"), TEXTS)["predictions"]
    assert [one["word"] for one in json.loads(tagged[0])] == ["a", "good", "film"]


def test_nested_data_and_shapes():
    nested = tensor([["a good film"], ["a bad film"]], shape=[2, 1])
    assert ask(INFER, {"inputs": [nested]}).json()["outputs"][0]["data"] == ["positive", "negative"]
    said = sentence(ask(INFER, {"inputs": [tensor(TEXTS, shape=[3])]}), 422)
    assert said == "Tensor text has 2 elements, and its shape says 3."


REFUSED = {
    "no tensor": ({"inputs": []}, "inputs has 0 tensors, and this model takes 1"),
    "two": ({"inputs": [tensor(["a"]), tensor(["b"])]}, "inputs has 2 tensors, and this model takes 1"),
    "numbers": ({"inputs": [tensor([1])]}, "Text 1 of inputs is a number"),
    "other type": ({"inputs": [tensor(["a"], datatype="FP32")]}, "inputs.1.datatype must be one of: BYTES"),
    "no shape": ({"inputs": [{"name": "a"}]}, "The body must be a JSON object with inputs, a list of"),
    "empty": ({"inputs": [tensor([])]}, "inputs is an empty list"),
    "text": ({"inputs": "a"}, "inputs must be a list, got a string"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_tensors_are_refused_in_a_sentence(case):
    body, start = REFUSED[case]
    assert sentence(ask(INFER, body), 422).startswith(start)


def test_instances():
    found = ask(PREDICT, {"instances": TEXTS}).json()
    assert found == {"predictions": ask("/predict", {"inputs": TEXTS}).json()}
    pairs = ask(PREDICT, {"instances": [["good", "good"], ["bad", "x"]]}, served(pairs=True)).json()["predictions"]
    assert [one[0]["label"] for one in pairs] == ["positive", "negative"]
    assert sentence(ask(PREDICT, {"instances": ["a", "b"]}, served(pairs=True)), 422).startswith("Text 1 of instances")
    assert sentence(ask(PREDICT, {"inputs": TEXTS}), 422).startswith("The body must be a JSON object with instances")


def test_what_is_asked_before_texts_are():
    def got(path):
        return ask(path, method="GET", token="s3cret", headers={"authorization": "Bearer s3cret"}).json()

    assert got("/v2/health/live") == {"live": True}
    assert got("/v2/health/ready") == {"ready": True}
    assert got("/v2/models/fake/ready") == got("/v1/models/fake") == {"name": "fake", "ready": True}
    assert got("/v1/models") == {"models": ["fake"]}
    assert got("/v2")["name"] == "toughen serve"
    for path in ("/v2/models/other", "/v2/models/other/ready", "/v1/models/other"):
        assert sentence(ask(path, method="GET"), 404).startswith("There is no model of that name here")
    assert ask("/v2/models/other/infer", {"inputs": [tensor(TEXTS)]}).status_code == 404
    for path in ("/v2/health/live", "/v2/health/ready"):
        assert ask(path, method="GET", token="s3cret").status_code == 200
    assert ask("/", {"inputs": "a"}, token="s3cret").status_code == 401, "only the page is open"


def test_the_hosted_form():
    labels = ask("/predict", {"inputs": TEXTS[0]}).json()
    assert ask("/", {"inputs": TEXTS[0]}).json() == [labels]
    assert ask("/", {"inputs": TEXTS, "parameters": {"top_k": 1}}).json()[0] == labels[:1]
    raw = ask("/predict", {"inputs": TEXTS[0], "raw_scores": True}).json()
    assert ask("/", {"inputs": TEXTS[0], "parameters": {"function_to_apply": "none"}}).json() == [raw]
    said = sentence(ask("/", {"inputs": "a", "parameters": {"function_to_apply": "sigmoid"}}), 422)
    assert said.startswith("parameters.function_to_apply is sigmoid, and this model's is softmax")
    assert sentence(ask("/", {"inputs": "a", "parameters": {"top_k": 0}}), 422).startswith("parameters.top_k must be")


def test_the_client_that_people_use_reads_it(monkeypatch):
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with serving(served()) as address:
        client = hub.InferenceClient(model=address, token="none")
        found = client.text_classification(TEXTS[0])
        assert [(one.label, round(one.score, 3)) for one in found] == [("positive", 0.731), ("negative", 0.269)]
        assert [one.label for one in client.text_classification(TEXTS[1], top_k=1)] == ["negative"]


def test_how_many_labels_and_at_which_end():
    assert len(ask("/predict", {"inputs": "food", "top_k": 2}, served("multi-label")).json()) == 2
    assert ask("/predict", {"inputs": "a", "truncation_direction": "right", "top_k": None}).status_code == 200
    said = sentence(ask("/predict", {"inputs": "a", "truncation_direction": "left"}), 422)
    assert said.startswith("truncation_direction is left, and this model cuts at the right")
