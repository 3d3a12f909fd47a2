"""What other programs look for in an exported folder: a config.json and a tokenizer as transformers writes them."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toughen.deploy.files import CONFIG
from toughen.runs.members import leaves

if TYPE_CHECKING:
    from toughen.classifier.classifier import Classifier

_KIND = {"tokens": "TokenClassification"}
_LABELS = ("num_labels", "id2label", "label2id", "problem_type")


def write_for_others(folder: Path, classifier: Classifier) -> None:
    """Write ``config.json`` and the tokenizer's files, so that ``AutoConfig`` and ``AutoTokenizer`` open the folder.

    Several models are one graph: the config is that of the first. A head of our own is not named in it, for it is in
    the graph; its encoder is.
    """
    tokenizer = copy.deepcopy(classifier.tokenizer)
    tokenizer.model_max_length = classifier.max_length  # truncation=True then cuts where the run did
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.save_pretrained(folder)
    known = _config(classifier)
    (folder / CONFIG).write_text(json.dumps(known, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _config(classifier: Classifier) -> dict[str, Any]:
    config = leaves(classifier)[0].model.config
    encoder = getattr(config, "encoder_config", None)
    known: dict[str, Any] = (config if encoder is None else encoder).to_dict()
    if encoder is not None:
        labels = config.to_dict()
        known |= {name: labels[name] for name in _LABELS if labels.get(name) is not None}
        head = _KIND.get(classifier.task, "SequenceClassification")
        known["architectures"] = [type(encoder).__name__.removesuffix("Config") + f"For{head}"]
    for ours in ("toughen", "_name_or_path"):  # the graph's own description says it; a path of this machine
        known.pop(ours, None)
    return known
