"""A trained run as files that need no torch: an ONNX graph, a tokenizer table, and the proof that both are exact."""
