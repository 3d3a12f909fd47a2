"""The one command that all verbs join, and the arguments that several of them take."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import toughen
from toughen.files.manifest import everything_read

HELP_NAMES = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class Verbs(TyperGroup):
    """The command without a verb; its help tells what each verb does in a whole sentence."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a line or two per verb, none cut."""
        verbs = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, (verb.help or "").partition("\n\n")[0].replace("\n", " ")) for name, verb in verbs if verb]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


app = typer.Typer(
    cls=Verbs,
    help="Fine-tune transformer text classifiers that generalise, hold up under attack, and ship.",
    epilog="Exit status: 0 done, 2 your input is wrong, 3 the environment failed (disk, permission, memory: one "
    "sentence on stderr each), 130 interrupted, 143 terminated, 1 a fault of toughen.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=HELP_NAMES,
)


def _verify(ctx: typer.Context, wanted: bool) -> None:
    if wanted:
        ctx.with_resource(everything_read())


AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, all else on stderr.")]
Verify = Annotated[
    bool,
    typer.Option(
        "--verify", callback=_verify, help="Read every byte of the runs and models loaded; else sizes and times."
    ),
]
"""Acts by itself, for the time of the command."""
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder that a training wrote.", show_default=False)]
TextColumn = Annotated[str | None, typer.Option("--data.text", metavar="COLUMN", help="Text column; default: found.")]
Encoding = Annotated[
    str | None, typer.Option("--data.encoding", metavar="NAME", help="Of a text file: gbk, utf-16, ...; default UTF-8.")
]
FailIfCollapsed = Annotated[
    bool, typer.Option("--fail-if-collapsed", help="Exit status 2 if a model has learnt nothing.")
]
COLLAPSED = 2
"""Exit status of a training that is asked to fail where a model has learnt nothing."""
PairColumn = Annotated[
    str | None,
    typer.Option("--data.text_pair", metavar="COLUMN", help="Second text of a pair; default: found."),
]


def fail_on_collapse(asked: bool, result: Mapping[str, Any]) -> None:
    """End with the exit status that was asked for, where what was made has learnt nothing."""
    if asked and result.get("collapsed"):
        raise typer.Exit(COLLAPSED)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"toughen {toughen.__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _toughen(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())
