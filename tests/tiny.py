"""A tiny random classifier saved in a folder, and texts that it can learn: the whole product in seconds."""

import random

POSITIVE = ["good", "fine", "great", "warm", "bright"]
NEGATIVE = ["bad", "poor", "awful", "cold", "dull"]
NEUTRAL = ["film", "book", "room", "meal", "phone", "the", "a", "was", "and", "very"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def save_tiny_model(folder, *, dropout=0.1):
    """Write a BERT of 2 layers of width 32 with random weights and a word-level tokenizer."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = SPECIAL + POSITIVE + NEGATIVE + NEUTRAL
    ids = {word: i for i, word in enumerate(words)}
    inner = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    inner.normalizer = normalizers.Lowercase()
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])]
    )
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=inner, **names, mask_token="[MASK]").save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        initializer_range=0.05,
        max_position_embeddings=64,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    BertModel(config).save_pretrained(folder)
    return folder


def reviews(count, seed):
    """Return (text, label) pairs whose label is the sign of their opinion words, all different."""
    rng = random.Random(seed)
    rows = {}
    while len(rows) < count:
        positive = len(rows) % 2 == 0
        words = rng.choices(NEUTRAL, k=rng.randint(3, 9))
        for _ in range(3):
            words.insert(rng.randrange(len(words)), rng.choice(POSITIVE if positive else NEGATIVE))
        rows.setdefault(" ".join(words), "positive" if positive else "negative")
    return list(rows.items())


def write_csv(path, rows):
    path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
    return path


def write_splits(folder, **counts):
    """Write a CSV of so many reviews per split, each split drawn with a seed of its own; return the folder."""
    for seed, (name, count) in enumerate(counts.items()):
        write_csv(folder / f"{name}.csv", reviews(count, seed))
    return folder
