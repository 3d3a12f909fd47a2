"""Word lists that a user brings: neighbours of words, or their misspellings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toughen.errors import InputError
from toughen.files import load_json

Neighbours = Mapping[str, Sequence[str]]


def read_word_lists(source: str | Path | Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Read {word in lower case: its alternatives, best first}.

    Args:
        source: such a mapping; a ``.json`` file of one; or a text file with a word and its alternatives on each line,
            divided by tabs (alternatives may then hold spaces) or else by white space.

    Raises:
        InputError: if the file cannot be read or is no such list.
    """
    lists = _merge_rows(source.items()) if isinstance(source, Mapping) else _read_list(Path(source))
    if not any(lists.values()):
        raise InputError(f"{source} holds no word with an alternative; give {{word: [alternatives]}} or lines of them.")
    return lists


def _read_list(path: Path) -> dict[str, tuple[str, ...]]:
    try:
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the word list {path} cannot be read ({error}); give a UTF-8 file of words.") from error
    if path.suffix == ".json":
        return _from_json(content, path)
    filled = (line for line in content.split("\n") if line.strip())
    lines = (line.split("\t") if "\t" in line else line.split() for line in filled)
    return _merge_rows((word, others) for word, *others in lines if word)


def _from_json(content: str, path: Path) -> dict[str, tuple[str, ...]]:
    try:
        value: Any = load_json(content)
    except json.JSONDecodeError as error:
        raise InputError(f"the word list {path} is not JSON ({error}); give an object of lists.") from error
    if not isinstance(value, dict) or not all(isinstance(others, list) for others in value.values()):
        raise InputError(f"the word list {path} is no object of lists; give {{word: [alternatives]}}.")
    return _merge_rows(value.items())


def _merge_rows(rows: Any) -> dict[str, tuple[str, ...]]:
    """Join the rows of one word (in any case); drop the word itself and repeats."""
    lists: dict[str, dict[str, None]] = {}
    for word, others in rows:
        own = lists.setdefault(str(word).strip().lower(), {})
        own.update(dict.fromkeys(str(other).strip() for other in others))
    return {word: tuple(o for o in others if o and o.lower() != word) for word, others in lists.items()}
