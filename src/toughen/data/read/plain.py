"""A file as plain UTF-8: what is packed is unpacked and what is in another encoding is decoded, once per process."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from toughen.data.read.spill import refuse_full_disk, usable_cache
from toughen.errors import InputError

PACKED: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
BINARY = (".parquet",)
SAMPLE = 64 << 10  # bytes that are looked at to tell an encoding


def inner(path: Path) -> Path:
    """Return the name of what a packed file holds: reviews.csv of reviews.csv.gz; of another file its own."""
    return path.with_suffix("") if path.suffix.lower() in PACKED else path


def kind_of(path: Path) -> str:
    """Return the extension that says how the content of a file is read."""
    return inner(path).suffix.lower()


def plain(path: Path, name: str, encoding: str | None = None) -> Path:
    """Return a file that holds the same as plain UTF-8: the file itself, or a temporary one that goes with the process.

    Args:
        path: a file of any kind.
        name: what the user calls it.
        encoding: of its text, as Python names it; None = UTF-8.

    Raises:
        InputError: if it is damaged, or not in that encoding.
    """
    foreign = encoding is not None and kind_of(path) not in BINARY
    if not foreign and path.suffix.lower() not in PACKED:
        return path
    found = path.stat()
    return _make_plain(path.absolute(), name, encoding if foreign else None, (found.st_size, found.st_mtime_ns))


@contextmanager
def with_bad_bytes_replaced(path: Path) -> Iterator[Path]:
    """Give, for the block, a file in which the replacement character stands for each byte that is no UTF-8."""
    folder = usable_cache() or Path(tempfile.gettempdir())
    with refuse_full_disk(folder), tempfile.TemporaryDirectory(dir=folder, prefix="repaired-") as made:
        target = Path(made) / f"whole{kind_of(path)}"
        _decode(open, path, target, "utf-8", "replace")
        yield target


@cache
def _make_plain(path: Path, name: str, encoding: str | None, _stamp: tuple[int, int]) -> Path:
    folder = usable_cache() or Path(tempfile.gettempdir())
    with refuse_full_disk(folder):
        made = Path(_folder(folder).name) / f"{len(list(Path(_folder(folder).name).iterdir()))}{kind_of(path)}"
    opened = PACKED.get(path.suffix.lower(), open)
    try:
        if encoding is None:
            with opened(path, "rb") as source, made.open("wb") as target:
                shutil.copyfileobj(source, target)
        else:
            _decode(opened, path, made, encoding, "strict")
    except UnicodeError as error:
        raise InputError(f"{name} is not in the encoding {encoding} (--data.encoding): {error}.") from error
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise InputError(f"{name} is damaged: it cannot be unpacked ({error}); pack it again.") from error
    return made


def _decode(opened: Callable[..., Any], path: Path, made: Path, encoding: str, errors: str) -> None:
    with (
        opened(path, "rt", encoding=encoding, errors=errors, newline="") as source,
        made.open("w", encoding="utf-8", newline="") as target,
    ):
        shutil.copyfileobj(source, target)


@cache
def _folder(parent: Path) -> Any:
    return tempfile.TemporaryDirectory(dir=parent, prefix="unpacked-")


def two_bytes(sample: bytes) -> str | None:
    """Name the encoding of the beginning of a file whose letters have two bytes each; None for another one."""
    if sample[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    if sample.count(0) > len(sample) // 5:  # Western text
        return "utf-16-le" if sample[1:2] == b"\0" else "utf-16-be"
    return None


def looks_like(sample: bytes) -> str | None:
    """Name the encoding that bytes that are no UTF-8 look like: gbk or latin-1; None if neither."""
    if _is_chinese(sample):
        return "gbk"
    high = [byte for byte in sample if byte >= 0x80]
    letters = sum(byte >= 0xC0 or byte in b"\x92\x93\x94\x96\x97\xa0\xab\xbb" for byte in high)
    return "latin-1" if letters * 10 >= len(high) * 8 else None


def _is_chinese(sample: bytes) -> bool:
    """Tell Chinese characters, which stand in runs, from Western letters that happen to decode as such."""
    for cut in range(4):  # the sample may end within a character
        try:
            text = sample[: len(sample) - cut].decode("gb18030")
        except UnicodeDecodeError:
            continue
        wide = [c for c in text if c > "\x7f"]
        usual = [c for c in wide if "\u4e00" <= c <= "\u9fa5" or "\u3000" <= c <= "\u303f" or "\uff00" <= c <= "\uff5e"]
        runs = sum(a > "\x7f" and b > "\x7f" for a, b in pairwise(text))
        return len(usual) * 10 >= len(wide) * 9 and runs * 2 >= len(wide)
    return False
