"""An export of format 1 as it was first written, which every later version must read; and what it answered."""

import json
import tarfile
from pathlib import Path

ARCHIVE = Path(__file__).parent / "exports" / "format-1.tar.xz"


def unpack(folder):
    """Return the exported folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder


def known_answers(folder):
    """Return texts with the answer and the ids that they had."""
    return [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]


def change(folder, name="model.onnx", *, bias=None, **entries):
    """Change entries of a graph's description (None takes one away), or the last bias."""
    import numpy as np
    import onnx

    graph = onnx.load(folder / name)
    noted = {prop.key: prop.value for prop in graph.metadata_props}
    known = json.loads(noted["toughen"]) | entries
    onnx.helper.set_model_props(graph, {"toughen": json.dumps({k: v for k, v in known.items() if v is not None})})
    if bias is not None:
        last = next(node for node in graph.graph.node if "logits" in node.output)
        place = next(one for one in graph.graph.initializer if one.name in last.input and len(one.dims) == 1)
        place.CopyFrom(onnx.numpy_helper.from_array(np.full(place.dims, bias, np.float32), place.name))
    onnx.save(graph, folder / name)
    return folder
