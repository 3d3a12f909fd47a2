"""Texts that are nearly the same: MinHash finds candidates, and the share of common letter sequences decides."""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from toughen.arrays import Ints

LENGTH = 5
"""Characters of a sequence."""
SIMILAR = 0.8
"""Share of common sequences (Jaccard) from which two texts are nearly the same."""
BANDS, IN_BAND = 25, 5
"""Texts that agree in all numbers of a band are compared: at a share of .8 all but 5 in 100,000 pairs are."""
_PRIME = np.uint64((1 << 31) - 1)
_IGNORED = re.compile(r"[\W_]+")

Numbers = npt.NDArray[np.uint64]


def near_duplicates(texts: Sequence[str], *, similar: float = SIMILAR) -> Ints:
    """Return the group of each text, int64 [N]: the first text that it is, through others, nearly the same as.

    Two texts are nearly the same where they share so much of their sequences of `LENGTH` characters; letter case,
    punctuation, space and compatibility forms do not count. Texts of punctuation alone are compared as they are.

    Source: Broder, "On the resemblance and containment of documents" (1997); banding as in Leskovec, Rajaraman and
    Ullman, "Mining of massive datasets", chapter 3.

    Args:
        texts: N of them.
        similar: 0 to 1.
    """
    sequences = [_sequences(text) for text in texts]
    group = np.arange(len(texts))
    for one, other in _candidates(sequences):
        root, second = _root(group, one), _root(group, other)
        if root != second and _jaccard(sequences[one], sequences[other]) >= similar:
            group[max(root, second)] = min(root, second)
    return np.array([_root(group, row) for row in range(len(group))], dtype=np.int64)


def _sequences(text: str) -> Numbers:
    """Return the sorted distinct sequences of a text as numbers."""
    letters = _IGNORED.sub("", unicodedata.normalize("NFKC", text).casefold()) or text.strip()
    data = letters.encode("utf-32-le")
    count = max(1, len(letters) - LENGTH + 1)
    return np.unique(np.array([zlib.crc32(data[4 * i : 4 * (i + LENGTH)]) for i in range(count)], dtype=np.uint64))


def _candidates(sequences: Sequence[Numbers]) -> Iterator[tuple[int, int]]:
    """Yield pairs that agree in a band, each text with the first of its bucket and with the one before it."""
    draw = np.random.default_rng(0)
    a, b = (draw.integers(1, int(_PRIME), BANDS * IN_BAND, dtype=np.uint64) for _ in range(2))
    signatures = np.array([((a * (s[:, None] % _PRIME) + b) % _PRIME).min(axis=0) for s in sequences])
    for band in range(BANDS):
        keys = signatures[:, band * IN_BAND : (band + 1) * IN_BAND]
        _, bucket = np.unique(keys, axis=0, return_inverse=True)
        order = np.argsort(bucket.reshape(-1), kind="stable")
        sizes = np.bincount(bucket.reshape(-1))
        ends = np.cumsum(sizes)
        for end, size in zip(ends[sizes > 1], sizes[sizes > 1], strict=True):
            rows = order[end - size : end].tolist()
            for place, row in enumerate(rows[1:], 1):
                yield rows[0], row
                if place > 1:
                    yield rows[place - 1], row


def _root(group: Ints, row: int) -> int:
    while group[row] != row:
        row = int(group[row])
    return row


def _jaccard(one: Numbers, other: Numbers) -> float:
    common = len(np.intersect1d(one, other, assume_unique=True))
    return common / (len(one) + len(other) - common)
