"""What `toughen attack` leaves behind: attack.json, a parquet file of texts, and the pairs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import toughen
from toughen.assess.evaluation_files import plain, source_name
from toughen.attack.diff import as_html
from toughen.files import write_json, write_whole
from toughen.runs.writer import replace_folder

Kind = Literal["noise", "attack", "standard", "certify"]
FORMAT = 1
ATTACKS, RESULT = "attacks", "attack.json"
TEXTS: dict[str, str] = {
    "noise": "texts.parquet",
    "attack": "pairs.parquet",
    "standard": "pairs.parquet",
    "certify": "certificates.parquet",
}
"""The file in which each kind keeps its texts."""
PAGE = "pairs.html"


def save_attack(folder: Path, kind: Kind, result: Any, *, run: Path | str, data: object) -> list[Path]:
    """Write a result of `noise_curve`, `attack`, `standard` or `certify`; return its files.

    attack.json comes last, whole: {format, toughen, kind, run, sources: {data}, texts (the parquet file), result (what
    the result's ``as_dict`` returns)}. Attacks on texts also write pairs.html, original and adversarial text side by
    side.
    """
    names = [TEXTS[kind]]
    content = {
        "format": FORMAT,
        "toughen": toughen.__version__,
        "kind": kind,
        "run": run if isinstance(run, str) else str(run.resolve()),
        "sources": {"data": source_name(data)},
        "texts": TEXTS[kind],
        "result": result.as_dict(),
    }
    with replace_folder(folder, keep=True) as part:
        write_whole(part / TEXTS[kind], result.save)
        if kind in ("attack", "standard"):
            page = as_html(result if kind == "attack" else list(result.members.values()))
            write_whole(part / PAGE, lambda file: file.write_text(page, encoding="utf-8"))
            names.append(PAGE)
        write_json(part / RESULT, plain(content))
    return [folder / name for name in (*names, RESULT)]
