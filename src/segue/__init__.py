"""Segue: reinforcement learning for music and the moving image.

Importing this package loads nothing but its version; each part is imported where it is used.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
