"""`python -m toughen`, for `torchrun -m toughen` and for where the script is not on the path."""

import sys

from toughen.cli import main

if __name__ == "__main__":
    sys.exit(main())
