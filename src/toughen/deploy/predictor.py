"""An exported folder at work: texts in, answers out, on ONNX Runtime, without PyTorch and without transformers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toughen.arrays import Floats
from toughen.classifier.abstention import Abstention
from toughen.classifier.answers import answers, texts_columns
from toughen.classifier.core import Answering, Columns, Encoded
from toughen.classifier.temperature import Temperature
from toughen.data.tokens.encode import Encoder
from toughen.deploy.description import read_description
from toughen.deploy.files import METADATA, MODEL, TOKENIZER, is_export
from toughen.deploy.ids import Batch, FastTokenizer
from toughen.errors import InputError
from toughen.files.manifest import verify
from toughen.tasks import TaskName


def load(
    folder: str | Path,
    *,
    model: str = MODEL,
    threads: int = 0,
    providers: Sequence[str] = ("CPUExecutionProvider",),
) -> Predictor:
    """Open a folder that ``toughen export`` wrote.

    Args:
        folder: the folder.
        model: which of its graphs: model.onnx, model.int8.onnx, model.fp16.onnx.
        threads: of one pass; 0 is one per core.
        providers: ONNX Runtime's names of what computes, the first that is there.

    Raises:
        InputError: if there is no such folder or graph, it is damaged or of another version, or onnxruntime is missing.
    """
    folder = Path(folder)
    if not is_export(folder):
        raise InputError(
            f"{folder} is no exported model (no model.json); give what toughen export --to wrote, or "
            "open a run with toughen.Run.open."
        )
    if not (folder / model).is_file():
        there = ", ".join(sorted(path.name for path in folder.glob("*.onnx"))) or "none"
        raise InputError(f"{folder} has no {model} (there: {there}); export it with --int8 or --fp16, or name another.")
    verify(folder)
    return Predictor(folder, _session(folder / model, threads, providers))


class Predictor(Answering):
    """A classifier on ONNX Runtime; made by `load`. May be asked by several threads at once.

    Attributes:
        folder: where it came from.
        session: ONNX Runtime's.
        tokenizer: of the texts.
        task: what the outputs mean.
        label_names: names of the classes (or tags, or of regression's one value), in the order of the outputs.
        thresholds: probabilities from which a label is predicted, or None; as `Classifier` has them.
        pairs: whether the model takes pairs of texts; None is not known.
        columns: of the training data, by which a source of the same layout is read; None is not known.
        max_length: tokens per text, special ones included.
        temperature: softens the probabilities, where one was fitted.
        abstention: when no answer is given, where that was fitted.
    """

    def __init__(self, folder: Path, session: Any) -> None:
        self.folder, self.session = folder, session
        known = read_description(session.get_modelmeta().custom_metadata_map.get(METADATA), str(folder))
        self.task: TaskName = known["task"]
        self.label_names: tuple[str, ...] = tuple(known["labels"])
        self.thresholds = _tuple(known.get("thresholds"))
        self.pairs: bool | None = known.get("pairs")
        self.columns: dict[str, Any] | None = known.get("columns")
        self.max_length: int = known["max_length"]
        softens = Temperature(known["temperature"], _tuple(known.get("thresholds_before")))
        self.temperature = None if softens.value == 1 else softens
        self.abstention = Abstention.noted(known)
        self._activation: str = known["activation"]
        self._inputs = [given.name for given in session.get_inputs()]
        sums = known.get("sha256") or {}
        self.tokenizer = FastTokenizer(folder / TOKENIZER, known["tokenizer"], self.max_length, sums.get(TOKENIZER))
        self._encode = Encoder(self.tokenizer, self.max_length, self.task, known["truncation"], known["overlap"])

    @property
    def classifier(self) -> Predictor:
        """Itself: a predictor can stand where a run does, whose classifier is asked about task and pairs."""
        return self

    def predict(self, texts: Sequence[Any], *, batch_size: int = 64) -> list[dict[str, Any]]:
        """Answer for each text as `toughen.Run.predict` does.

        Args:
            texts: N str; N pairs (str, str); for tokens N lists of words, or str that are split on white space.
            batch_size: texts (or windows of them) per pass; texts of similar length run together.

        Raises:
            InputError: if a text is of the wrong kind, or has no tokens.
        """
        columns = texts_columns(texts, self.task)
        outputs = self.outputs_of(columns, batch_size=batch_size)
        return answers(self.task, columns, outputs, self.label_names, self.thresholds, self.abstention)

    def outputs(
        self, dataset: Any, *, batch_size: int = 64, progress: Callable[[int], None] | None = None
    ) -> Floats | list[Floats]:
        """Run the model on the column ``text`` (and ``text_pair``): arguments and result of `Classifier.outputs`."""
        columns = {name: list(dataset[name]) for name in ("text", "text_pair") if name in dataset.column_names}
        return self.outputs_of(columns, batch_size=batch_size, progress=progress)

    def outputs_of(
        self, columns: dict[str, list[Any]], *, batch_size: int = 64, progress: Callable[[int], None] | None = None
    ) -> Floats | list[Floats]:
        """Run the model on texts that stand in plain lists: ``text``, and of pairs ``text_pair``; see `outputs`."""
        self.check_pairs("text_pair" in columns)
        return self.answered(columns, batch_size, progress)

    def encoded(self, texts: dict[str, list[Any]]) -> Encoded:
        """Return the rows of the texts; see `Answering.encoded`."""
        count = len(texts["text"])
        self._encode.check("text_pair" in texts)
        rows = self._encode(texts | {"row": list(range(count))})
        lengths = np.asarray(rows["length"])
        if not lengths.all():
            raise InputError("a text has no tokens, and the model reads at least one; leave empty texts out.")
        names = [name for name in self.tokenizer.model_input_names if name in rows]

        def chosen(numbers: NDArray[np.int64]) -> list[Columns]:
            return [{name: rows[name][i] for name in names} for i in numbers]

        words = rows["word"] if self.task == "tokens" else None
        return Encoded(np.asarray(rows.get("row", range(count))), lengths, words, chosen, self.pad)

    def pad(self, rows: list[Columns]) -> Batch:
        """Return rows as a batch; see `Answering.pad`."""
        return self.tokenizer.pad(rows)

    def forward(self, batch: Batch) -> Floats:
        """Return what the model makes of token ids, int64 [B, T] by name, before the temperature.

        Returns:
            Probabilities (regression: values) [B, C]; for tokens [B, T, K].
        """
        (logits,) = self.session.run(["logits"], {name: batch[name] for name in self._inputs})
        found: Floats = logits.astype(np.float64)
        if self._activation == "none":
            return found
        # np.exp of large values warns; half a tanh does the same without.
        if self._activation == "sigmoid":
            return np.asarray(0.5 + 0.5 * np.tanh(found / 2))
        with np.errstate(invalid="ignore"):  # infinity less infinity is refused with its answer
            exponential = np.exp(found - found.max(-1, keepdims=True))
            return np.asarray(exponential / exponential.sum(-1, keepdims=True))


def _tuple(values: Sequence[float] | None) -> tuple[float, ...] | None:
    return None if values is None else tuple(values)


def _session(graph: Path, threads: int, providers: Sequence[str]) -> Any:
    if find_spec("onnxruntime") is None:
        raise InputError("an exported model runs on onnxruntime, which is not installed: pip install onnxruntime.")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(str(graph), options, providers=list(providers))
    except Exception as error:  # the classes of its errors are private
        raise InputError(f"cannot use {graph} ({str(error).splitlines()[0]}); export the model again.") from error
