"""Interleaved pairs: two ways to compute the same thing, in turn, in one process; ratios with bootstrap intervals."""

from __future__ import annotations

import gc
import hashlib
import json
import platform
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

Side = Callable[[int], None]
"""Computes on batch number i."""
Timer = Callable[[int], float]
"""Does so, and returns the seconds."""
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
            facts: more to write down; a callable is called when all pairs are there.
        """
        key, wanted = self.key(part, what, setting), pairs or self.pairs
        for i in range(WARM_UP):
            side(-1 - i)
            base(-1 - i)
        seconds = self.rounds(key, [partial(timed, side), partial(timed, base)], wanted)
        row = self.add(part, what, setting, summary(seconds, uneven=False) | _known(facts))
        self.forget(key)
        return row

    def compare_with_each(
        self,
        part: str,
        setting: dict[str, Any],
        side: Callable[[], Side],
        bases: dict[str, Callable[[], Side]],
        facts: dict[str, dict[str, Any]],
    ) -> None:
        """Measure ``side`` against several others in the same rounds: ``side`` is what takes the time.

        One row for each other, named as it is; the batches differ in shape, so that the ratio is that of all seconds.
        Each is made anew for every round, takes its last batch to warm up, and is gone before the next one is made: two
        of them together may need more memory than there is.

        Args:
            part: letter of the part.
            setting: what else the numbers depend on.
            side: makes the numerator of every ratio.
            bases: make the denominators, by name.
            facts: more to write down, by name; as in :meth:`compare`.
        """
        key = self.key(part, " and ".join(bases), setting | {"pairs": self.pairs})  # on which the batches depend
        seconds = self.rounds(key, [made_anew(one) for one in (side, *bases.values())], self.pairs)
        for column, name in enumerate(bases, start=1):
            pairs = [(row[0], row[column]) for row in seconds]
            if self.find(part, name, setting) is None:
                self.add(part, name, setting, summary(pairs, uneven=True) | _known(facts[name]))
        self.forget(key)

    def rounds(self, key: dict[str, Any], timers: list[Timer], wanted: int) -> list[list[float]]:
        """Return the seconds of every side in each round; those that a killed start saved count."""
        seconds: list[list[float]] = self.saved(key)
        for i in range(len(seconds), wanted):
            seconds.append(in_turn(timers, i))
            self.save(key, seconds[-1])
        return seconds

    def saved(self, key: dict[str, Any]) -> list[Any]:
        """Return what has been saved of a measurement that is not finished, round by round."""
        return [row["found"] for row in read(self._partial(key))]

    def save(self, key: dict[str, Any], found: Any) -> None:
        """Save a round."""
        append(self._partial(key), {"key": key, "found": found})

    def forget(self, key: dict[str, Any]) -> None:
        """Remove what was saved of a measurement that is finished."""
        self._partial(key).unlink()

    def _partial(self, key: dict[str, Any]) -> Path:
        return self.folder / "partial" / f"{_digest(key)}.jsonl"

    def add(self, part: str, what: str, setting: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
        """Append a row that was measured in another way."""
        row = self.key(part, what, setting) | found | {"machine": machine(), "command": command()}
        append(self.results, row)
        values = {name: round(value, 4) for name, value in found.items() if isinstance(value, float)}
        print(f"    {values}", flush=True)
        return row


def made_anew(make: Callable[[], Side]) -> Timer:
    """Return what times a side on batch i: made, warmed up on its last batch, and gone again."""

    def seconds(i: int) -> float:
        side = make()
        side(-1)
        found = timed(side, i)
        del side
        gc.collect()
        return found

    return seconds


def in_turn(timers: list[Timer], i: int) -> list[float]:
    """Time each on batch i, in the order A B in even rounds and B A in odd ones."""
    order = list(range(len(timers)))
    seconds = {n: timers[n](i) for n in (order if i % 2 == 0 else order[::-1])}
    return [seconds[n] for n in order]


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


def summary(seconds: Sequence[Sequence[float]], uneven: bool) -> dict[str, Any]:
    """Return the ratio with a 95 % percentile bootstrap interval over pairs, and each side's seconds.

    Where the batches differ in shape (``uneven``) only the ratio of all seconds means something.
    """
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

    from toughen.machine.environment import _cpu, _cpuinfo

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


def _known(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: fact() if callable(fact) else fact for name, fact in facts.items()}


def _digest(key: dict[str, Any]) -> str:
    name = f"{key['part']}-{key['what']}".replace(" ", "-").replace("/", "-")
    return f"{name}-{hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:10]}"
