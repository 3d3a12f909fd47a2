"""What the process writes about itself: sentences, or one JSON object a line, each with the request it is about."""

from __future__ import annotations

import json
import logging
import re
import uuid
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Of the request that is being answered."""

_ACCESS = logging.getLogger("toughen.serve.access")
_KNOWN = re.compile(rb"[\w.:/+=@-]{1,128}")  # of a caller's own; whatever else is not repeated in logs and headers


def request_id(given: bytes) -> str:
    """Return the id that a caller gave its request, or a new one."""
    return given.decode() if _KNOWN.fullmatch(given) else uuid.uuid4().hex


def note(method: str, path: str, status: int, seconds: float) -> None:
    """Write down that a request was answered; in JSON alone, where a program reads it."""
    what = {"method": method, "path": path, "status": status, "seconds": round(seconds, 6)}
    _ACCESS.info("%s %s %s", method, path, status, extra={"request": what})


class JsonLines(logging.Formatter):
    """Writes each record as one JSON object on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": REQUEST_ID.get(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line | getattr(record, "request", {}), ensure_ascii=False)


class _Sentences(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text, about = super().format(record), REQUEST_ID.get()
        return text if about is None else f"[{about}] {text}"


def set_up(*, as_json: bool) -> None:
    """Write the logs of the process to stderr, in either form."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if as_json else _Sentences("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    _ACCESS.setLevel(logging.INFO if as_json else logging.WARNING)
