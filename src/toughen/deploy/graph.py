"""A classifier as an ONNX graph: token ids in, logits out, with all that a reader must know in its metadata."""

from __future__ import annotations

import hashlib
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from toughen.deploy.description import ACTIVATIONS
from toughen.deploy.files import FORMAT, METADATA, TABLE, TOKENIZER
from toughen.deploy.joint import Joint, Leaf, build_joint, refuse_no_graph
from toughen.errors import InputError, first_line

if TYPE_CHECKING:
    from toughen.classifier.classifier import Classifier

OPSET = 17
_MOST = 2 * 1024**3  # bytes; above, ONNX puts weights into files of their own


class Graph(torch.nn.Module):
    """A classifier's logits: its one model's, of several models those whose activation gives what they say together.

    Args:
        whole: the model, or the models joined.
    """

    def __init__(self, whole: Leaf | Joint) -> None:
        super().__init__()
        self.whole = whole

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return logits [B, C] (tokens: [B, T, C]) of ``inputs``, int64 [B, T] each."""
        if isinstance(self.whole, Leaf):
            return self.whole.logits(*inputs)  # its temperature is left to the reader
        said: list[Tensor] = self.whole(*inputs)
        return said[0] if len(said) == 1 else said[0] - said[1]


class FirstTokens(torch.nn.Module):
    """What `toughen.model.head.Pool` does for cls and last4, without the number of rows written into the graph."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, hidden: tuple[Tensor, ...], mask: Tensor) -> Tensor:
        """Pool: hidden, [B, T, D] each; mask [B, T] bool -> [B, layers * D]."""
        first = mask.int().argmax(1)[:, None, None]
        layers = hidden[-self.layers :]
        return torch.cat([layer.gather(1, first.expand(-1, 1, layer.shape[2]))[:, 0] for layer in layers], dim=-1)


def describe(classifier: Classifier) -> dict[str, Any]:
    """Return what a reader of the graph must know; stored in the graph and in ``model.json``."""
    tokenizer = classifier.tokenizer
    # Those of several models are in the graph.
    softens = None if getattr(classifier, "members", ()) else classifier.temperature
    return {
        "format": FORMAT,
        "task": classifier.task,
        "activation": ACTIVATIONS[classifier.task],
        "temperature": 1.0 if softens is None else softens.value,
        "labels": list(classifier.label_names),
        "thresholds": None if classifier.thresholds is None else list(classifier.thresholds),
        "thresholds_before": None if softens is None or softens.thresholds is None else list(softens.thresholds),
        "abstention": None if classifier.abstention is None else classifier.abstention.note(),
        "pairs": classifier.pairs,
        "columns": None if classifier.columns is None else dict(classifier.columns),
        "max_length": classifier.max_length,
        "truncation": classifier.truncation,
        "overlap": classifier.overlap,
        "opset": OPSET,
        "tokenizer": {
            "truncation_side": tokenizer.truncation_side,
            "padding_side": tokenizer.padding_side,
            "pad_id": tokenizer.pad_token_id,
            "pad_type_id": tokenizer.pad_token_type_id,
            "add_prefix_space": getattr(tokenizer, "add_prefix_space", None),
            "inputs": input_names(classifier),
        },
    }


def input_names(classifier: Classifier) -> list[str]:
    """Return the inputs of the model that its tokenizer makes."""
    order = ("input_ids", "attention_mask", "token_type_ids")
    return [name for name in order if name in classifier.tokenizer.model_input_names]


def write_graph(classifier: Classifier, path: Path) -> dict[str, Any]:
    """Write the graph, with dynamic batch and length, and return its description.

    Attention is the plain one, by the TorchScript exporter: docs/decisions/0010-export.md has the measurements.

    Raises:
        InputError: if the weights do not fit into one file, no one graph stands for several models, or the model does
            something that a graph cannot.
    """
    refuse_no_graph(classifier)
    names = input_names(classifier)
    graph = Graph(build_joint(classifier, names, ACTIVATIONS[classifier.task], _plain)).eval()
    if sum(p.numel() * 4 for p in graph.parameters()) > _MOST:
        raise InputError(
            "the model has more than 2 GiB of weights, which one ONNX file cannot hold; use a smaller one."
        )
    length = min(5, classifier.max_length)
    ids = torch.full((2, length), int(classifier.tokenizer.pad_token_id))
    ids[:, :-1] = torch.tensor(classifier.tokenizer("a")["input_ids"][:1])
    mask = torch.ones_like(ids)
    mask[1, -1] = 0  # models that look for padding while they are traced must see some
    made = {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}
    axes = {name: {0: "batch", 1: "length"} for name in names}
    axes["logits"] = {0: "batch"} | ({1: "length"} if classifier.task == "tokens" else {})
    _export_graph(graph, tuple(made[name] for name in names), path, names, axes)
    # An input that the model does not use (DistilBERT's token types) is not one of the graph.
    description = describe(classifier) | {"inputs": graph_inputs(path), "sha256": _sums(path.parent)}
    annotate(path, description)
    return description


def _export_graph(
    graph: Graph, inputs: tuple[Tensor, ...], path: Path, names: list[str], axes: dict[str, dict[int, str]]
) -> None:
    try:
        with warnings.catch_warnings(), torch.no_grad(), _quiet_exporter():
            warnings.simplefilter("ignore")  # of the exporter's age, and of tracing: what it made is compared
            torch.onnx.export(
                graph,
                inputs,
                str(path),
                input_names=names,
                output_names=["logits"],
                dynamic_axes=axes,
                opset_version=OPSET,
                dynamo=False,
            )
    except (OSError, MemoryError):
        raise
    except Exception as error:  # operators raise what they like
        leaf = graph.whole.model if isinstance(graph.whole, Leaf) else graph.whole
        raise InputError(
            f"{type(leaf).__name__} cannot be written as an ONNX graph ({first_line(error)}); toughen predict and "
            "toughen serve take the run itself."
        ) from error


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Keep the exporter from printing the whole graph, thousands of lines, where it fails; its own switch is broken."""
    backend: Any = torch._C
    tell = getattr(backend, "_jit_onnx_log", None)
    if tell is None:  # a torch that prints by other means: worse to read, but no reason to fail
        yield
        return
    backend._jit_onnx_log = lambda *_: None
    try:
        yield
    finally:
        backend._jit_onnx_log = tell


def _sums(folder: Path) -> dict[str, str]:
    """Return the sums of the files that belong to the graph beside it."""
    files = (folder / name for name in (TABLE, TOKENIZER))
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file.is_file()}


def graph_inputs(path: Path) -> list[str]:
    """Return the names of a graph's inputs."""
    import onnx

    return [value.name for value in onnx.load(path, load_external_data=False).graph.input]


def _plain(model: Any) -> Any:
    """Return the model on the CPU, with plain attention, and with an adapter's weights in its own."""
    if hasattr(model, "merge_and_unload"):
        model = model.merge_and_unload()
    if hasattr(model, "set_attn_implementation"):
        model.set_attn_implementation("eager")
    layers = {"cls": 1, "last4": 4}.get(getattr(model.config, "pooling", ""))
    if layers is not None and model.config.model_type == "toughen-head":
        model.pool = FirstTokens(layers)
    return model.cpu().eval()


def annotate(path: Path, description: dict[str, Any]) -> None:
    """Put the description into a graph's metadata."""
    import onnx

    graph = onnx.load(path)
    onnx.helper.set_model_props(graph, {METADATA: json.dumps(description)})
    onnx.save(graph, path)


def write_int8(source: Path, target: Path) -> None:
    """Quantise the weights of matrix products to 8 bits per output channel; activations when they are there.

    Weights keep to 7 of the bits: processors without VNNI add two products in 16 bits, which 8 bits of both overflow
    without an error, and the graph may run on any processor.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = target.with_suffix(".prepared")
    with warnings.catch_warnings(), _quiet_root_logger():
        warnings.simplefilter("ignore")
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantize_dynamic(
            str(prepared), str(target), op_types_to_quantize=["MatMul", "Gemm", "Gather"], per_channel=True,
            reduce_range=True, weight_type=QuantType.QInt8, extra_options={"MatMulConstBOnly": True},
        )  # fmt: skip
    prepared.unlink()


def write_fp16(source: Path, target: Path) -> None:
    """Store weights and compute in 16-bit floats; inputs and outputs stay as they are."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of weights too small for 16 bits
        onnx.save(convert_float_to_float16(onnx.load(source), keep_io_types=True), target)


class _quiet_root_logger:  # noqa: N801  # used like a function
    """onnxruntime's quantiser recommends things on the root logger."""

    def __enter__(self) -> None:
        self._level = logging.root.level
        logging.root.setLevel(logging.ERROR)

    def __exit__(self, *_: object) -> None:
        logging.root.setLevel(self._level)
