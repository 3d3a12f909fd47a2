"""An exported graph on OpenVINO, behind the few methods of an ONNX Runtime session that a predictor calls."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

from toughen.deploy.files import METADATA
from toughen.errors import InputError

Precision = Literal["fp32", "bf16"]
_TYPES = {"fp32": "f32", "bf16": "bf16"}


def is_installed() -> bool:
    """Say whether OpenVINO is."""
    return find_spec("openvino") is not None


class OpenVinoSession:
    """A graph compiled for the CPU.

    Args:
        graph: an ONNX file that ``toughen export`` wrote.
        threads: of each pass; 0 is one per core.
        precision: what it computes in; bf16 is faster on CPUs with AMX, and changes probabilities by some 0.01.

    Raises:
        InputError: if openvino is not installed.
    """

    def __init__(self, graph: Path, *, threads: int = 0, precision: Precision = "fp32") -> None:
        if not is_installed():
            raise InputError("openvino is not installed; install it with pip install 'toughen[openvino]'.")
        import openvino

        hints = {"INFERENCE_PRECISION_HINT": _TYPES[precision], "PERFORMANCE_HINT": "LATENCY"}
        if threads:
            hints["INFERENCE_NUM_THREADS"] = str(threads)
        self._compiled: Any = openvino.Core().compile_model(str(graph), "CPU", hints)
        self._graph, self._requests = graph, threading.local()

    def get_inputs(self) -> list[SimpleNamespace]:
        """Return what is fed, with its name."""
        return [SimpleNamespace(name=given.get_any_name()) for given in self._compiled.inputs]

    def get_modelmeta(self) -> SimpleNamespace:
        """Return the graph's metadata, which OpenVINO drops: read from the folder's description instead."""
        noted = (self._graph.parent / "model.json").read_text(encoding="utf-8")
        return SimpleNamespace(custom_metadata_map={METADATA: noted})

    def run(self, _: Sequence[str], feed: Mapping[str, Any]) -> list[Any]:
        """Return the logits; each thread has a request of its own."""
        if not hasattr(self._requests, "own"):
            self._requests.own = self._compiled.create_infer_request()
        found = self._requests.own.infer(dict(feed), share_inputs=True)
        return [next(iter(found.values()))]
