"""Attack: how a classifier stands up to noise, to adversaries, and what of it is certain.

Everything here (``__init__.pyi`` says what) is imported when it is first used.
Imports from `assess` and below; `deploy`, `report`, `serve` and `training` may import it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
