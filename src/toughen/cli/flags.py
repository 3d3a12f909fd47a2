"""A command that takes the settings of a recipe."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

OVERRIDES = "toughen.overrides"


class RecipeCommand(TyperCommand):
    """A command whose further flags are the settings of a recipe; they are found in ``ctx.meta[OVERRIDES]``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take the recipe's flags out of ``args`` and leave the rest to the command's own options."""
        from toughen.cli import recipe_flags  # loads torch

        own = {n for p in self.get_params(ctx) for n in (*p.opts, *p.secondary_opts) if n.startswith("-")}
        rest, ctx.meta[OVERRIDES] = recipe_flags.split(args, own)
        return super().parse_args(ctx, rest)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the help of every setting below the command's own options."""
        from toughen.cli import recipe_flags  # loads torch

        formatter.write("\n" + "\n".join(recipe_flags.help_lines()) + "\n")
