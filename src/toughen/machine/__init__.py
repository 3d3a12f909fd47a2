"""The machine: device, precision, launch, memory and kernels of this process, and what is installed."""
