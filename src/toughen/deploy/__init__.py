"""A trained run as files that need no torch: an ONNX graph, a tokenizer table, and the proof that both are exact.

Imports from `attack`, `assess` and below; `bulk` and `serve` may import it, and its predictor loads no torch.
"""
