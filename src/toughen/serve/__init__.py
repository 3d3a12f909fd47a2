"""Serve a trained model over HTTP, with a demo page: `toughen serve`, or `make_app` in a server of one's own.

Everything here (``__init__.pyi`` says what) is imported when it is first used; it needs the extra ``serve``.
Imports from `deploy`, `attack` and below; the command may import it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
