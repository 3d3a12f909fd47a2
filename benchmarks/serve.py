"""The service under load: one process, many clients on loopback, each way of putting texts together in turn.

    python benchmarks/serve.py EXPORTED --texts texts.txt --clients 64 --seconds 60 --rounds 2

Every row is a fresh server process; rounds are interleaved, so that what else the machine does falls on all of them. A
client sends one text, waits for the answer, and sends the next. Latencies are those of requests that were answered; 429
are counted, and anything else ends the run.
"""

import argparse
import asyncio
import json
import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path

import httpx
import numpy as np

WAYS = {
    "each request alone": [],
    "shared, no wait": ["--max-wait-ms", "0"],
    "shared, 2 ms": ["--max-wait-ms", "2"],
    "shared, 10 ms": ["--max-wait-ms", "10"],
}


def measure(folder, arguments, texts, options):
    command = [sys.executable, "-m", "toughen", "serve", str(folder), "--port", "0", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        address = re.search(r"http://\S+", process.stdout.readline())[0]
        asyncio.run(crowd(address, texts, options.clients, options.warm, [], []))
        seconds, statuses = [], []
        start = time.perf_counter()
        asyncio.run(crowd(address, texts, options.clients, options.seconds, seconds, statuses))
        took = time.perf_counter() - start
        metrics = httpx.get(address + "/metrics").text
    finally:
        process.terminate()
        process.wait(60)
    wrong = {status for status in statuses if status not in (200, 429)}
    if wrong:
        raise SystemExit(f"answers other than 200 and 429: {wrong}")
    passes, done = (float(re.search(rf"toughen_batch_texts_{name} (\S+)", metrics)[1]) for name in ("count", "sum"))
    p50, p99 = np.percentile(seconds, [50, 99]) * 1000
    return {
        "per_second": len(seconds) / took,
        "p50_ms": p50,
        "p99_ms": p99,
        "answered": len(seconds),
        "refused_429": statuses.count(429),
        "texts_per_pass": done / passes,
    }


async def crowd(address, texts, clients, duration, seconds, statuses):
    until = time.perf_counter() + duration

    async def one(http, rng):
        while time.perf_counter() < until:
            start = time.perf_counter()
            response = await http.post("/predict", json={"inputs": rng.choice(texts)})
            statuses.append(response.status_code)
            if response.status_code == 200:
                seconds.append(time.perf_counter() - start)
            else:
                await asyncio.sleep(float(response.headers.get("retry-after", 1)))

    async with httpx.AsyncClient(base_url=address, limits=httpx.Limits(max_connections=None), timeout=120) as http:
        await asyncio.gather(*(one(http, random.Random(number)) for number in range(clients)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of an export or a run")
    parser.add_argument("--texts", type=Path, required=True, help="a file with a text per line")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--warm", type=float, default=3, help="seconds before the clock starts")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--ways", nargs="*", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--model", help="graph of an exported folder")
    parser.add_argument("--output", type=Path, help="file to which a JSON line per row is added")
    options = parser.parse_args()
    texts = options.texts.read_text(encoding="utf-8").splitlines()
    chosen = [] if options.model is None else ["--model", options.model]
    for number in range(options.rounds):
        for way in options.ways:
            row = {"way": way, "round": number + 1, "clients": options.clients, "model": options.model or "model.onnx"}
            row |= measure(options.folder, [*WAYS[way], *chosen], texts, options) | {"load": os.getloadavg()[0]}
            print(json.dumps({k: round(v, 1) if isinstance(v, float) else v for k, v in row.items()}), flush=True)
            if options.output is not None:
                with options.output.open("a") as stream:
                    stream.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
