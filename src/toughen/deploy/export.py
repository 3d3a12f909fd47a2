"""``toughen export``: a run as one self-contained folder, which is only made if it answers as the run does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from toughen.data import load_labelled, load_splits
from toughen.deploy import graph, joint
from toughen.deploy.files import DESCRIPTION, FP16, INT8, MODEL, PARITY, TABLE, is_export
from toughen.deploy.others import write_for_others
from toughen.deploy.parity import Bench, Progress
from toughen.deploy.predictor import load
from toughen.deploy.table import Reading, compile_table
from toughen.errors import InputError, first_line
from toughen.runs.finished import FinishedRun
from toughen.runs.members import leaves
from toughen.runs.writer import refuse_input_inside, replace_folder, sole_writer

if TYPE_CHECKING:
    from toughen.classifier.classifier import Classifier
    from toughen.deploy.parity import Bench, Variant
    from toughen.runs.finished import FinishedRun

LARGEST_DIFFERENCE = 1e-4  # of fp32, in probability (regression: relative to the largest value, if above 1)
_WITHOUT = "this model cannot be exported; toughen predict and toughen serve take the run itself."
_MOST_TEXTS = 2000  # of the validation split, evenly spaced
MAX_CHANGED = 0.02
"""Share of validation texts whose labels int8 and fp16 may change, unless another is named."""


def _silent(_: str | int) -> None:
    """Show no progress."""


@dataclass(frozen=True)
class Exported:
    """A finished export.

    Attributes:
        path: the folder.
        variants: PyTorch's own numbers, then those of each file.
        texts: how many texts were compared.
        refused: why a variant that was asked for is not in the folder, a sentence each.
        remarks: what to know of variants that are in it, a sentence each.
    """

    path: Path
    variants: tuple[Variant, ...]
    texts: int
    refused: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def export(
    run_folder: Path,
    target: Path,
    *,
    int8: bool = False,
    fp16: bool = False,
    data: object = None,
    max_changed: float = MAX_CHANGED,
    overwrite: bool = False,
    progress: Progress = _silent,
) -> Exported:
    """Export a run.

    The folder is made if ONNX Runtime answers as PyTorch does in fp32. A smaller variant that cannot be made, or that
    changes more labels than it may, is left out of it, and the result says why.

    Args:
        run_folder: a finished run; one in folds, and a combination, become one graph.
        target: folder to make.
        int8: add a variant with 8-bit weights, dynamically quantised per channel.
        fp16: add a variant with 16-bit floats, for accelerators; slower than fp32 on most CPUs.
        data: labelled texts to compare variants on; default the run's own validation split.
        max_changed: share of these texts (for tokens: words) whose labels int8 and fp16 may change, 0 to 1.
        overwrite: replace the folder.
        progress: called with what is begun (``pytorch``, ``graph``, ``fp32``, ...) and with the number of texts that
            each of its passes has finished.

    Returns:
        The folder and the measurements of its variants.

    Raises:
        InputError: if the run has no model that can be exported, the target is taken, or ONNX Runtime cannot run the
            graph or answers otherwise than PyTorch; the target is as it was then.
    """
    target = Path(target)
    refuse_input_inside(target, {"RUN": run_folder, "--data": data})
    _check(target, max_changed)
    with sole_writer(target, "toughen export"):
        _check_target(target, overwrite)
        run = FinishedRun.open(run_folder)
        with replace_folder(target) as part:
            found = _fill(part, run, [INT8] * int8 + [FP16] * fp16, data, max_changed, progress)
    return replace(found, path=target)


def rows(exported: Exported) -> list[tuple[str, ...]]:
    """Return the table to print: a header, then a row per variant."""
    metric = next((v.metric[0] for v in exported.variants if v.metric), "metric")
    header = ("variant", "MB", "ms per text", "largest difference", "same labels", metric)
    return [header, *(_row(variant) for variant in exported.variants)]


def _row(v: Variant) -> tuple[str, ...]:
    same = "-" if v.agreement is None else f"{v.agreement:.2%}"
    metric = "-" if v.metric is None else f"{v.metric[1]:.4f}"
    return v.name, f"{v.megabytes:.1f}", f"{v.milliseconds:.1f}", f"{v.largest_difference:.1e}", same, metric


def _check(target: Path, max_changed: float) -> None:
    for name in ("onnx", "onnxruntime"):
        if find_spec(name) is None:
            raise InputError(f"toughen export takes {name}, which is not installed: pip install 'toughen[onnx]'.")
    if not 0 <= max_changed <= 1:
        raise InputError(f"the share of labels that may change must be from 0 to 1, got {max_changed}.")
    if not target.absolute().parent.is_dir():
        raise InputError(f"{target}: the folder {target.absolute().parent} does not exist; make it first.")


def _check_target(target: Path, overwrite: bool) -> None:
    if target.exists() and not overwrite:
        raise InputError(f"{target} exists; choose another folder, or replace it with --overwrite.")
    if target.exists() and not is_export(target):
        raise InputError(f"{target} exists and is no exported model (no {DESCRIPTION}), so it is not replaced.")


def _fill(
    part: Path, run: FinishedRun, files: Sequence[str], data: object, limit: float, progress: Progress
) -> Exported:
    classifier = _on_cpu(run.classifier)
    joint.refuse_no_graph(classifier)
    write_for_others(part, classifier)
    _write_table(part, classifier)
    progress("pytorch")
    bench = Bench(classifier, _validation(run, classifier, data, needed=bool(files)), progress)
    variants = [bench.pytorch()]
    progress("graph")
    description = graph.write_graph(classifier, part / MODEL)
    (part / DESCRIPTION).write_text(json.dumps(description, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    variants.append(_exact(bench, part, progress))
    refused, remarks = [], []
    for file in files:
        try:
            variants.append(_smaller(bench, part, file, description, progress))
            remarks += _judge(variants[-1], limit)
        except InputError as error:
            variants = [variant for variant in variants if variant.file != file]
            (part / file).unlink(missing_ok=True)
            refused.append(str(error))
    limits = {"largest_difference": LARGEST_DIFFERENCE, "changed_labels": limit}
    parity = {"limits": limits, "texts": bench.texts, "variants": [asdict(variant) for variant in variants]}
    (part / PARITY).write_text(json.dumps(parity | {"refused": refused, "remarks": remarks}, indent=2) + "\n")
    return Exported(part, tuple(variants), bench.texts, tuple(refused), tuple(remarks))


def _write_table(part: Path, classifier: Classifier) -> None:
    """Write the tokenizer as the table of the C++ program."""
    words = classifier.task == "tokens"
    reading = Reading(classifier.max_length, classifier.truncation, classifier.overlap, words)
    (part / TABLE).write_bytes(compile_table(classifier.tokenizer, reading))


def _name(file: str) -> str:
    return "fp32" if file == MODEL else file.split(".")[1]


def _measure_variant(bench: Bench, part: Path, file: str, progress: Progress) -> Variant:
    """Compare a variant with PyTorch.

    Raises:
        InputError: if ONNX Runtime cannot run it.
    """
    progress(_name(file))
    try:
        return bench.measure(_name(file), load(part, model=file), part / file)
    except (InputError, OSError, MemoryError):
        raise
    except Exception as error:  # the classes of ONNX Runtime's errors are private
        raise InputError(
            f"ONNX Runtime cannot run the {_name(file)} graph of this model on all of our texts "
            f"({first_line(error)}); {_WITHOUT}"
        ) from error


def _smaller(bench: Bench, part: Path, file: str, description: dict[str, Any], progress: Progress) -> Variant:
    """Write a variant with smaller numbers and measure it.

    Raises:
        InputError: if it cannot be written or run.
    """
    try:
        (graph.write_int8 if file == INT8 else graph.write_fp16)(part / MODEL, part / file)
        graph.annotate(part / file, description)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # converters raise what they stumble over
        raise InputError(f"{_name(file)} cannot be made of this model ({first_line(error)}).") from error
    return _measure_variant(bench, part, file, progress)


def _on_cpu(classifier: Classifier) -> Classifier:
    for member in leaves(classifier):
        member.model.cpu()
    return classifier


def _exact(bench: Bench, part: Path, progress: Progress) -> Variant:
    variant = _measure_variant(bench, part, MODEL, progress)
    if not variant.largest_difference <= LARGEST_DIFFERENCE:
        raise InputError(
            f"ONNX Runtime's answers differ from PyTorch's by {variant.largest_difference:.1e}, more than "
            f"{LARGEST_DIFFERENCE:.0e}, on {bench.worst}; {_WITHOUT}"
        )
    return variant


def _judge(variant: Variant, limit: float) -> list[str]:
    """Return a remark where too few texts were compared to say that a variant changes no more labels than it may.

    Raises:
        InputError: if it is shown to change more: its 95 % interval lies above the limit.
    """
    changed = 1 - (variant.agreement or 0.0)
    if changed <= limit + 1e-9 or variant.changed is None:  # 1 - 0.98 is a little more than 0.02
        return []
    low, high = variant.changed
    found = f"{variant.name} changes {changed:.1%} of the labels on the validation split"
    bounds = f"95 % interval {low:.1%} to {high:.1%}"
    if low > limit:
        raise InputError(
            f"{found} ({bounds}), more than the {limit:.1%} allowed, and was left out; allow more with "
            f"--max-changed-labels, or export without --{variant.name}."
        )
    return [
        f"{found} ({bounds}): too few texts to tell that from the {limit:.1%} allowed, so it was kept; compare on more "
        "with --data."
    ]


def _validation(run: FinishedRun, classifier: Classifier, data: object, *, needed: bool) -> Any:
    """Return labelled rows, at most `_MOST_TEXTS`; None where there are none and none are needed."""
    if data is not None:
        names, task, pairs = classifier.label_names, classifier.task, classifier.pairs
        known = classifier.columns
        found = load_labelled(data, split="validation", label_names=names, task=task, pairs=pairs, known=known)
    elif not run.recipe.data.source or run.folds is not None:
        found = None
    else:
        try:
            found = load_splits(run.recipe.data, seed=run.recipe.training.seed).validation
        except InputError:
            if needed:
                raise
            found = None
    if found is None and needed:
        raise InputError(
            "the run's validation split cannot be read again, and int8 and fp16 are tried on it; name labelled texts "
            "with --data."
        )
    return None if found is None else found.select(np.unique(np.linspace(0, len(found) - 1, _MOST_TEXTS).astype(int)))
