"""What the documents say is true: snippets run, tables match the code, quoted sentences are the real ones."""

import re
import shlex
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader
from transformers import AutoModelForSequenceClassification, AutoTokenizer, TrainingArguments

from contract.table import COMBINATIONS
from data.bad_inputs import BAD_INPUTS
from engine.models import batch, tiny
from tiny import reviews, save_tiny_model, write_csv
from toughen import Engine, Fgm, RDrop, load_recipe, make_average
from toughen.cli import main
from toughen.data import Data, load_splits
from toughen.engine.objectives import single_label
from toughen.errors import InputError
from toughen.recipe.shipped import NAMES

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")])
LABELLED = reviews(40, seed=1)


def runnable(page, language):
    """Return the fenced blocks under `<!-- runnable -->`."""
    return re.findall(rf"<!-- runnable -->\n```{language}\n(.*?)```", (ROOT / page).read_text(), re.S)


def table_rows(text, first):
    """Return the cells of each row of the table whose header starts with ``first``."""
    lines = text[text.index(f"| {first} |") :].splitlines()
    rows = lines[2 : next((i for i, line in enumerate(lines) if not line.startswith("|")), None)]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def desk(model_folder, tmp_path, monkeypatch):
    """An empty folder in which everything that the README names is there, on a small scale."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "roberta-base").symlink_to(model_folder)
    for i, name in enumerate(("reviews.csv", "more.csv", "shop.csv")):
        write_csv(tmp_path / name, reviews(40 if i == 0 else 10, seed=i))
    (tmp_path / "texts.csv").write_text("text\nnot bad at all\na dull film\n")
    return tmp_path


def loop(model_folder):
    """Return the names that a snippet inside a training loop finds around it."""
    model = AutoModelForSequenceClassification.from_pretrained(model_folder, num_labels=2)
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    encoded = [dict(tokenizer(text), labels=int(label == "positive")) for text, label in LABELLED]
    loader = DataLoader(encoded, 8, collate_fn=lambda rows: dict(tokenizer.pad(rows, return_tensors="pt")))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    return {
        "torch": torch,
        "model": model.train(),
        "tokenizer": tokenizer,
        "loader": list(loader),
        "batches": iter(loader),
        "optimizer": optimizer,
        "schedule": torch.optim.lr_scheduler.ConstantLR(optimizer),
        "train_dataset": encoded,
        "validation_dataset": encoded[:8],
        "training_arguments": TrainingArguments(
            "out", max_steps=2, report_to="none", use_cpu=True, dataloader_pin_memory=False, disable_tqdm=True
        ),
        "evaluate": lambda model: None,
    }


def test_the_commands_of_the_readme_run(desk, capsys):
    (block,) = runnable("README.md", "bash")
    for line in block.splitlines():
        assert main(shlex.split(line)[1:]) == 0, line
    assert "roc_auc" in capsys.readouterr().out
    assert len((desk / "labelled.csv").read_text().splitlines()) == 3


def test_the_python_of_the_readme_runs(desk, model_folder, capsys):
    """Each snippet runs; the two in which a loop trains move the weights."""
    call, *loops = runnable("README.md", "python")
    exec(call, {})
    assert (desk / "runs/from-python/metrics.json").exists()
    assert "probabilities" in capsys.readouterr().out
    assert len(loops) == 2
    for snippet in loops:
        around = loop(model_folder)
        before = {name: p.detach().clone() for name, p in around["model"].named_parameters()}
        exec(snippet, around)
        assert any(not torch.equal(p, before[name]) for name, p in around["model"].named_parameters())


def test_the_calls_for_coding_assistants_run(desk):
    around = {}
    for snippet in runnable("docs/assistants.md", "python"):
        exec(snippet, around)
    assert set(around["answers"][0]) >= {"label", "probabilities"}
    assert around["recipe"].adversary == Fgm(radius=0.2)
    assert {"f1", "accuracy"} <= set(around["scores"])
    assert "verdict" in around["again"].metrics


def test_the_commands_on_soft_labels_run(desk, capsys):
    other = {"positive": "negative", "negative": "positive"}
    rows = [(text, label, "" if i % 3 else label, other[label]) for i, (text, label) in enumerate(reviews(40, seed=4))]
    (desk / "votes.csv").write_text("text,ann,ben,cem\n" + "".join(",".join(row) + "\n" for row in rows))
    write_csv(desk / "settled.csv", reviews(10, seed=5))
    (block,) = runnable("docs/data.md", "bash")
    for line in block.splitlines():
        assert main(shlex.split(line)[1:]) == 0, line
    shown = capsys.readouterr()
    assert "votes in 'ann', 'ben', 'cem'" in shown.out + shown.err
    assert "26 rows with a tie" in shown.out


def test_troubleshooting_quotes_what_is_printed():
    """Each piece of the first column stands in a message of the source."""
    printed = "".join(path.read_text() for path in sorted((ROOT / "src/toughen").rglob("*.py")))
    printed = re.sub(r'"\s*\n\s*f?"', "", printed)
    rows = table_rows((ROOT / "docs/troubleshooting.md").read_text(), "you see")
    pieces = [piece for row in rows for piece in re.findall(r"`([^`]+)`", row[0])]
    assert len(pieces) > 12
    assert not [piece for piece in pieces if piece not in printed]


def test_llms_txt_leads_to_pages():
    links = re.findall(r"\]\(([^)]+)\)", (ROOT / "llms.txt").read_text())
    assert len(links) > 15
    assert all((ROOT / link).exists() for link in links)


def test_the_snippets_for_a_loop_of_ones_own_run(model_folder):
    """Read from top to bottom, with the names of the ones before."""
    around = loop(model_folder)
    first, *more = runnable("docs/plain-loop.md", "python")
    exec(first, around)
    around["engine"] = Engine(around["model"], precision="fp16")
    for snippet in more:
        exec(snippet, around)
    assert len(more) == 2
    assert around["engine"].updates == 2
    assert around["average"].updates == len(around["loader"]) + 1


def test_the_snippet_for_a_model_of_ones_own_runs():
    class Lstm(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.emb, self.lstm = torch.nn.Embedding(50, 8), torch.nn.LSTM(8, 8, batch_first=True)
            self.out = torch.nn.Linear(8, 2)

        def forward(self, tokens):
            return self.out(self.lstm(self.emb(tokens))[0].amax(1))

    page = (ROOT / "docs/plain-loop.md").read_text()
    (snippet,) = re.findall(r"<!-- runnable: lstm -->\n```python\n(.*?)```", page, re.S)
    lstm, pairs = Lstm(), [(torch.randint(50, (4, 6)), torch.tensor([0, 1, 0, 1]))] * 2
    before = lstm.emb.weight.detach().clone()
    around = {"lstm": lstm, "pairs": pairs, "Engine": Engine, "Fgm": Fgm}
    around["optimizer"] = torch.optim.SGD(lstm.parameters(), 0.1)
    exec(snippet, around)
    assert around["engine"].updates == 2
    assert not torch.equal(lstm.emb.weight, before)


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().split()) <= 900


def test_make_and_pip_have_what_the_readme_names():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^    make (\w+)", (ROOT / "README.md").read_text(), re.M):
        assert re.search(rf"^{target}:", makefile, re.M)
    assert re.search(r"^tensorboard = ", (ROOT / "pyproject.toml").read_text(), re.M)


@pytest.mark.parametrize("name", NAMES)
def test_passes_and_units_of_the_recipe_table(name):
    """A step of each shipped recipe costs what the page says, counted by the engine."""
    rows = {row[0]: row for row in table_rows((ROOT / "docs/recipes.md").read_text(), "recipe")}
    recipe = load_recipe(name)
    model = tiny("bert", dropout=0.1)
    # SMART's teacher; the soup is no average while training.
    average = make_average(recipe.average, model) if recipe.average == load_recipe("smart").average else None
    with Engine(model, recipe.objective, recipe.adversary, inputs=recipe.inputs, average=average) as engine:
        engine.backward(batch())
    assert rows[f"`{name}`"][2:] == [str(engine.cost.forwards), str(engine.cost.units)]
    assert len(rows) == len(NAMES)


def test_refusals_are_quoted_word_for_word(tmp_path):
    rows = table_rows((ROOT / "docs/data.md").read_text(), "what is wrong")
    assert len(rows) > 20
    for number, (case, sentence) in enumerate(rows):
        bad = BAD_INPUTS[case]
        if bad.env:
            assert all(fragment in sentence for fragment in bad.says)
            continue
        folder = tmp_path / str(number)
        folder.mkdir()
        source, fields = bad.write(folder)
        with pytest.raises(InputError) as caught:
            load_splits(Data(source=source, **fields), seed=0)
        assert str(caught.value).replace(f"{folder}/", "") == sentence


@pytest.mark.parametrize("page", ["docs/distributed.md", "docs/zh/distributed.md"])
def test_whatever_spans_a_micro_batch_is_named_where_processes_are_compared(page):
    text = (ROOT / page).read_text()
    spanning = {part for c in COMBINATIONS if c.spans_rows for part in (c.adversary, c.inputs)}
    names = spanning & {"sam", "asam", "awp", "mixup"}
    assert len(names) == 4
    assert all(f"`{name}`" in text for name in (*names, "adversary.scope: vocabulary"))


def test_label_order_of_the_data_page():
    """Every pair that the page names: the second of the pair is id 0, the first, positive one id 1."""
    text = " ".join((ROOT / "docs/data.md").read_text().split())
    pairs = re.findall(r"`(\w+)` and not `(\w+)`", text)
    assert len(pairs) == 5
    for positive, negative in pairs:
        rows = [(f"text {i}", positive if i % 2 else negative) for i in range(8)]
        assert load_splits(Data(), seed=0, data=rows).label_names == (negative, positive)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        assert target.startswith("https://") or (page.parent / target).exists(), target


@pytest.mark.parametrize(
    "page", [p for p in PAGES if not p.name.startswith("0001")], ids=lambda page: str(page.relative_to(ROOT))
)
def test_settings_exist(page):
    """`slot.field`, with or without `--`, is a setting of that slot in some technique."""
    from toughen.recipe.recipe import Recipe
    from toughen.recipe.slots import hints, techniques

    text = page.read_text()
    for slot, name in re.findall(r"(?<![\w./])(data|objective|adversary|average|training)\.([a-z_]+)\b(?![(.])", text):
        if name not in {"csv", "tsv", "json", "jsonl", "parquet", "xlsx", "md", "py", "step"}:
            known = {field for cls in techniques(Recipe, slot).values() for field in hints(cls)}
            assert name in known, f"{slot}.{name}"


def test_the_table_of_state_names_what_exists():
    """Every `Class.attribute` is set by that class, every file is one that a checkpoint of ours can hold."""
    import inspect

    from toughen.data.batches import LengthBuckets
    from toughen.engine import site, step
    from toughen.huggingface import bridge, checkpoint, trainer
    from toughen.run import Run

    classes = {cls.__name__: cls for cls in (LengthBuckets, Run, Engine, bridge.Bridge, site.Site, step.Step)}
    classes["ToughTrainer"] = trainer.ToughTrainer
    text = (ROOT / "docs/state.md").read_text()
    named = re.findall(r"`(\w+)\.(\w+)`", text)
    found = [(classes[cls], attribute) for cls, attribute in named if cls in classes]
    assert len(found) > 12
    for cls, attribute in found:
        assert hasattr(cls, attribute) or f"self.{attribute}" in inspect.getsource(cls), (cls, attribute)
    files = set(re.findall(r"\*\*`(\w+\.\w+)`\*\*", text))
    assert files == {checkpoint.STATE, checkpoint.RAW, checkpoint.AVERAGE}


def test_forms_of_r_drop_convert_as_the_decision_says():
    """Each row of the table from our loss at its last column's alpha, on the two texts of the page."""
    z = torch.tensor([[[2.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.5, 0.0]]], dtype=torch.float64)

    def ours(alpha):
        return sum(RDrop(alpha=alpha).terms(list(z), single_label(torch.tensor([0, 1]))).values()).mean()

    forms = (lambda a: 2 * ours(a / 2), ours, lambda a: ours(a * 2), lambda a: ours(a / 4))  # 2 texts, 2 classes
    rows = table_rows((ROOT / "docs/decisions/0002-scale-of-r-drop.md").read_text(), "form")
    for form, row in zip(forms, rows, strict=True):
        assert [f"{form(1.0):.6f}", f"{form(5.0):.6f}"] == row[2:4]


def test_the_changelog_speaks_of_this_version():
    import toughen

    text = (ROOT / "CHANGELOG.md").read_text()
    assert f"## [{toughen.__version__}]" in text
