"""A command that takes the settings of a recipe."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand

OVERRIDES = "toughen.overrides"
HELP = ("-h", "--help")


class RecipeCommand(TyperCommand):
    """A command whose further flags are the settings of a recipe; they are found in ``ctx.meta[OVERRIDES]``.

    ``--help`` fits a screen; ``--help SLOT`` tells a slot's settings, of the technique that is named if one is.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take the recipe's flags out of ``args`` and leave the rest to the command's own options."""
        from toughen.cli import recipe_flags  # loads torch

        args = list(args)
        slot = _slot_of_help(args, recipe_flags.SLOTS)
        own = {n for p in self.get_params(ctx) for n in (*p.opts, *p.secondary_opts) if n.startswith("-")}
        rest, ctx.meta[OVERRIDES] = recipe_flags.split(args, own)
        if slot is not None and not ctx.resilient_parsing:
            typer.echo("\n".join(recipe_flags.slot_lines(slot, ctx.meta[OVERRIDES].get(slot))))
            ctx.exit()
        return super().parse_args(ctx, rest)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write which settings there are and where their help is, below the command's own options."""
        from toughen.cli import recipe_flags  # loads torch

        lines = recipe_flags.overview() if ctx.command.name == "train" else recipe_flags.pointer()
        formatter.write("\n" + "\n".join(lines) + "\n")


def _slot_of_help(args: list[str], slots: tuple[str, ...]) -> str | None:
    """Take ``--help SLOT`` out of the arguments and return the slot; None if that is not asked."""
    for at, flag in enumerate(args[:-1]):
        if flag in HELP and args[at + 1] in slots:
            slot = args[at + 1]
            del args[at : at + 2]
            return slot
    return None
