"""Data: read, check, split, tokenise, and bucket texts by length.

Everything here (``__init__.pyi`` says what) is imported when it is first used: reading a recipe loads no `datasets`.
Imports from `machine` and the ground alone; every room above may import it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
