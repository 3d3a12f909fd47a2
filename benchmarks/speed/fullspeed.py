"""(m) What `toughen.train` changes in its process on a CPU: three things, and all of them."""

from __future__ import annotations

from typing import Any

from children import spawn
from measure import Bench, summary

NOTHING, ALL = "nothing", "all three"
VARIANTS: dict[str, dict[str, bool]] = {
    NOTHING: {},
    "freed memory kept": {"keep": True},
    "attention in bfloat16": {"half": True},
    "quick kernels": {"quick": True},
    ALL: {"keep": True, "half": True, "quick": True},
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
            if bench.missing("m", ALL, setting):
                _measure(bench, setting, 2 if options.quick else BATCHES)


def _measure(bench: Bench, setting: dict[str, Any], count: int) -> None:
    key = bench.key("m", "variants", setting)
    job = {"count": count, "threads": bench.shared["threads"], **setting}
    made = bench.saved(key)
    for i in range(len(made), ROUNDS):
        names = list(VARIANTS) if i % 2 == 0 else list(VARIANTS)[::-1]
        found = {name: spawn("loop", fixed=False, **job, **VARIANTS[name]) for name in names}
        made.append(found)
        bench.save(key, found)
    for name in list(VARIANTS)[1:]:
        if bench.find("m", name, setting) is None:
            pairs = [(row[NOTHING]["seconds"], row[name]["seconds"]) for row in made]
            of = {
                of: max(row[side]["bytes"] for row in made) for of, side in (("bytes", name), ("base_bytes", NOTHING))
            }
            bench.add("m", name, setting, summary(pairs, uneven=True) | of)
    bench.forget(key)
