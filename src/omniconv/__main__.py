"""``python -m omniconv``, which is the command ``omniconv``; as such it can be given to ``torchrun``."""

import sys

from omniconv.cli import main

if __name__ == "__main__":
    sys.exit(main())
