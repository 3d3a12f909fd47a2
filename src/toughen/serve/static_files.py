"""The one page for people: three files that come from here, and nothing from anywhere else."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from fastapi.responses import Response

_FOLDER = Path(__file__).with_name("page")
FILES = ("/page/style.css", "/page/page.js")
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
LANGUAGES = ("en", "zh")


@cache
def _read_part(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def index(model: Mapping[str, Any], accepted: str) -> Response:
    """Return the page.

    Args:
        model: what it says of the model: model_id, task, labels, pairs, ...
        accepted: the header Accept-Language.
    """
    language = choose_language(accepted)
    filled = {
        "language": language,
        "name": escape(str(model["model_id"])),
        "model": _in_script(dict(model)),
        "say": _in_script(json.loads(_read_part("words.json"))),
    }
    # In one go: what is filled in may itself look like a place to be filled.
    text = re.sub(r"\{\{(\w+)\}\}", lambda place: filled[place[1]], _read_part("index.html"))
    return Response(text, headers=_HEADERS | {"vary": "Accept-Language"}, media_type="text/html; charset=utf-8")


def file(path: str) -> Callable[[], Awaitable[Response]]:
    """Return what answers for one of `FILES`."""
    name = Path(path).name

    async def answer() -> Response:
        return Response(_read_part(name), headers=_HEADERS, media_type=_TYPES[Path(name).suffix])

    return answer


def choose_language(accepted: str) -> str:
    """Return the language of ours that an Accept-Language header likes best; English if it names none."""
    found = []
    for entry in accepted.split(",")[:20]:
        name, _, weight = entry.strip().partition(";q=")
        language = name.lower().split("-")[0]
        if language in LANGUAGES:
            found.append((_number(weight), language))
    return max(found, key=lambda pair: pair[0])[1] if found else LANGUAGES[0]


def _number(weight: str) -> float:
    try:
        return float(weight or 1)
    except ValueError:
        return 0.0


def _in_script(value: Any) -> str:
    """Return JSON that cannot end the script element in which it stands."""
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c")
