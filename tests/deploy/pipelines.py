"""Small tokenizers with the pipelines of real model families, trained on sentences of our own."""

import io
import random

from deploy.ugly import COMMON, ugly_strings

SYLLABLES = ["ka", "lo", "mi", "né", "ру", "ка", "的", "一", "部", "한", "क", "ß", "ing", "er", "ed", "s"]


def corpus(count=400, seed=3):
    rng = random.Random(seed)
    words = COMMON + ["".join(rng.choices(SYLLABLES, k=rng.randint(1, 4))) for _ in range(150)]
    return [" ".join(rng.choices(words, k=rng.randint(3, 14))) for _ in range(count)]


def sentencepiece(size=600):
    """Return (pieces with scores, the map nmt_nfkc, which real SentencePiece models carry)."""
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2

    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus()),
        model_writer=written,
        vocab_size=size,
        hard_vocab_limit=False,
        normalization_rule_name="nmt_nfkc",
        minloglevel=2,
    )
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(written.getvalue())
    return [(p.piece, p.score) for p in model.pieces], model.normalizer_spec.precompiled_charsmap


def xlm_r():
    from transformers import XLMRobertaTokenizer

    pieces, charsmap = sentencepiece()
    vocab = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *pieces[3:], ("<mask>", 0.0)]
    return XLMRobertaTokenizer(vocab=vocab, _spm_precompiled_charsmap=charsmap)


def deberta_file():
    """As the tokenizer.json of microsoft/deberta-v3-base has it: Strip, Precompiled, runs of spaces; Metaspace."""
    from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    pieces, charsmap = sentencepiece()
    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]
    inner = Tokenizer(models.Unigram([*((s, 0.0) for s in special), *pieces[3:], ("[MASK]", 0.0)], unk_id=3))
    inner.normalizer = normalizers.Sequence(
        [normalizers.Strip(), normalizers.Precompiled(charsmap), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    inner.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(prepend_scheme="always")])
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )
    inner.add_tokens([AddedToken("[UNK]", special=True, normalized=True)])
    inner.add_special_tokens([AddedToken("[MASK]", lstrip=True, rstrip=True, normalized=False)])
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=inner, **names)


def deberta():
    """As transformers itself puts a DeBERTa-v2 tokenizer together."""
    from transformers import DebertaV2Tokenizer

    special = [(s, 0.0) for s in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")]
    return DebertaV2Tokenizer(vocab=[*special, *sentencepiece()[0][3:]], do_lower_case=True, split_by_punct=True)


def albert():
    from transformers import AlbertTokenizer

    pieces, charsmap = sentencepiece()
    special = [(s, 0.0) for s in ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")]
    return AlbertTokenizer(vocab=[*special, *pieces[3:]], _spm_precompiled_charsmap=charsmap)


def gpt2(bare=False):
    """Byte-level BPE that composes first and puts a space before, as some of GPT-2's children do; bare: GPT-2's own."""
    from tokenizers import ByteLevelBPETokenizer, normalizers, pre_tokenizers, processors
    from transformers import GPT2TokenizerFast, PreTrainedTokenizerFast

    inner = ByteLevelBPETokenizer(add_prefix_space=True)
    inner.train_from_iterator([*corpus(), *ugly_strings(50, seed=9)], 900, special_tokens=["<|endoftext|>"])
    inner = inner._tokenizer
    if bare:
        inner.normalizer, inner.pre_tokenizer = None, pre_tokenizers.ByteLevel(add_prefix_space=False)
        inner.post_processor = processors.ByteLevel(trim_offsets=True, add_prefix_space=False)
        return GPT2TokenizerFast(tokenizer_object=inner, pad_token="<|endoftext|>", add_prefix_space=False)
    inner.normalizer = normalizers.NFKC()
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    return PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<|endoftext|>", eos_token="<|endoftext|>")


def bert(cased=False):
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertTokenizerFast

    inner = BertWordPieceTokenizer(lowercase=not cased)
    inner.train_from_iterator(corpus(), 400)
    # Training numbers equally frequent pieces by chance; sorted, random models on top are the same in every run.
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [*special, *sorted(set(inner.get_vocab()) - set(special))]
    return BertTokenizerFast(vocab={word: i for i, word in enumerate(words)}, do_lower_case=not cased)


PIPELINES = {
    "bert": bert,
    "bert-cased": lambda: bert(cased=True),
    "gpt2": gpt2,
    "gpt2-bare": lambda: gpt2(bare=True),
    "xlm-r": xlm_r,
    "deberta-file": deberta_file,
    "deberta": deberta,
    "albert": albert,
}
