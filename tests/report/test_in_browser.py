"""Reports in headless Chromium, light on a desktop, dark on a phone: axe-core finds nothing serious, nothing is cut."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from report import made
from toughen.report.write import write_report

pytest.importorskip("matplotlib", reason="needs the extra report")
MODULES = Path(__file__).parents[2] / "build/browser/node_modules"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MISSING = [
    name
    for name, there in {
        "chromium": CHROMIUM,
        "node": shutil.which("node"),
        "axe-core": (MODULES / "axe-core/axe.min.js").exists(),
        "playwright-core": (MODULES / "playwright-core").is_dir(),
    }.items()
    if not there
]
pytestmark = pytest.mark.skipif(
    bool(MISSING), reason=f"not installed: {', '.join(MISSING)}; see scripts/system-packages.sh"
)
SERIOUS = {"serious", "critical"}
BAD = """<!doctype html><html><head><title>x</title></head><body><main style="width:2000px">
<h1>x</h1><p style="color:#999;background:#fff">pale</p><img src="data:,"></main></body></html>"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    files = [folder / "canary.html"]
    files[0].write_text(BAD)
    for kind in ("run", "evaluation", "noise", "attack", "comparison", "ablation", "search"):
        if kind != "run":
            (folder / kind).mkdir()
        made.KINDS[kind](folder / kind)
        files.append(write_report(folder / kind, folder / f"{kind}.html"))
    script = Path(__file__).with_name("browser.mjs")
    command = ["node", script, MODULES, CHROMIUM, *files]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=540, check=True)
    return json.loads(done.stdout)


def test_there_is_no_serious_violation(found):
    pages = [one for one in found if one["file"] != "canary.html"]
    assert len(pages) == 14
    assert all(one["passes"] > 20 for one in pages), "axe looked at it"
    assert [(one["file"], v) for one in pages for v in one["violations"] if v["impact"] in SERIOUS] == []


def test_no_page_scrolls_sideways_or_asks_the_network(found):
    pages = [one for one in found if one["file"] != "canary.html"]
    assert [(one["file"], one["width"], one["wide"]) for one in pages if one["wide"] > 0] == []
    assert {one["requests"] for one in pages} == {1}, "the file itself"


def test_a_wide_table_scrolls_inside_its_box_and_shows_it(found):
    """The shade lies still while the cover moves with the table: it is seen where there is more."""
    wide = {one["width"]: one["tables"] for one in found if one["file"] == "comparison.html"}
    assert wide[390], "canary: a phone is too narrow for it"
    assert wide[1280] == []
    every = [table for one in found for table in one["tables"]]
    assert {(table["inside"], table["scrolls"]) for table in every} == {(True, "auto")}
    assert {table["shades"] for table in every} == {"local, local, scroll, scroll"}


def test_canary_a_bad_page_is_found_out(found):
    canary = [one for one in found if one["file"] == "canary.html"]
    assert {"color-contrast", "image-alt", "html-has-lang"} <= {v["id"] for one in canary for v in one["violations"]}
    assert all(one["wide"] > 0 for one in canary)
