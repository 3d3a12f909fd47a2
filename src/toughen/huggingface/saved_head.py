"""Training on from a saved classifier: its head is kept label by label, or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from toughen.data.read.raw import listed
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
def fit_head(model: Any, saved: Sequence[str], names: Sequence[str], fresh: Sequence[str]) -> tuple[list[str], str]:
    """Give each output of a loaded head the label that it was trained for, or start the last layer anew.

    Names are the same up to case and outer space, and LABEL_1 is the name 1.

    Args:
        model: loaded with ``names`` in its config; changed in place.
        saved: names of the labels in the order of the saved head's outputs.
        names: those of the data.
        fresh: parameters that were not in the checkpoint.

    Returns:
        The parameters that start anew after all, and a sentence; empty where there was no head to keep.
    """
    last = _last_layer(model, len(names))
    if not last:
        return [], ""
    was, are = ([name.strip().casefold().removeprefix(PLACEHOLDER) for name in known] for known in (saved, names))
    if any(name in fresh for name in last):
        trained = len(was) != len(are) and not all(name.isdigit() for name in was)
        return [], f"new head: the saved one was trained for {listed(saved)}" if trained else ""
    if was == are:
        return [], "head: that of the saved model goes on, whose labels are the same"
    if sorted(was) == sorted(are) and len(set(are)) == len(are):
        for parameter in last.values():
            parameter.copy_(parameter[[was.index(label) for label in are]])
        return [], f"head: that of the saved model goes on, its outputs put in the order of the labels {listed(names)}"
    for parameter in last.values():
        parameter._is_hf_initialized = False  # type: ignore[attr-defined]  # else it counts as loaded, and stays
    model._init_weights(model.get_submodule(next(iter(last)).rpartition(".")[0]))
    return list(last), f"new head: the saved one was trained for {listed(saved)}, the data have {listed(names)}"


def _last_layer(model: Any, outputs: int) -> dict[str, torch.nn.Parameter]:
    """Return the parameters, by name, of the last layer of the head that has so many outputs."""
    head = {n: p for n, p in model.named_parameters() if in_head(model, n) and p.dim() and p.shape[0] == outputs}
    layer = next(reversed(head), "").rpartition(".")[0]
    return {name: parameter for name, parameter in head.items() if name.rpartition(".")[0] == layer}
