"""Write the little-endian container of tokenizer.bin: a header with a checksum, then the fields in order."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable

MAGIC = b"TOUGHTOK"
WITHOUT_SANITIZER, VERSION = 2, 3
"""Versions that are written: the first that holds what the tokenizer does."""
_HEADER = struct.Struct("<8sIQQ")  # magic, version, payload bytes, checksum of the payload


class Writer:
    """Collects fields; the reader must ask for the same ones in the same order."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def u8(self, *values: int | bool) -> None:
        """Add bytes, each 0 to 255."""
        self._parts.append(struct.pack(f"<{len(values)}B", *values))

    def u32(self, *values: int) -> None:
        """Add unsigned 32-bit integers."""
        self._parts.append(struct.pack(f"<{len(values)}I", *values))

    def f64(self, value: float) -> None:
        """Add a double."""
        self._parts.append(struct.pack("<d", value))

    def blob(self, value: bytes | str) -> None:
        """Add bytes (a str as UTF-8) after their number."""
        data = value.encode() if isinstance(value, str) else value
        self.u32(len(data))
        self._parts.append(data)

    def numbers(self, values: Iterable[int]) -> None:
        """Add unsigned 32-bit integers after their number."""
        listed = list(values)
        self.u32(len(listed), *listed)

    def finish_bare(self) -> bytes:
        """Return the fields alone, to be put into another file."""
        return b"".join(self._parts)

    def finish(self, version: int) -> bytes:
        """Return the whole file."""
        payload = self.finish_bare()
        return _HEADER.pack(MAGIC, version, len(payload), checksum(payload)) + payload


def checksum(payload: bytes) -> int:
    """Return the 64-bit sum by which a reader recognises a damaged file: CRC-32 below, Adler-32 above."""
    return zlib.crc32(payload) | (zlib.adler32(payload) << 32)
