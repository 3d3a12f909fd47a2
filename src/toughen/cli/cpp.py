"""`toughen cpp-dir` and `toughen tokenizer compile`: what C++ needs of the package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toughen.cli.root import HELP_NAMES, app
from toughen.deploy.files import cpp_folder

tokenizer = typer.Typer(
    help="Tokenizers for the C++ runtime.", no_args_is_help=True, rich_markup_mode=None, context_settings=HELP_NAMES
)
app.add_typer(tokenizer, name="tokenizer")

Length = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="Tokens per text; default: the tokenizer's own, or 512 where it names none."),
]


@tokenizer.command("compile")
def compile_one(
    source: Annotated[str, typer.Argument(metavar="FOLDER|ID", help="A tokenizer, as transformers loads it.")],
    to: Annotated[Path, typer.Option(metavar="FILE", help="Table to write.")],
    max_length: Length = None,
    words: Annotated[bool, typer.Option("--words", help="For lists of words, as taggers take them.")] = False,
) -> None:
    """Write a tokenizer as the table from which the C++ runtime makes the same ids."""
    from toughen.deploy.table import Reading, compile_tokenizer  # loads the tokenizers library

    compile_tokenizer(source, to, Reading(max_length or 0, words=words))
    typer.echo(f"{to}: {to.stat().st_size:,} bytes")


@app.command("cpp-dir")
def cpp_dir() -> None:
    """Print the folder with the C++ runtime's files, for cmake -S."""
    typer.echo(cpp_folder())
