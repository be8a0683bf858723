"""Tell whether a hand-written optimizer is as right, good, fast and small as the built-in one."""

__version__ = "0.1.0"
