"""What every technique costs, how the loop compares with Trainer, and what all of it saves over the listing.

    python benchmarks/speed/run.py                      # every part that is not finished; a kill loses one pair
    python benchmarks/speed/run.py --part a b --size roberta-base --threads 1

Finished measurements are lines of benchmarks/results/speed.jsonl; the table in speed.md is written from them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import fullspeed
import memory
import models
import parts
import peer
import processes
import quality
import torch
from measure import Bench, machine

import report
from toughen.machine.runtime import best_device

RESULTS = Path(__file__).parents[1] / "results"
PARTS = parts.PAIRED | {
    "p": processes.run, "e": memory.run, "f": memory.padding, "g": memory.csv_rows, "h": quality.run,
    "m": fullspeed.run, "q": peer.run,
}  # fmt: skip


def main() -> None:
    args = parser().parse_args()
    if args.quick:
        args.size, args.precision, args.pairs = ["tiny"], ["fp32"], args.pairs or 2
        args.batch, args.length, args.longest = 2, 16, 24
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.peer:
        sys.path.append(args.peer)  # the last: what it holds hides nothing
    if args.table:
        report.write(args.results)
        return
    folder = args.results or (Path(tempfile.mkdtemp(prefix="speed-")) if args.quick else RESULTS)
    found = machine()
    shared = {"threads": torch.get_num_threads(), "device": found["gpu"] if args.device == "cuda" else found["cpu"]}
    shared |= {"quick": True} if args.quick else {}
    bench = Bench(folder, args.pairs or 10, shared)
    options = parts.Options(
        sizes=args.size or ["roberta-base"],
        device=args.device,
        batch=args.batch,
        length=args.length,
        precisions=args.precision or list(dict.fromkeys(["fp32", parts.hardware_precision(args.device)])),
        given=args.precision,
        only=args.only,
        longest=args.longest,
        data=args.data,
        seeds=args.seeds,
        quick=args.quick,
    )
    print(json.dumps(found), flush=True)
    for part in args.part or PARTS:
        PARTS[part](bench, options)
    report.write(folder)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    made.add_argument("--part", nargs="*", choices=PARTS, help="default: all")
    made.add_argument("--size", nargs="*", choices=models.SIZES, help="default: roberta-base (random weights)")
    made.add_argument("--only", nargs="*", help="techniques, stacks or comparisons; default: all of a part")
    made.add_argument("--precision", nargs="*", choices=("fp32", "bf16", "fp16"), help="default: fp32 and the fast one")
    made.add_argument("--batch", type=int, help="rows; default 4 (a, c, d), 16 (b and IMDb's lengths)")
    made.add_argument("--length", type=int, help="tokens; default 128")
    made.add_argument("--longest", type=int, default=512, help="IMDb's lengths are cut to this")
    made.add_argument("--pairs", type=int, help="of each measurement; default 10 (b at least 30)")
    made.add_argument("--threads", type=int, help="default: torch's")
    made.add_argument("--device", default=best_device().type, help="cpu or cuda")
    made.add_argument("--data", type=Path, default=os.environ.get("TOUGHEN_DATA"), help="folder with the data (h)")
    made.add_argument("--peer", default=os.environ.get("TOUGHEN_PEER"), help="folder that bert4torch was put into (q)")
    made.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2, 3, 4], help="of h")
    made.add_argument("--results", type=Path, help="folder of speed.jsonl")
    made.add_argument("--quick", action="store_true", help="every part on a tiny model, into a temporary folder")
    made.add_argument("--table", action="store_true", help="only write the table anew")
    return made


if __name__ == "__main__":
    sys.exit(main())
