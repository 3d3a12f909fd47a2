"""What a combination came to, beside its members and simple models on the same rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toughen.assess.verdict import after_one_model, verdict_of_combination

if TYPE_CHECKING:
    from toughen.runs.members import Members

_ALL = 0.9995
"""A weight from which nothing that is printed tells a member's answers from the combination's."""


def outcome(
    metrics: Mapping[str, Any],
    content: Mapping[str, Any],
    members: Members,
    output: Path,
    named: Mapping[str, object],
    *,
    whole: bool,
) -> dict[str, Any]:
    """Say what runs have learnt together.

    Args:
        metrics: scores of the combination.
        content: what ``combination.json`` holds.
        members: the runs.
        output: the combination's folder.
        named: ``data``, rows that were named to select, or None, and ``test``, texts that were named to be scored.
        whole: whether the combination is one model.

    Returns:
        ``verdict``, ``next`` and ``collapsed``, and ``baselines`` where the first run has them on the same rows.
    """
    known = known_scores(members, **named)
    simple = known[0].get("baselines") or {}
    baselines = {name: simple[name] for name in metrics if name in simple}
    found = {"baselines": baselines} if baselines else {}
    told = verdict_of_combination({**metrics, **found}, output, known, whole=whole)
    alone = find_single_run(content)
    if alone is not None and not told["collapsed"]:
        told["verdict"] += (
            f" It is {alone} alone, which nothing else makes better on the rows that select: take that run."
        )
        told["next"] = after_one_model(Path(alone))
    return found | told


def find_single_run(content: Mapping[str, Any]) -> str | None:
    """Return the folder of the one run that a combination answers like; None where several have a part in it."""
    sources = [member["source"] for member in content["members"]]
    weights, chosen = content.get("weights"), (content.get("soup") or {}).get("chosen")
    if weights and max(weights) >= _ALL:
        return str(sources[weights.index(max(weights))])
    if chosen is not None and len(chosen) == 1:
        return str(chosen[0])
    return str(sources[0]) if content.get("share") == 1 else None


def known_scores(members: Members, data: object, test: object) -> list[dict[str, Any]]:
    """Return each member's ``metrics.json``, without scores on other rows than those that the combination is scored on.

    Args:
        members: the runs.
        data: rows that were named to select, or None.
        test: texts that were named to be scored, or None.
    """
    found = [run.metrics for run in members.runs]
    apart = data is not None or len({str(run.recipe.data.source) for run in members.runs}) > 1
    foreign = ["validation", "held_out", "out_of_fold"] if apart else []
    foreign += ["test"] if apart or test is not None else []
    for metrics in found:
        for name in foreign:
            metrics.pop(name, None)
            metrics.get("baselines", {}).pop(name, None)
    return found
