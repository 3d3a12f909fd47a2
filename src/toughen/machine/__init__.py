"""The machine: device, precision, launch, memory and kernels of this process, and what is installed.

Imports from the ground alone; every room may import it. `modes`, `installed` and `hub` load no torch.
"""
