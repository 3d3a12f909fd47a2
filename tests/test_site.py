"""The documents as a site: it builds strictly in both languages, and the reference names all that is public."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DIRECTIVE = re.compile(r"^::: ([\w.]+)$", re.M)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    if missing := [name for name in ("material", "mkdocstrings", "jieba") if not importlib.util.find_spec(name)]:
        pytest.skip(f"{missing[0]} is not installed: pip install 'toughen[docs]'")
    folder = tmp_path_factory.mktemp("site")
    # Without a proxy that leads anywhere: what asks the network fails.
    offline = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | offline | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_is_there_in_its_language(site):
    for page in ROOT.glob("docs/**/*.md"):
        place = page.relative_to(ROOT / "docs").with_suffix("")
        html = site / (place.parent if place.name == "README" else place) / "index.html"
        language = "zh" if place.parts[0] == "zh" else "en"
        assert f'<html lang="{language}"' in html.read_text(), page
    assert "Two commands" in (site / "index.html").read_text()


def test_a_page_and_its_translation_lead_to_each_other(site):
    def way(page, language):
        return re.search(rf'<a href="([^"]+)" hreflang="{language}"', (site / page / "index.html").read_text())[1]

    assert way("try", "zh") == "../zh/try/"
    assert way("zh/try", "en") == "../../try/"
    assert way("techniques/ema", "zh") == "../../zh/"  # the cards are in English only


def test_pages_load_nothing_from_elsewhere(site):
    for page in site.rglob("*.html"):
        loaded = re.findall(
            r'<(?:script|img|link rel="stylesheet")[^>]*(?:src|href)="(https?:[^"]+)"', page.read_text()
        )
        assert not loaded, page


def test_a_program_that_a_page_links_to_is_in_the_site(site):
    assert 'href="../repository/examples/plain_loop.py/"' in (site / "plain-loop/index.html").read_text()
    assert "engine" in (site / "repository/examples/plain_loop.py/index.html").read_text()


def test_the_docstrings_are_in_the_reference(site):
    html = (site / "reference/engine/index.html").read_text()
    assert 'id="toughen.Engine.backward"' in html
    assert "Add the gradient of sum_i w_i loss_i" in html
    assert ":meth:" not in html


def test_a_setting_is_shown_with_its_default_and_its_help(site):
    text = re.sub(r"<[^>]+>", "", (site / "reference/techniques/index.html").read_text())
    assert "dropout_samples: int = 1" in " ".join(text.split())
    assert "share of the target spread evenly over all classes" in text
    assert "setting(" not in text


def test_every_page_stands_in_the_navigation():
    """A new page goes into mkdocs.yml, a new decision into its list too."""
    listed = re.findall(r"[\w./-]+\.md", (ROOT / "mkdocs.yml").read_text())
    pages = {str(page.relative_to(ROOT / "docs")) for page in ROOT.glob("docs/**/*.md")}
    assert set(listed) == pages | {"README.md"}
    assert len(listed) == len(set(listed))
    decisions = re.findall(r"\]\((\d{4}-[^)]+)\)", (ROOT / "docs/decisions/README.md").read_text())
    assert sorted(decisions) == sorted(page.name for page in ROOT.glob("docs/decisions/[0-9]*.md"))


def test_the_reference_names_all_that_is_public():
    """Every name that a stub exports has its place, once; no place is for a name that is gone."""
    named = [name for page in ROOT.glob("docs/reference/*.md") for name in DIRECTIVE.findall(page.read_text())]
    assert len(named) == len(set(named))
    top = exported("")
    # What a folder exports once more (toughen.data.Data) stands under toughen.
    below = {f"{room}.{name}" for room in ("data", "attack", "serve") for name in exported(room) - top}
    assert set(named) == {f"toughen.{name}" for name in top | below}


def exported(room):
    stub = ROOT / "src/toughen" / room / "__init__.pyi"
    return set(re.findall(r" as (\w+)$", stub.read_text(), re.M))
