"""What a request costs is bounded, whatever its bytes are, and stops when nobody waits for it."""

import asyncio
import threading

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="fastapi is not installed")
pytest.importorskip("prometheus_client", reason="prometheus-client is not installed")

from serve.fakes import FakeClassifier, ask, client, served
from serve.test_app import sentence
from toughen.errors import InputError
from toughen.serve import Limits, Served, explain, make_app
from toughen.serve.batching import Batcher, Rate
from toughen.serve.meters import Meters
from toughen.serve.model import UnwantedError
from toughen.serve.refusals import Refusal

LONG = "good bad film " * 120_000  # 1.7 MB


@pytest.mark.parametrize("path", ["/predict", "/explain", "/perturb"])
def test_nothing_is_made_of_the_end_of_a_text_that_is_not_read(path):
    model = served()
    found = ask(path, {"inputs": LONG}, model)
    assert found.status_code == 200
    made = [text for texts in model.classifier.passes for text in texts]
    assert max(map(len, made)) < 24 * 8 * 4
    if path == "/explain":
        (pieces,) = found.json()["texts"]
        assert "".join(piece["text"] for piece in pieces) == LONG
        assert len([piece for piece in pieces if piece["effect"] is not None]) > 20


def test_texts_that_are_made_have_a_budget_together():
    def texts(**limits):
        model = served()
        assert ask("/explain", {"inputs": "good " * 24}, model, limits=limits).status_code == 200
        return max(map(len, model.classifier.passes))

    assert texts() > 20
    assert texts(max_batch_tokens=24) <= 9
    said = sentence(ask("/perturb", {"inputs": "good " * 24}, limits={"max_batch_tokens": 24}), 413)
    assert said.startswith("The text has about 24 tokens")


def test_a_label_that_is_not_there_costs_nothing():
    def passes(label):
        model = served()
        ask("/explain", {"inputs": "xylophone", "label": label}, model)
        return [texts for texts in model.classifier.passes if "xylophone" in texts]

    assert passes("positive")
    assert not passes("none")


def test_what_has_hardly_any_tokens_is_refused_where_texts_are_made_of_it():
    for path in ("/explain", "/perturb"):
        assert sentence(ask(path, {"inputs": "x" * 500_000}), 413).startswith("Text 1 of inputs has 500,000 characters")


def test_texts_are_made_beside_the_loop_and_no_more_when_nobody_waits(monkeypatch):
    seen, going = [], threading.Event()

    def corruption(text, *, severity, seed):
        seen.append(threading.current_thread().name)
        assert going.wait(20)
        return text + "!"

    corruption.name = "slow"
    monkeypatch.setattr(explain, "corruptions_for", lambda _: [corruption] * 3)

    async def go():
        async with client(timeout=0.5) as http:
            late = asyncio.create_task(http.post("/perturb", json={"inputs": "good"}))
            while not seen:
                await asyncio.sleep(0.01)
            assert (await http.get("/healthz")).status_code == 200
            status = (await late).status_code
            going.set()
            again = await http.post("/perturb", json={"inputs": "good"})
            return status, again.status_code

    assert asyncio.run(go()) == (504, 200)
    assert len(seen) == 1 + 3, "a text was made for nobody"
    assert set(seen) == {"make_0"}


def test_a_client_that_leaves_takes_its_texts_along():
    async def go():
        model = served()
        async with client(model) as http:
            model.classifier.gate.clear()
            model.classifier.passes.clear()
            first = asyncio.create_task(http.post("/predict", json={"inputs": "good one"}))
            while not model.classifier.passes:
                await asyncio.sleep(0.01)
            left = [asyncio.create_task(http.post("/predict", json={"inputs": f"bad {i}"})) for i in range(5)]
            while "toughen_queue_texts 5.0" not in (await http.get("/metrics")).text:
                await asyncio.sleep(0.01)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
            model.classifier.gate.set()
            assert (await first).status_code == 200
            return model.classifier.passes

    assert asyncio.run(go()) == [["good one"]]


def test_a_pass_over_many_windows_ends_when_nobody_waits():
    class Windows(FakeClassifier):
        def outputs_of(self, columns, batch_size, progress):
            for _ in range(50):
                self.passes.append(None)
                progress(0)
            return super().outputs_of(columns, batch_size, progress)

    model = Served(Windows(), "fake", "none")
    with pytest.raises(UnwantedError):
        model.outputs(model.encode(["good"]), 1, wanted=lambda: len(model.classifier.passes) < 3)
    assert len(model.classifier.passes) == 3


def queue(seconds_per_token, **limits):
    """Return a queue whose passes are noted, and at what a token takes so long."""
    passes = []

    def run(texts, wanted):
        passes.append(list(texts))
        return [np.zeros(1)] * len(texts)

    rate = Rate((1, seconds_per_token), (1000, 1000 * seconds_per_token))
    return Batcher(run, Limits(**{"timeout": 10} | limits), Meters(), rate), passes


def test_a_pass_has_a_price_and_a_token_has_one_and_slow_times_raise_both():
    rate = Rate((10, 0.5), (110, 1.5))
    assert rate.seconds(1, 10) == pytest.approx(0.5)
    assert rate.seconds(2, 1000) == pytest.approx(2 * 0.4 + 10)
    for _ in range(3):
        rate.note(1.0, 10)  # twice what it took
    assert rate.seconds(2, 1000) == pytest.approx(2 * (2 * 0.4 + 10))
    noisy = Rate((10, 0.5), (20, 0.4))
    assert noisy.seconds(1, 20) == pytest.approx(0.4)
    assert Rate().seconds(5, 1000) == 0


def test_what_cannot_be_answered_in_time_is_not_taken():
    async def go():
        batcher, passes = queue(0.01)
        with pytest.raises(Refusal, match="would take about 6 seconds for this, and 5 are what") as alone:
            await batcher.submit(["long"], [600])
        with batcher.reserve_room(1, 300), pytest.raises(Refusal, match="busy") as together:
            await batcher.submit(["long"], [300])
        batcher.start()
        await batcher.submit(["long"], [300])
        await batcher.close()
        return alone.value.status, together.value.status, together.value.headers, passes

    alone, together, headers, passes = asyncio.run(go())
    assert (alone, together) == (413, 429)
    assert int(headers["retry-after"]) == 3
    assert passes == [["long"]]


def test_slow_times_do_not_close_the_service_for_ever():
    async def go():
        batcher, passes = queue(0.001)
        batcher._rate.note(1000.0, 1)  # the process slept
        batcher.start()
        with batcher.reserve_room(1, 10), pytest.raises(Refusal, match="busy"):
            await batcher.submit(["a"], [10])
        await batcher.submit(["b"], [10])
        for _ in range(200):
            batcher._rate.note(0.001, 1)
        with batcher.reserve_room(1, 10):
            await batcher.submit(["c"], [10])
        await batcher.close()
        return passes

    assert asyncio.run(go()) == [["b"], ["c"]]


def test_a_short_request_goes_before_a_long_one_and_a_long_one_is_not_put_off_for_ever():
    async def go():
        batcher, passes = queue(0.001)
        long = asyncio.create_task(batcher.submit(["long"], [3000]))
        await asyncio.sleep(0)
        short = [asyncio.create_task(batcher.submit([f"short {i}"], [10])) for i in range(3)]
        await asyncio.sleep(0)
        for item in batcher._queue:
            if item.text == "short 2":
                item.request.turn += 3.5  # it came so much later
        batcher.start()
        await asyncio.gather(long, *short)
        await batcher.close()
        return passes

    assert asyncio.run(go()) == [["short 0"], ["short 1"], ["long"], ["short 2"]]


def test_long_bodies_together_have_a_bound():
    async def go():
        async with client(max_body_bytes=100_000) as http:
            gate = asyncio.Event()

            async def half():
                yield b"x" * 90_000
                await gate.wait()

            headers = {"content-type": "application/json"}
            held = [asyncio.create_task(http.post("/predict", content=half(), headers=headers)) for _ in range(40)]
            await asyncio.sleep(0.2)
            short = await http.post("/predict", json={"inputs": "good"})
            gate.set()
            return short.status_code, [(await task).status_code for task in held]

    short, statuses = asyncio.run(go())
    assert short == 200
    assert set(statuses) == {422, 429}
    assert statuses.count(422) <= 100_000 * 32 // 90_000 + 1


def test_a_model_whose_numbers_are_none_is_not_served():
    broken = FakeClassifier()
    broken.outputs_of = lambda columns, batch_size, progress: np.full((len(columns["text"]), 2), np.nan)
    with pytest.raises(InputError, match="is not a number, so its weights are damaged or too large"):
        make_app(Served(broken, "fake", "none"))


def test_a_text_for_which_the_model_has_no_number_is_named():
    model = served()
    real = model.classifier._row
    model.classifier._row = lambda text: np.full(2, np.inf) if "overflow" in text else real(text)
    said = sentence(ask("/predict", {"inputs": ["good", "overflow"]}, model), 424, "backend")
    assert said == "The model's output for text 2 is not a number; leave it out."
