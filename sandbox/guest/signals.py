"""Signals without the enumerations that the module `signal` puts around them: they cost time.

Bound here once: what a cell does to the modules is then its own problem.
"""

import _signal  # type: ignore[import-not-found]  # what `signal` itself is made of
from collections.abc import Callable, Iterable
from typing import Any

from . import BUILTINS

globals()["__builtins__"] = BUILTINS

set_handler: Callable[[int, Any], Any] = _signal.signal
get_handler: Callable[[int], Any] = _signal.getsignal
pthread_sigmask: Callable[[int, Iterable[int]], object] = _signal.pthread_sigmask
DEFAULT: Any = _signal.SIG_DFL
