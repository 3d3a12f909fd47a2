"""Training on from a saved classifier: its head is kept label by label, with new labels beside them, or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from toughen.data.read.raw import quote_names
from toughen.errors import InputError
from toughen.model.groups import in_head
from toughen.model.saved import CONFIG
from toughen.runs.folder import MODEL, RECIPE

PLACEHOLDER = "label_"  # what transformers puts before an id where a label has no name


def model_folder(name: str) -> str:
    """Return where a model is loaded from: of a run folder its ``model/``, else the name itself.

    Raises:
        InputError: if it is a run that has no model of its own.
    """
    folder = Path(name)
    if not (folder / RECIPE).is_file() or (folder / CONFIG).exists():
        return name
    if not (folder / MODEL).is_dir():
        raise InputError(
            f"model {name!r} is a run without one model of its own (it has folds, members, or has not finished); name "
            "the folder of one of its runs, or another model."
        )
    return str(folder / MODEL)


@torch.no_grad()
def fit_head(
    model: Any, saved: Sequence[str], names: Sequence[str], fresh: Sequence[str], source: str = ""
) -> tuple[list[str], str]:
    """Give each output of a loaded head the label that it was trained for, or start the last layer anew.

    Where the data have all the labels of the saved head and others, the outputs of the saved ones go on and those of
    the others start anew. Names are the same up to case and outer space, and LABEL_1 is the name 1.

    Args:
        model: loaded with ``names`` in its config; changed in place.
        saved: names of the labels in the order of the saved head's outputs.
        names: those of the data.
        fresh: parameters that were not in the checkpoint.
        source: folder of the checkpoint; elsewhere (on the hub) a head of fewer labels is not read.

    Returns:
        The parameters that start anew, and a sentence; empty where there was no head to keep.
    """
    last = _last_layer(model, len(names))
    if not last:
        return list(fresh), ""
    was, are = ([name.strip().casefold().removeprefix(PLACEHOLDER) for name in known] for known in (saved, names))
    if any(name in fresh for name in last):
        new = [name for name, label in zip(names, are, strict=True) if label not in was]
        # Labels by number are what every config names where nobody did; they say nothing of what an output means.
        named = not all(label.isdigit() for label in was)
        if named and len(set(are)) == len(are) and len(are) - len(new) == len(was):
            rows = _saved_rows(Path(source), last, len(was))
            if rows:
                for name, parameter in last.items():
                    parameter[[are.index(label) for label in was]] = rows[name].to(parameter.dtype)
                goes_on = f"that of the saved model goes on for {quote_names(saved)}"
                said = f"head: {goes_on}; new outputs for {quote_names(new)}"
                return [name for name in fresh if name not in last], said
        trained = len(was) != len(are) and not all(name.isdigit() for name in was)
        return list(fresh), f"new head: the saved one was trained for {quote_names(saved)}" if trained else ""
    if was == are:
        return list(fresh), "head: that of the saved model goes on, whose labels are the same"
    if sorted(was) == sorted(are) and len(set(are)) == len(are):
        for parameter in last.values():
            parameter.copy_(parameter[[was.index(label) for label in are]])
        said = f"head: that of the saved model goes on, its outputs put in the order of the labels {quote_names(names)}"
        return list(fresh), said
    for parameter in last.values():
        parameter._is_hf_initialized = False  # type: ignore[attr-defined]  # else it counts as loaded, and stays
    model._init_weights(model.get_submodule(next(iter(last)).rpartition(".")[0]))
    said = f"new head: the saved one was trained for {quote_names(saved)}, the data have {quote_names(names)}"
    return [*fresh, *last], said


def _saved_rows(folder: Path, last: Iterable[str], outputs: int) -> dict[str, torch.Tensor]:
    """Return the tensors of the last layer as a checkpoint has them; empty if it lacks one of so many outputs."""
    found: dict[str, torch.Tensor] = {}
    for path in sorted(folder.glob("model*.safetensors")):
        with safe_open(path, framework="pt") as file:
            found |= {name: file.get_tensor(name) for name in last if name in file.keys()}  # noqa: SIM118
    whole = all(name in found and found[name].shape[0] == outputs for name in last)
    return found if whole else {}


def _last_layer(model: Any, outputs: int) -> dict[str, torch.nn.Parameter]:
    """Return the parameters, by name, of the last layer of the head that has so many outputs."""
    head = {n: p for n, p in model.named_parameters() if in_head(model, n) and p.dim() and p.shape[0] == outputs}
    layer = next(reversed(head), "").rpartition(".")[0]
    return {name: parameter for name, parameter in head.items() if name.rpartition(".")[0] == layer}
