"""Heads: an encoder with a pooling of its own, and layers that start afresh or stand still.

Importing this module tells transformers' Auto classes about model type ``toughen-head``.
"""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import SequenceClassifierOutput

from toughen.data.tokens.tokenise import OFFSET_POSITIONS
from toughen.errors import InputError
from toughen.model.groups import is_embedding
from toughen.model.head_config import Head
from toughen.tasks import TaskName

__all__ = [
    "Head",
    "PooledConfig",
    "PooledForSequenceClassification",
    "apply_head",
    "check_head",
    "encoder_layers",
    "load_encoder",
    "pooled",
]

DROPOUT_FIELDS = (
    "classifier_dropout",
    "seq_classif_dropout",
    "cls_dropout",
    "classifier_dropout_prob",
    "classif_dropout",
    "summary_last_dropout",
    "pooler_dropout",
)
"""What configs call the dropout of their own head."""
ENCODER_DROPOUT_FIELDS = ("hidden_dropout_prob", "dropout", "resid_pdrop", "resid_dropout")
"""What configs call the dropout that such a head falls back to."""
LAST = 4


class PooledConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]
    """Config of :class:`PooledForSequenceClassification`: the encoder's own config, and the pooling.

    Attributes:
        encoder_config: the config of the encoder.
        pooling: cls, mean, attention or last4.
        head_dropout: of the head, 0 to below 1.
    """

    model_type = "toughen-head"
    sub_configs: ClassVar[dict[str, Any]] = {"encoder_config": AutoConfig}

    def __init__(
        self,
        encoder_config: PreTrainedConfig | dict[str, Any] | None = None,
        pooling: str = "mean",
        head_dropout: float = 0.1,
        **kwargs: Any,
    ) -> None:
        if isinstance(encoder_config, dict):
            encoder_config = AutoConfig.for_model(**encoder_config)
        self.encoder_config: Any = encoder_config
        self.pooling = pooling
        self.head_dropout = head_dropout
        super().__init__(**kwargs)

    @property
    def hidden_size(self) -> int:
        """Width of the encoder's output."""
        return int(self.encoder_config.hidden_size)

    @property
    def num_hidden_layers(self) -> int:
        """Layers of the encoder."""
        return int(self.encoder_config.num_hidden_layers)

    @property
    def vocab_size(self) -> int:
        """Rows of the encoder's table of input embeddings."""
        return int(self.encoder_config.vocab_size)

    @property
    def initializer_range(self) -> float:
        """Standard deviation of new weights."""
        return float(getattr(self.encoder_config, "initializer_range", None) or 0.02)

    @property
    def position_biased_input(self) -> bool:
        """False where the encoder knows relative positions only (DeBERTa-v2)."""
        return bool(getattr(self.encoder_config, "position_biased_input", True))

    @property
    def max_position_embeddings(self) -> int | None:
        """Tokens that have a position: fewer than the encoder's table has rows where that leaves rows unused."""
        encoder = self.encoder_config
        rows = getattr(encoder, "max_position_embeddings", None)
        if not rows or encoder.model_type not in OFFSET_POSITIONS:
            return rows
        padding = getattr(encoder, "pad_token_id", 1)
        return int(rows) - 1 - (1 if padding is None else int(padding))


class Pool(nn.Module):
    """From an encoder's hidden states to one vector per text; padding on either side counts for nothing.

    ``cls``: the first token. ``mean``: the mean over the tokens. ``attention``: their mean with weights
    softmax(v tanh(W h + b) + c), learned (additive attention). ``last4``: the first token after each of the last four
    layers, the lowest first.
    """

    def __init__(self, pooling: str, width: int) -> None:
        super().__init__()
        self.pooling = pooling
        self.width = LAST * width if pooling == "last4" else width
        if pooling == "attention":
            self.scorer = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1))

    def forward(self, hidden: tuple[Tensor, ...], mask: Tensor) -> Tensor:
        """Pool: hidden, the last states of all layers asked for, [B, T, D] each; mask [B, T] bool -> [B, width]."""
        last = hidden[-1]
        if self.pooling in ("cls", "last4"):
            rows, first = torch.arange(last.shape[0], device=last.device), mask.int().argmax(1)
            layers = hidden[-LAST:] if self.pooling == "last4" else (last,)
            return torch.cat([layer[rows, first] for layer in layers], dim=-1)
        if self.pooling == "attention":
            scores = self.scorer(last).squeeze(-1)
            # Not -inf: a row of padding alone must not become NaN.
            weights = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(1)
        else:
            weights = mask.to(last.dtype) / mask.sum(1, keepdim=True).clamp(min=1)
        pooled: Tensor = (last * weights.to(last.dtype).unsqueeze(-1)).sum(1)
        return pooled


class PooledForSequenceClassification(PreTrainedModel):  # type: ignore[no-untyped-call]
    """Any encoder of transformers' AutoModel, a :class:`Pool` over its states, dropout and a linear layer."""

    config_class = PooledConfig
    base_model_prefix = "backbone"
    supports_gradient_checkpointing = True
    accepts_loss_kwargs = False
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True

    def __init__(self, config: PooledConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        # The loader sets the default dtype, which the encoder's own config must not overrule.
        build: Any = AutoModel.from_config
        self.backbone = without_pooler(build(config.encoder_config, dtype=torch.get_default_dtype()))
        self.pool = Pool(config.pooling, config.hidden_size)
        self.dropout = nn.Dropout(config.head_dropout)
        self.classifier = nn.Linear(self.pool.width, int(config.num_labels or 2))
        self.post_init()  # type: ignore[no-untyped-call]

    def get_input_embeddings(self) -> nn.Module:
        """Return the encoder's table of input embeddings."""
        table: nn.Module = self.backbone.get_input_embeddings()
        return table

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the encoder's table of input embeddings."""
        self.backbone.set_input_embeddings(value)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> SequenceClassifierOutput | tuple[Any, ...]:
        """Classify: input_ids [B, T], attention_mask [B, T] (1 on tokens) -> logits [B, K], and a loss for labels.

        The loss is the one that transformers' classifiers have for ``config.problem_type``; hidden states are returned
        where they are asked for, and where pooling ``last4`` needs them.
        """
        given: dict[str, Any] = {"input_ids": input_ids, "token_type_ids": token_type_ids, "position_ids": position_ids}
        given |= {"attention_mask": attention_mask, "inputs_embeds": inputs_embeds, **kwargs}
        given = {name: value for name, value in given.items() if value is not None}
        if self.config.pooling == "last4":
            given["output_hidden_states"] = True
        outputs = self.backbone(**given, return_dict=True)
        last = outputs.last_hidden_state
        mask = last.new_ones(last.shape[:2]) if attention_mask is None else attention_mask
        hidden = outputs.hidden_states if self.config.pooling == "last4" else (last,)
        logits = self.classifier(self.dropout(self.pool(hidden, mask.bool())))
        loss = None
        if labels is not None:
            loss = self.loss_function(labels=labels, pooled_logits=logits, config=self.config)
        output = SequenceClassifierOutput(
            loss=loss,
            logits=logits,
            hidden_states=outputs.get("hidden_states"),
            attentions=outputs.get("attentions"),
        )
        return output.to_tuple() if return_dict is False else output


AutoConfig.register(PooledConfig.model_type, PooledConfig, exist_ok=True)
AutoModelForSequenceClassification.register(PooledConfig, PooledForSequenceClassification, exist_ok=True)


def load_encoder(source: str, *, dtype: torch.dtype, local_files_only: bool = False) -> tuple[Any, list[str]]:
    """Load the encoder of any model, without its pooler, from a hub id or a folder.

    Returns:
        The encoder, and the names of those of its parameters that the checkpoint does not hold.
    """
    loading: dict[str, Any] = {"dtype": dtype, "local_files_only": local_files_only}
    config = AutoConfig.from_pretrained(source, local_files_only=local_files_only)
    if isinstance(config, PooledConfig):
        return PooledForSequenceClassification.from_pretrained(source, **loading).backbone, []
    load: Any = AutoModel.from_pretrained
    encoder, report = load(source, output_loading_info=True, **loading)
    encoder = without_pooler(encoder)
    kept = {name for name, _ in encoder.named_parameters()}
    return encoder, sorted(kept & set(report["missing_keys"]))


def without_pooler(encoder: Any) -> Any:
    """Take the pooler off an encoder that can do without: no gradient would ever reach it."""
    if "add_pooling_layer" in inspect.signature(type(encoder).__init__).parameters:
        encoder.pooler = None
    return encoder


def check_head(head: Head, task: TaskName, config: Any) -> None:
    """Refuse a head that the task or the model cannot have; config is the pretrained model's.

    Raises:
        InputError: naming both, and what to use instead.
    """
    if head.pooling == "model":
        return
    what = f"head.pooling {head.pooling}"
    if task == "tokens":
        raise InputError(
            f"{what} makes one vector of a whole text, but task tokens needs one per word; set head.pooling to model."
        )
    if getattr(config, "is_encoder_decoder", False):
        raise InputError(
            f"{what} needs an encoder or a decoder alone, and {config.model_type} is both; set head.pooling to model "
            "or choose another model."
        )
    layers = int(getattr(config, "num_hidden_layers", 0))
    if head.pooling == "last4" and layers < LAST:
        raise InputError(
            f"{what} needs {LAST} encoder layers, and {config.model_type} has {layers} here; use mean or attention."
        )


def pooled(encoder: Any, head: Head, **labels: Any) -> PooledForSequenceClassification:
    """Put a new head on a pretrained encoder; ``labels`` go to the config (num_labels, id2label, problem_type, ...).

    Raises:
        InputError: if the head takes the first token of an encoder whose first token sees no other.
    """
    if head.pooling in ("cls", "last4") and not first_token_sees(encoder):
        raise InputError(
            f"head.pooling {head.pooling} takes the first token, which in {type(encoder).__name__} sees no other "
            "token; use mean or attention."
        )
    config = encoder.config
    if hasattr(config, "use_cache"):
        config.use_cache = False  # a cache is for generating text
    dropout = _default_dropout(config) if head.dropout is None else head.dropout
    made = PooledConfig(encoder_config=config, pooling=head.pooling, head_dropout=dropout, **labels)
    model = PooledForSequenceClassification(made)
    model.backbone = without_pooler(encoder)
    model.name_or_path = made._name_or_path = config._name_or_path
    return model


@torch.no_grad()
def first_token_sees(encoder: Any) -> bool:
    """Say whether a later token changes the first one's state, whatever the family."""
    training = encoder.training
    encoder.eval()
    ids = torch.tensor([[5, 6], [5, 7]], device=encoder.device)
    one, other = encoder(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[:, 0]
    encoder.train(training)
    return float((one - other).abs().max()) > 1e-5 * float(one.abs().max())


def _default_dropout(config: Any) -> float:
    # DeBERTa's pooler_dropout is of a layer that a head of ours has not.
    fields = [name for name in (*DROPOUT_FIELDS, *ENCODER_DROPOUT_FIELDS) if name != "pooler_dropout"]
    named = [getattr(config, name, None) for name in fields]
    return next((float(value) for value in named if isinstance(value, (int, float))), 0.0)


def apply_head(model: Any, head: Head, seed: int) -> None:
    """Give a new model the head's dropout, fresh top layers and frozen bottom layers.

    Raises:
        InputError: if the model's own head has no dropout, or its layers are not there to be counted.
    """
    if head.dropout is not None and not isinstance(model, PooledForSequenceClassification):
        _set_dropout(model, head.dropout)
    if head.reinit_layers or head.freeze_layers:
        layers = encoder_layers(model)
        if head.reinit_layers + head.freeze_layers > len(layers):
            raise InputError(
                f"head.freeze_layers {head.freeze_layers} and head.reinit_layers {head.reinit_layers} are together "
                f"more than the {len(layers)} layers of {type(model).__name__}; lower one of them."
            )
        reinitialise(model, layers[len(layers) - head.reinit_layers :], seed)
        for layer in layers[: head.freeze_layers]:
            layer.requires_grad_(False)
    if head.freeze_embeddings or head.freeze_layers:
        _freeze_embeddings(model)


def encoder_layers(model: Any) -> list[nn.Module]:
    """Return the encoder's layers, the bottom one first.

    Raises:
        InputError: if the model has no such list (ALBERT shares one layer between all depths), or two (BART).
    """
    name, count = type(model).__name__, getattr(model.config, "num_hidden_layers", None)
    lists = [m for m in model.base_model.modules() if isinstance(m, nn.ModuleList) and len(m) == count]
    if not lists or model.config.is_encoder_decoder:
        raise InputError(
            f"head.freeze_layers and head.reinit_layers need a model with one list of {count} layers, which {name} "
            "has not; set both to 0."
        )
    return list(lists[0])


def reinitialise(model: Any, layers: list[nn.Module], seed: int) -> None:
    """Draw the weights of some of the encoder's layers anew, as its architecture starts training from nothing."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        for module in [module for layer in layers for module in layer.modules()]:
            # Loaded weights are marked, and transformers leaves those alone.
            for tensor in module.parameters(recurse=False):
                tensor._is_hf_initialized = False  # type: ignore[attr-defined]
            model.base_model._init_weights(module)


def _freeze_embeddings(model: Any) -> None:
    layers = {id(p) for m in model.base_model.modules() if isinstance(m, nn.ModuleList) for p in m.parameters()}
    found = [p for name, p in model.base_model.named_parameters(prefix="base") if is_embedding(name)]
    frozen = [p for p in [*found, *model.get_input_embeddings().parameters()] if id(p) not in layers]
    for parameter in frozen:
        parameter.requires_grad_(False)


def _set_dropout(model: Any, dropout: float) -> None:
    inside = {id(module) for module in model.base_model.modules()}
    found = [m for m in model.modules() if isinstance(m, nn.Dropout) and id(m) not in inside]
    if not found:
        raise InputError(
            f"head.dropout is {dropout}, but the head of {type(model).__name__} has no dropout; set it to null, or "
            "head.pooling to mean or attention."
        )
    for module in found:
        module.p = dropout
    for name in DROPOUT_FIELDS:
        # DeBERTa reads cls_dropout without declaring it.
        if hasattr(model.config, name) or (name == "cls_dropout" and "Deberta" in type(model).__name__):
            setattr(model.config, name, dropout)
