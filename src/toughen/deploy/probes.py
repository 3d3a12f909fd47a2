"""Texts of adversarial length and script, of our own making, on which an export has to prove itself."""

from __future__ import annotations

from typing import Any

_UGLY = (
    "",
    " ",
    "a",
    "Good",
    "It wasn't GOOD, it's the BEST film I've seen; they'll say so!",
    "two  spaces,\ttab,\nline\r\nend ",
    "caf\u00e9 cafe\u0301 na\u00efve \u00c5ngstr\u00f6m A\u030angstro\u0308m",
    "q\u0323\u0307 q\u0307\u0323 \u1e9b\u0323 \ufb01ne \u2168 \u00bd \uff21\uff22\uff23",
    "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466\U0001f3f3\ufe0f\u200d\U0001f308",
    "\U0001f1e9\U0001f1ea 1\ufe0f\u20e3",
    "这部电影很好看。服务 very 差！東京タワー ｶﾞｷﾞ",
    "Привет, мир! Ελληνικά Σς שלום مرحبا नमस्ते क्षि 한국어 \u1112\u1161\u11ab ไทย",
    "\u0000\u0001\u0008\u001b\u007f\u0085\u00ad\u200b\u200e\u2028\ufeff\ufffd x",
    "\u0130stanbul I\u0307 \u1e9e stra\u00dfe \u01c5",
    "don't we'RE 'S 's1 12345 1,234.5 $5 50% a_b a-b http://x.y/z?q=1#2 @me <b>",
    "\u00a0nbsp\u3000wide\u2003em\u2009thin",
    "[CLS] x [SEP] <s> y </s> <mask> [MASK] <unk> [UNK] <pad> <|endoftext|>",
    "\u2581lower \u2581 one \u2581\u2581",
    "\u0301start \U0001d165\U0001d16d \u302e\u302f \u0915\u094d\u0958\u0300",
    "\U0010ffff\ue000\U000e0001\ufdd0",
    "x" * 150,
    "ha" * 120 + " \u00e9" * 30,
)
SELF_TEST: tuple[str, ...] = _UGLY
"""Texts whose ids are stored with a tokenizer's table."""
SANITIZER_TEST: tuple[str, ...] = (
    "g\u200boo\u202ed fi\u200dlm, m\u043evi\u0435 \u043c\u043ere \u03b1-helix gox\bod xy\b\bz \b.",
    "e\u0301\u0323\u0301\u0301\u0301\u0301\u0301 \u0645\u06cc\u200c\u062e \u0915\u094d\u200d\u0937",
    "\U0001f468\u200d\U0001f469 \u0410pple \u0421\u0410\u0428\u0410 "
    + "\u043e" * 40
    + "b \u0431"
    + "a" * 31
    + "\u043e"
    + "x" * 31
    + "\u0436",
)
"""Texts stored besides with a tokenizer that has the sanitizer."""

_WORDS = ("the", "film", "was", "very", "good", "and", "the", "room", "cold")


def adversarial_texts(tokenizer: Any, max_length: int, task: str, pairs: bool) -> list[Any]:
    """Return texts (pairs of them; for tokens lists of words): ugly ones, and some of the limit's length and about it.

    Args:
        tokenizer: decides what length is.
        max_length: tokens of a text, special ones included.
        task: of the model.
        pairs: whether the model takes pairs.
    """
    room = max_length - tokenizer.num_special_tokens_to_add(pair=pairs)
    lengths = sorted({1, max(room - 1, 1), room, room + 1, 2 * room + 3})
    texts = [*_UGLY, *(_of_length(tokenizer, length) for length in lengths)]
    if not tokenizer("")["input_ids"]:
        texts = [text for text in texts if _tokens(tokenizer, text)]  # the model itself takes no empty text
    if task == "tokens":
        return [text.split() or ["a"] for text in texts]
    return list(zip(texts, reversed(texts), strict=True)) if pairs else texts


def _of_length(tokenizer: Any, length: int) -> str:
    """Return words that make so many tokens, or as many more as the last word has."""
    text = _WORDS[0]
    number = 1
    while _tokens(tokenizer, text) < length:
        text += f" {_WORDS[number % len(_WORDS)]}"
        number += 1
    return text


def _tokens(tokenizer: Any, text: str) -> int:
    return len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
