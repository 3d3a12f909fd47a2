"""Where a perturbation enters the model: one forward hook, registered once, that adds whatever delta is set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from toughen.errors import InputError


class Site:
    """The output of one module of the model, at which a perturbation can be added.

    The hook stays until :meth:`close`; without a delta it leaves the output alone. It is registered before the first
    forward, because a hook added after a compiled forward is silently ignored.

    Attributes:
        width: last dimension of the module's output (the *embedding* width, not always the hidden width).
        unit: mean L2 norm when the site was made, of the rows of the input-embedding table or, where a layer's was to
            be measured, of a token of its output.
        padding_idx: the table's padding row, which never moves, or None.
        dtype: dtype of perturbations here: float32, or float64 in a float64 model.
    """

    def __init__(
        self, model: nn.Module, place: str = "embeddings", *, measured: bool = False, embedding: str | None = None
    ) -> None:
        """Register the hooks.

        Args:
            model: bare.
            place: embeddings, or "layer k".
            measured: whether the unit of a layer is its own, not the embedding table's.
            embedding: see :func:`input_embeddings`.
        """
        self.model_name = type(model).__name__
        self.place = place
        table = input_embeddings(model, embedding)
        weight: Any = table.weight
        full = weight.full_tensor() if hasattr(weight, "full_tensor") else weight
        self.dtype = torch.float64 if weight.dtype == torch.float64 else torch.float32
        self.unit = float(full.detach().to(self.dtype).norm(dim=-1).mean())
        self.padding_idx: int | None = getattr(table, "padding_idx", None)
        module = table if place == "embeddings" else encoder_layer(model, int(place.removeprefix("layer ")))
        self.width = int(weight.shape[-1]) if place == "embeddings" else int(_config(model).hidden_size)
        self._delta: Tensor | None = None
        self._change: Callable[[Tensor], Tensor] | None = None
        self._fired = 0
        self._shape: tuple[int, ...] = ()
        self._ids: Tensor | None = None
        self._layout_known = False
        if measured and place != "embeddings":
            self.unit = token_norm(model, module, table)
        self._handles = [module.register_forward_hook(self._hook), table.register_forward_pre_hook(self._remember_ids)]

    @contextmanager
    def perturbed(
        self, delta: Tensor | None, ids: Tensor, change: Callable[[Tensor], Tensor] | None = None
    ) -> Iterator[None]:
        """Change the output [B, T, D] and add delta in the one forward pass over ids [B, T] made inside.

        Both are gone afterwards in any case.

        Raises:
            InputError: if the model did not run the module exactly once in that pass, or not on [B, T] inputs.
        """
        self._delta, self._change, self._fired = delta, change, 0
        self._shape = (*ids.shape, self.width)
        try:
            yield
            if self._active:
                self._check_firing(ids)
        finally:
            self._delta = self._ids = self._change = None

    @property
    def _active(self) -> bool:
        return self._delta is not None or self._change is not None

    def close(self) -> None:
        """Remove the hook."""
        for handle in self._handles:
            handle.remove()

    def _remember_ids(self, _module: nn.Module, args: tuple[Any, ...]) -> None:
        # Needed once, on the first perturbed pass; keeping it would be a graph break in a compiled model.
        if not self._layout_known and self._active and args and isinstance(args[0], Tensor):
            self._ids = args[0]

    def _hook(self, _module: nn.Module, _args: tuple[Any, ...], output: Any) -> Any:
        if not self._active:
            return None
        self._fired += 1
        hidden = _hidden_states(output)
        self._check_layout(hidden)
        # A float32 change added to bfloat16 would mostly be rounded away: widen, change, then go back.
        moved = hidden.to(self.dtype)
        if self._change is not None:
            moved = self._change(moved)
        if self._delta is not None:
            moved = moved + self._delta
        moved = moved.to(hidden.dtype)
        return (moved, *output[1:]) if isinstance(output, tuple) else moved

    def _check_layout(self, hidden: Tensor) -> None:
        # Compiled code would be made anew for every length that it compares with a number.
        expected = self._shape if self._delta is None else self._delta.shape
        if torch.compiler.is_compiling() and self._delta is None:
            return
        if hidden.shape != expected:
            raise InputError(
                f"{self.model_name} computes its {self.place} in the layout {tuple(hidden.shape)} where "
                f"[batch, tokens, width] = {tuple(expected)} is needed, so a perturbation would hit the wrong "
                "examples; train it without adversary and inputs."
            )

    def _check_firing(self, ids: Tensor) -> None:
        if self._fired != 1:
            raise InputError(
                f"{self.model_name} ran its {self.place} module {self._fired} times in one forward pass where exactly "
                "once is needed, so it cannot be perturbed; use an encoder or decoder with a single input embedding "
                "(BERT, RoBERTa, DeBERTa, GPT-2, ...) or train without adversary and inputs."
            )
        if self._layout_known:
            return
        # XLNet's [T, B, D] looks right when B == T: compare the ids themselves, once.
        if self._ids is not None and (self._ids.shape != ids.shape or not torch.equal(self._ids.to(ids.device), ids)):
            raise InputError(
                f"{self.model_name} embeds its tokens in another layout than [batch, tokens], so a perturbation would "
                "hit the wrong examples; train it without adversary and inputs."
            )
        self._layout_known = True


@torch.no_grad()
def token_norm(model: nn.Module, module: nn.Module, table: Any) -> float:
    """Return the mean L2 norm of a token [D] of a module's output, dropout off.

    Over texts of random words, always the same: so the unit depends on the weights alone, and not on which rows come
    first, how they are cut into micro-batches, or the process.
    """
    ids = _random_texts(model, table)
    found: list[Tensor] = []
    handle = module.register_forward_hook(lambda _module, _args, output: found.append(_hidden_states(output)))
    modes = {part: part.training for part in model.modules()}
    model.eval()
    try:
        model(input_ids=ids, attention_mask=torch.ones_like(ids))
    finally:
        handle.remove()
        for part, training in modes.items():
            part.training = training
    (hidden,) = found
    return float(hidden.float().norm(dim=-1).mean())


def _random_texts(model: nn.Module, table: Any, rows: int = 8, tokens: int = 32) -> Tensor:
    longest = getattr(_config(model), "max_position_embeddings", None) or tokens
    size = (rows, max(1, min(tokens, longest - 2)))  # some families number positions from 2
    ids = torch.randint(0, len(table.weight), size, generator=torch.Generator().manual_seed(0))
    padding = getattr(table, "padding_idx", None)
    if padding is not None:
        ids = torch.where(ids == padding, (ids + 1) % len(table.weight), ids)
    return ids.to(table.weight.device)


def _hidden_states(output: Any) -> Tensor:
    hidden: Tensor = output[0] if isinstance(output, tuple) else output
    return hidden


def input_embeddings(model: nn.Module, named: str | None = None) -> nn.Module:
    """Return the module that embeds the tokens: transformers' own, or the one whose name contains ``named``.

    Args:
        model: bare.
        named: a part of the name, with or without the dot of a weight's name: "emb" and "emb." find ``emb.weight``.

    Raises:
        InputError: if the model has none, or of the name none or several.
    """
    if named is not None:
        return _embeddings_named(model, named)
    getter = getattr(model, "get_input_embeddings", None)
    table = getter() if getter is not None else None
    if not isinstance(table, nn.Module) or not isinstance(getattr(table, "weight", None), Tensor):
        raise InputError(
            f"{type(model).__name__} has no input-embedding table (get_input_embeddings() "
            f"gave {type(table).__name__}), which the adversary perturbs; name it with embedding= "
            f"({_list_tables(_embeddings(model))}), use a transformers model or train without an adversary."
        )
    return table


def _embeddings(model: nn.Module) -> dict[str, nn.Module]:
    return {name: module for name, module in model.named_modules() if isinstance(module, nn.Embedding)}


def _embeddings_named(model: nn.Module, named: str) -> nn.Module:
    there = _embeddings(model)
    found = {name: module for name, module in there.items() if named in f"{name}.weight"}
    if len(found) != 1:
        raise InputError(
            f"embedding={named!r} names {'none' if not found else 'several'} of the embedding tables of "
            f"{type(model).__name__} (nn.Embedding), and just one embeds the tokens; there are: {_list_tables(there)}."
        )
    return next(iter(found.values()))


def _list_tables(tables: dict[str, nn.Module]) -> str:
    return ", ".join(tables) or "none"


def encoder_layer(model: nn.Module, number: int) -> nn.Module:
    """Return encoder layer ``number``, counted from 1.

    Raises:
        InputError: if the model has no such layer, or shares one layer between all depths (ALBERT).
    """
    count = getattr(_config(model), "num_hidden_layers", None)
    lists = [m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == count]
    if not lists:
        raise InputError(f"{type(model).__name__} has no list of {count} encoder layers; use site: embeddings.")
    if not 1 <= number <= len(lists[0]):
        raise InputError(
            f"adversary.site 'layer {number}' does not exist: {type(model).__name__} has layers 1 to {count}."
        )
    return lists[0][number - 1]


def _config(model: nn.Module) -> Any:
    return getattr(model, "config", None)
