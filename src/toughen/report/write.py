"""From a folder or its JSON to report.html, and the same figures to TensorBoard."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toughen.errors import InputError
from toughen.files import read_json, write_whole
from toughen.files.manifest import verify
from toughen.report import (
    attack_page,
    audit_page,
    comparison_page,
    evaluation_page,
    plan_page,
    run_page,
    suite_page,
    try_page,
)
from toughen.report.card import refresh_card, write_card
from toughen.report.html import render
from toughen.report.style import apply_style
from toughen.runs.folder import METRICS, RECIPE
from toughen.runs.writer import refuse_input_inside, sole_writer

if TYPE_CHECKING:
    from toughen.report.page import Page

REPORT = "report.html"
_RESULTS = (
    "evaluation.json",
    "suite.json",
    "attack.json",
    "audit.json",
    "ablation.json",
    "comparison.json",
    "search.json",
    "try.json",
    "plan.json",
)
"""What makes a folder one that can be reported; a run folder has a recipe and metrics instead."""
_NEEDED = {"matplotlib": "matplotlib", "jinja2": "jinja2"}


def is_available() -> bool:
    """Tell whether the packages that draw are installed."""
    return all(find_spec(name) is not None for name in _NEEDED)


def write_report(path: str | Path, output: str | Path | None = None) -> Path:
    """Write the report of a run, evaluation, attack, audit, comparison, ablation or search.

    Args:
        path: its folder, or its JSON file.
        output: file to write; default report.html in the folder.

    Returns:
        The file written.

    Raises:
        InputError: if there is nothing to report, or matplotlib is missing; nothing has been written then.
    """
    if not is_available():
        raise InputError("matplotlib or Jinja2 is not installed; install them with: pip install 'toughen[report]'.")
    source = find_result(Path(path))
    verify(source.parent)
    target = source.parent / REPORT if output is None else Path(output)
    if target.is_dir():
        raise InputError(f"--output {target} is a folder; give a file, such as {target / REPORT}.")
    refuse_input_inside(target, {"the report": source})
    page = _page(source)
    text = render(page)
    with sole_writer(target, "toughen report"):
        write_whole(target, lambda part: part.write_text(text, encoding="utf-8"))
        log = _log_of(source)
        if log is not None:
            add_figures(page, log)
    return target


def find_result(path: Path) -> Path:
    """Return the JSON file that holds the results of a folder, or the file itself.

    Raises:
        InputError: if there is none, or a run has not finished.
    """
    if path.is_file() and path.name in (*_RESULTS, METRICS):
        return path
    if (path / RECIPE).exists() and not (path / METRICS).exists():
        raise InputError(f"the run in {path} has not finished (no {METRICS}); continue it with --resume.")
    names = (METRICS, *_RESULTS) if (path / RECIPE).exists() else _RESULTS
    found = next((path / name for name in names if (path / name).is_file()), None)
    if found is None:
        raise InputError(
            f"{path} holds nothing to report; give the folder of a run, or one that toughen evaluate, attack, audit, "
            "try, compare, ablate or search wrote."
        )
    return found


def _page(source: Path) -> Page:
    makers: dict[str, Callable[[Path], Page]] = {
        METRICS: lambda path: run_page.run_page(path.parent),
        "evaluation.json": evaluation_page.evaluation_page,
        "suite.json": suite_page.suite_page,
        "attack.json": attack_page.attack_page,
        "audit.json": audit_page.audit_page,
        "comparison.json": comparison_page.comparison_page,
        "ablation.json": comparison_page.ablation_page,
        "search.json": comparison_page.search_page,
        "try.json": try_page.try_page,
        "plan.json": plan_page.plan_page,
    }
    try:
        return makers[source.name](source)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{source} cannot be read as this version writes it ({type(error).__name__}: {error}); make it again."
        ) from error


def _log_of(source: Path) -> Path | None:
    """Return the folder in the run's TensorBoard log that is for these figures; None where the run has no log."""
    run, name = source.parent, "report"
    if source.name in ("evaluation.json", "suite.json", "attack.json"):
        run, name = Path(read_json(source)["run"]), f"{source.stem}-{source.parent.name}"
    elif source.name != METRICS:
        return None
    log = run / "tensorboard"
    return log / name if log.is_dir() and find_spec("tensorboard") is not None else None


def add_figures(page: Page, log: Path) -> None:
    """Write every figure of a page as an image, in place of those of an earlier report."""
    from torch.utils.tensorboard import SummaryWriter

    shutil.rmtree(log, ignore_errors=True)
    make: Any = SummaryWriter
    writer = make(str(log))
    with apply_style():
        for chart in page.charts():
            writer.add_figure(f"{page.kind.replace(' ', '-')}/{chart.key}", chart.figure, close=False)
    writer.close()


def say_report(path: str | Path | None, say: Callable[[str], object]) -> None:
    """Write the report beside results that are finished, and the card of their run anew; never fail because of it.

    Args:
        path: folder of the results; None where none were saved.
        say: told in one line where the report is, or why there is none.
    """
    if path is not None and is_available():
        _try([lambda: write_report(path), lambda: refresh_card(Path(path))], say)


def after_training(run: Path, say: Callable[[str], object]) -> None:
    """Write report and model card of a run that has just finished; never fail because of it."""
    if is_available():
        _try([lambda: write_report(run), lambda: write_card(run)], say)


def _try(writers: Sequence[Callable[[], Path | None]], say: Callable[[str], object]) -> None:
    written = []
    for write in writers:
        try:
            written.append(write())
        except Exception as error:  # the results themselves are safe, and worth more than their report
            say(f"a report could not be written: {type(error).__name__}: {error}")
    names = [str(path) for path in written if path is not None]
    if names:
        say(f"report: {' and '.join(names)}")
