"""(m) What `toughen.train` changes in its process on a CPU: freed memory kept, attention in bfloat16, and both."""

from __future__ import annotations

from typing import Any

from children import spawn
from measure import Bench, Timer, summary

NEITHER = "neither"
VARIANTS = {
    NEITHER: {"keep": False, "half": False},
    "freed memory kept": {"keep": True, "half": False},
    "attention in bfloat16": {"keep": False, "half": True},
    "both": {"keep": True, "half": True},
}
BATCHES = 6
ROUNDS = 3


def run(bench: Bench, options: Any) -> None:
    """Measure whole steps over IMDb's lengths, each way in a fresh process; ratios are those of all seconds."""
    if options.device != "cpu":
        return
    for size in options.sizes:
        for recipe in filter(options.wants, ("plain", "rat-stack")):
            rows = options.batch or 16
            setting = {"size": size, "batch": rows, "longest": options.longest, "precision": "bf16", "recipe": recipe}
            if bench.missing("m", "both", setting):
                _measure(bench, setting, 2 if options.quick else BATCHES)


def _measure(bench: Bench, setting: dict[str, Any], count: int) -> None:
    peaks: dict[str, list[int]] = {name: [] for name in VARIANTS}

    def timer(name: str) -> Timer:
        def seconds(_: int) -> float:
            job = {"count": count, "threads": bench.shared["threads"], **setting, **VARIANTS[name]}
            found = spawn("loop", fixed=False, **job)
            peaks[name].append(found["bytes"])
            return float(found["seconds"])

        return seconds

    names = list(VARIANTS)
    rounds = bench.rounds(bench.key("m", "variants", setting), [timer(name) for name in names], ROUNDS)
    for name in names[1:]:
        pairs = [(row[0], row[names.index(name)]) for row in rounds]
        of = {"bytes": max(peaks[name], default=0), "base_bytes": max(peaks[NEITHER], default=0)}
        bench.add("m", name, setting, summary(pairs, uneven=True) | of)
    bench.forget(bench.key("m", "variants", setting))
