"""Peak memory of `toughen predict` on few rows and on many, from rows of the sample corpus.

    python benchmarks/bulk.py --workers 1

A model of 2 layers of width 32 with random weights is exported first: its own memory is small, so that what rows cost
would show. Every row is the beginning of a text of the sample corpus with a number, so all differ. Each size is one
fresh start of the command, from and to a file of one kind; memory is the resident memory of the process and all its
children together, read every 50 ms from /proc, and the largest is kept. `results/bulk.json` keeps it; what is there is
not measured again. `--rows` takes other sizes.
"""

import argparse
import csv
import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[0] = str(ROOT / "tests")  # in place of this folder, whose serve.py is not the package
RESULT = ROOT / "benchmarks/results/bulk.json"
WORDS = 6
PAGE = os.sysconf("SC_PAGE_SIZE")


def make_model(folder):
    from serve.folders import save_exported, save_pretrained

    return save_exported(save_pretrained(folder / "pretrained"), folder)[1]


def write_rows(path, count):
    from toughen.demo.corpus import generate

    texts = [" ".join(text.split()[:WORDS]) for rows in generate().values() for text, _ in rows]
    if path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["text"])
            writer.writerows([f"{texts[i % len(texts)]} {i}"] for i in range(count))
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetWriter(path, pa.schema([("text", pa.string())])) as writer:
        for start in range(0, count, 100_000):
            rows = range(start, min(start + 100_000, count))
            writer.write_table(pa.table({"text": [f"{texts[i % len(texts)]} {i}" for i in rows]}))


def tree(pid):
    found = [pid]
    for known in found:
        try:
            found += map(int, Path(f"/proc/{known}/task/{known}/children").read_text().split())
        except OSError:
            continue
    return found


def resident(pid):
    """Return (resident bytes, of which no file stands behind) of a process and its children."""
    total = own = 0
    for one in tree(pid):
        try:
            fields = Path(f"/proc/{one}/statm").read_text().split()
        except OSError:
            continue
        total += int(fields[1]) * PAGE
        own += (int(fields[1]) - int(fields[2])) * PAGE
    return total, own


def measure(command):
    """Return seconds and the largest memory of a command and its children, in MB."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peaks = [0, 0]

    def watch():
        while process.poll() is None:
            peaks[:] = map(max, peaks, resident(process.pid))
            time.sleep(0.05)

    watcher = threading.Thread(target=watch)
    watcher.start()
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{command} failed")
    took = time.perf_counter() - start
    return {"seconds": round(took, 1), "peak_mb": round(peaks[0] / 1e6, 1), "anonymous_mb": round(peaks[1] / 1e6, 1)}


def cpu():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next(line.split(": ")[1] for line in lines if line.startswith("model name"))


def measure_sizes(options, folder):
    found = read(options.to)
    known = {(row["kind"], row["rows"]) for row in found}
    missing = [case for case in itertools.product(options.kinds, options.rows) if case not in known]
    model = make_model(folder)
    for kind, count in missing:
        source, output = folder / f"in{kind}", folder / f"out{kind}"
        write_rows(source, count)
        command = [sys.executable, "-m", "toughen", "predict", str(model), "--input", str(source)]
        row = measure([*command, "--output", str(output), "--workers", str(options.workers)])
        sizes = {"input_mb": source.stat().st_size, "output_mb": output.stat().st_size}
        found.append(
            {"kind": kind, "rows": count, **row, **{name: round(size / 1e6, 1) for name, size in sizes.items()}}
        )
        print(json.dumps(found[-1]), flush=True)
        write(options, sorted(found, key=lambda row: (row["kind"], row["rows"])))


def read(path):
    return json.loads(path.read_text())["sizes"] if path.exists() else []


def write(options, sizes):
    machine = {"cpu": cpu(), "cores_used": len(os.sched_getaffinity(0)), "python": platform.python_version()}
    command = f"python benchmarks/bulk.py --workers {options.workers}"
    kept = {"machine": machine, "command": command, "model": "2 layers of width 32, random weights", "sizes": sizes}
    options.to.write_text(json.dumps(kept, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--kinds", nargs="+", choices=[".csv", ".parquet"], default=[".csv", ".parquet"])
    parser.add_argument("--to", type=Path, default=RESULT)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure_sizes(options, Path(folder))


if __name__ == "__main__":
    main()
