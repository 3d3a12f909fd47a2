"""The model card: the hub reads it, its numbers are the measured ones, and a card that somebody edited is theirs."""

import json

import pytest
import yaml
from huggingface_hub import ModelCard

from report import made
from toughen.report.card import as_text, is_ours, refresh_card, write_card

pytest.importorskip("jinja2", reason="needs the extra report")


@pytest.fixture
def run(tmp_path):
    return made.run(tmp_path / "run").parent


def test_the_hub_s_own_reader_finds_the_measured_results(run):
    card = ModelCard.load(write_card(run))
    assert (
        card.data.to_dict().items() >= {"library_name": "transformers", "pipeline_tag": "text-classification"}.items()
    )
    assert card.data.base_model == "roberta-base"
    assert {"toughen", "rdrop", "pgd"} <= set(card.data.tags)
    assert card.data.license is None, "the user's to state"
    measured = json.loads((run / "metrics.json").read_text())["test"]
    found = {one.metric_type: one.metric_value for one in card.data.eval_results}
    assert found == {"accuracy": measured["accuracy"], "f1": measured["f1"]}, "an undefined score is not claimed"
    assert {one.dataset_split for one in card.data.eval_results} == {"test"}


def test_a_local_base_model_is_not_claimed_to_be_the_hub_s(tmp_path):
    folder = tmp_path / "private" / "encoder"
    folder.mkdir(parents=True)
    made.run(tmp_path / "run", model=folder)
    card = write_card(tmp_path / "run").read_text()
    assert "base_model" not in yaml.safe_load(card.split("---\n")[1])
    assert "private" not in card, "no path of the machine"
    assert "fine-tuned from encoder on reviews" in card


def test_later_measurements_are_added_with_their_intervals(run):
    text = write_card(run).read_text()
    assert "Not measured yet: `toughen evaluate`" in text
    assert "0.800 (0.738 to 0.853)" in text, "exact interval of the accuracy"
    source = made.evaluation(run / "evaluations/shop", run=run)
    made.attack(run / "attacks/words", run=run)
    refresh_card(source)
    text = write_card(run).read_text()
    assert "0.800 (0.750 to 0.850)" in text
    assert "On “shop”, without a temperature: mean confidence" in text
    assert "“words”, 200 texts: accuracy after 45.0 %." in text


def test_an_edited_card_is_kept(run):
    path = write_card(run)
    assert is_ours(path.read_text())
    edited = path.read_text().replace("pipeline_tag", "license: mit\npipeline_tag")
    path.write_text(edited)
    assert not is_ours(edited)
    assert refresh_card(run) is None
    assert path.read_text() == edited
    assert write_card(run) == path, "a new training has a new card"


def test_what_flatters_is_said(tmp_path):
    made.run(tmp_path / "run", n=20)
    path = tmp_path / "run/metrics.json"
    metrics = json.loads(path.read_text())
    del metrics["test"]
    path.write_text(json.dumps(metrics))
    text = write_card(tmp_path / "run").read_text()
    assert "they flatter the model" in text
    assert "only 20 texts" in text


def test_a_run_without_a_model_of_its_own_has_no_card(tmp_path):
    made.run(tmp_path / "run")
    (tmp_path / "run/model/config.json").unlink()
    assert write_card(tmp_path / "run") is None


@pytest.mark.parametrize(
    "label",
    [
        "<script>alert(1)</script>",
        "![x](http://a/b.png)",
        "[a](b)",
        "a_b_c",
        "**bold**",
        "# head",
        "a | b",
        "&amp;",
        "`x`",
    ],
)
def test_a_label_is_shown_as_it_is_and_never_as_markup(label):
    """As CommonMark renders it: one paragraph of text, whose words are the label's."""
    reader = pytest.importorskip("markdown_it", reason="markdown-it-py is not installed")
    (_, inline, _) = reader.MarkdownIt("commonmark", {"html": True}).parse(f"Labels: {as_text(label)}.")
    assert {child.type for child in inline.children} <= {"text", "text_special"}
    assert "".join(child.content for child in inline.children) == f"Labels: {label}."
