"""Deliberately ugly strings, by chance: all of Unicode, marks in heaps, emoji, control characters, long words."""

import random

# fmt: off
COMMON = [
    "the", "a", "and", "of", "to", "in", "is", "it", "was", "film", "good", "bad", "very", "not", "don't", "I'll",
    "we've", "she'd", "IT'S", "re-do", "3.14", "1,000", "$5", "50%", ",,,", "...", "!?",
]
SPECIAL = [
    "[CLS]", "[SEP]", "[MASK]", "[UNK]", "[PAD]", "<s>", "</s>", "<mask>", "<unk>", "<pad>", "<|endoftext|>", "\u2581",
]
SPACES = [
    " ", "  ", "   ", "\t", "\n", "\r\n", "\u00a0", "\u3000", "\u2003", "\u2028", "\u0085", "\u000b", "\u001c",
    "\u200b",
]
MARKS = [chr(code) for code in (
    *range(0x300, 0x370), *range(0x591, 0x5C8), *range(0x64B, 0x660), 0x93C, 0x94D, 0x302E, 0x302F, 0x1D165, 0x1D16D,
    0x1D16E, 0x20DD, 0xFE0F, 0xFE0E, 0x200D, 0x200C, 0x9BE, 0x16FF0, 0xE0020,
)]
EMOJI = [
    "\U0001f600", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f3f3\ufe0f\u200d\U0001f308", "\U0001f1e9",
    "\U0001f1e9\U0001f1ea", "\U0001f44d\U0001f3fd", "1\ufe0f\u20e3", "\u00a9\ufe0f", "\u2122", "\u00a9\u200d",
]
CONTROL = [chr(code) for code in (
    *range(0x20), *range(0x7F, 0xA0), 0xAD, 0x200E, 0x202E, 0x2060, 0xFEFF, 0xFFFD, 0xFFFF, 0x10FFFF,
)]
PREPENDED = ["\u0600", "\u06dd", "\u070f", "\u0d4e", "\U000110bd"]
RANGES = (
    (0x20, 0x7F), (0xA0, 0x250), (0x370, 0x530), (0x590, 0x700), (0x900, 0xE00), (0xE00, 0x1000), (0x1100, 0x1200),
    (0x1E00, 0x2000), (0x2000, 0x2C00), (0x3000, 0x3400), (0x4E00, 0xA000), (0xA960, 0xA97D), (0xAC00, 0xD800),
    (0xF900, 0x10000), (0x10000, 0x12000), (0x1D100, 0x1D800), (0x1F000, 0x1FB00), (0x20000, 0x20100),
    (0x2F800, 0x2FA20), (0, 0xD800), (0xE000, 0x110000),
)
# fmt: on


def _character(rng):
    return chr(rng.randrange(*rng.choice(RANGES)))


def _word(rng):
    return "".join(_character(rng) for _ in range(rng.randint(1, 6)))


def _script(rng):
    bounds = rng.choice(RANGES)
    return "".join(chr(rng.randrange(*bounds)) for _ in range(rng.randint(1, 12)))


def _marked(rng):
    base = rng.choice([_character(rng), "a", "e", "q", "ﬁ", "क", "\u0958", "ｶ", "\u00a0", "ー", "¨"])
    return base + "".join(rng.choices(MARKS, k=rng.randint(1, 4)))


def _long(rng):
    return rng.choice(["x", "ab", "é", "中", "😀", "'s", "1", "-", "\u0301", " "]) * rng.randint(20, 160)


PARTS = (
    (lambda rng: rng.choice(COMMON), 30),
    (lambda rng: rng.choice(COMMON).upper(), 4),
    (lambda rng: rng.choice(SPACES), 14),
    (_character, 10),
    (_word, 8),
    (_script, 10),
    (_marked, 12),
    (lambda rng: rng.choice(EMOJI), 5),
    (lambda rng: rng.choice(CONTROL), 5),
    (lambda rng: rng.choice(SPECIAL), 4),
    (lambda rng: rng.choice(PREPENDED) + _marked(rng), 2),
    (lambda rng: str(rng.randrange(10 ** rng.randint(1, 12))), 4),
    (_long, 1),
)


def ugly_strings(count, seed):
    """Return strings without surrogates: a Python str that can be UTF-8."""
    rng = random.Random(seed)
    makers, weights = zip(*PARTS, strict=True)
    made = []
    for _ in range(count):
        parts = (make(rng) for make in rng.choices(makers, weights, k=rng.randint(0, 14)))
        text = rng.choice(["", " "]).join(parts)
        made.append("".join(c for c in text if not "\ud800" <= c <= "\udfff"))
    return made


# What the sanitizer looks for: letters of several alphabets that look alike, joiners, backspaces, heaps of marks.
# fmt: off
DISGUISES = [
    *"аеорсухіѕԁһαοορνօոսɑɡбжλβԱA", "\u200c", "\u200d", "\u180b", "\b", "\b\b", "\b" * 6, "\u202e", "\u2066", "\ufe0f",
    "\u0301" * 3, "\u0301" * 7, "\u0323\u20dd", "ا", "क", "👩", "\U0001f3fd", "ﬁ", "ａ", "中", "a" * 31, "о" * 33,
]
# fmt: on


def disguised_strings(count, seed):
    """Return ugly strings or common words, with such things put in at chance places."""
    rng = random.Random(seed)
    made = []
    for text in ugly_strings(count, seed):
        chars = list(text if rng.random() < 0.5 else " ".join(rng.choices(COMMON, k=6)))
        for _ in range(rng.randint(0, 12)):
            chars.insert(rng.randint(0, len(chars)), rng.choice(DISGUISES))
        made.append("".join(chars))
    return made
