"""The version of this library, which pyproject.toml reads from here.

It is not looked up in the metadata of the installed package: a checkout on the import path, as on a
machine where nothing can be installed, has none.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
