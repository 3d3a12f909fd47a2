"""Interleaved pairs: two ways to compute the same thing, in turn, in one process; ratios with bootstrap intervals."""

from __future__ import annotations

import hashlib
import json
import platform
import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Side = Callable[[int], None]
"""Computes on batch number i."""
WARM_UP = 2
RESAMPLES = 10_000


@dataclass(frozen=True)
class Bench:
    """Where results go and what all measurements of this start share.

    Attributes:
        folder: holds ``speed.jsonl``; a measurement in progress has a file in its folder ``partial``.
        pairs: wanted of each measurement.
        shared: settings that every measurement has: threads, device, quick.
    """

    folder: Path
    pairs: int
    shared: dict[str, Any]

    @property
    def results(self) -> Path:
        """The file of finished measurements."""
        return self.folder / "speed.jsonl"

    def key(self, part: str, what: str, setting: dict[str, Any]) -> dict[str, Any]:
        """Return what tells measurements apart; the same key is never measured twice."""
        return {"part": part, "what": what, "setting": setting | self.shared}

    def missing(self, part: str, what: str, setting: dict[str, Any]) -> bool:
        """Whether this measurement has not been finished on this kind of machine."""
        if self.find(part, what, setting) is not None:
            return False
        print(f"[{time.strftime('%H:%M:%S')}] {part} {what} {setting}", flush=True)
        return True

    def find(self, part: str, what: str, setting: dict[str, Any]) -> dict[str, Any] | None:
        """Return the row of a finished measurement."""
        key = self.key(part, what, setting)
        return next((row for row in read(self.results) if all(row[name] == key[name] for name in key)), None)

    def compare(
        self,
        part: str,
        what: str,
        setting: dict[str, Any],
        side: Side,
        base: Side,
        *,
        pairs: int | None = None,
        uneven: bool = False,
        **facts: Any,
    ) -> dict[str, Any]:
        """Measure ``side`` against ``base`` and append the row; pairs saved by a killed start count.

        Args:
            part: letter of the part.
            what: what is compared, for the table.
            setting: what else the numbers depend on.
            side: the numerator of the ratio.
            base: the denominator.
            pairs: other than usual.
            uneven: the batches differ in shape, so that only the ratio of all seconds means something; otherwise the
                ratio is the median of the pairs' ratios.
            facts: more to write down; a callable is called when all pairs are there.
        """
        key, wanted = self.key(part, what, setting), pairs or self.pairs
        partial = self.folder / "partial" / f"{_digest(key)}.jsonl"
        seconds = [row["seconds"] for row in read(partial)]
        for i in range(1 if uneven else WARM_UP):  # a step on IMDb's lengths takes minutes
            side(-1 - i)
            base(-1 - i)
        for i in range(len(seconds), wanted):
            seconds.append(pair(side, base, i))
            append(partial, {"key": key, "seconds": seconds[-1]})
        known = {name: fact() if callable(fact) else fact for name, fact in facts.items()}
        row = self.add(part, what, setting, summary(seconds, uneven) | known)
        partial.unlink()
        return row

    def add(self, part: str, what: str, setting: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
        """Append a row that was measured in another way."""
        row = self.key(part, what, setting) | found | {"machine": machine(), "command": command()}
        append(self.results, row)
        values = {name: round(value, 4) for name, value in found.items() if isinstance(value, float)}
        print(f"    {values}", flush=True)
        return row


def pair(side: Side, base: Side, i: int) -> tuple[float, float]:
    """Time both on batch i, in the order A B in even pairs and B A in odd ones."""
    if i % 2 == 0:
        first = timed(side, i)
        return first, timed(base, i)
    second = timed(base, i)
    return timed(side, i), second


def timed(side: Side, i: int) -> float:
    """Return the seconds of one call, everything it started on a GPU included."""
    import torch

    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.synchronize()
    start = time.perf_counter()
    side(i)
    if cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def summary(seconds: list[tuple[float, float]], uneven: bool) -> dict[str, Any]:
    """Return the ratio with a 95 % percentile bootstrap interval over pairs, and each side's seconds."""
    both = np.asarray(seconds)
    draws = np.random.default_rng(0).integers(len(both), size=(RESAMPLES, len(both)))

    def ratio(pairs: Any) -> Any:
        if uneven:
            return pairs[..., 0].sum(-1) / pairs[..., 1].sum(-1)
        return np.median(pairs[..., 0] / pairs[..., 1], axis=-1)

    lower, upper = np.percentile(ratio(both[draws]), [2.5, 97.5])
    return {
        "statistic": "ratio of all seconds" if uneven else "median of the pairs' ratios",
        "pairs": len(both),
        "ratio": float(ratio(both)),
        "lower": float(lower),
        "upper": float(upper),
        "seconds": float(np.median(both[:, 0])),
        "base_seconds": float(np.median(both[:, 1])),
    }


def machine() -> dict[str, Any]:
    """Describe what was measured on."""
    import torch
    import transformers

    from toughen.training.environment import _cpu, _cpuinfo

    flags = " ".join(line for line in _cpuinfo() if line.startswith("flags")).split()
    return {
        "cpu": _cpu(),
        "flags": sorted({flag for flag in flags if flag.startswith("amx") or flag == "avx512_bf16"}),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def command() -> str:
    return shlex.join(["python", "benchmarks/speed/run.py", *sys.argv[1:]])


def read(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a file; a line that a kill cut short is left out."""
    rows = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows


def append(path: Path, row: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cut = path.exists() and path.stat().st_size and not path.read_bytes().endswith(b"\n")
    with path.open("a") as file:
        file.write(("\n" if cut else "") + json.dumps(row) + "\n")


def _digest(key: dict[str, Any]) -> str:
    name = f"{key['part']}-{key['what']}".replace(" ", "-").replace("/", "-")
    return f"{name}-{hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:10]}"
