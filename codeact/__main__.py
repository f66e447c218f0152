"""``python -m codeact`` is the command ``codeact``."""

import sys

from codeact.cli import main

sys.exit(main())
