"""The version, in a module of its own: model files name it without importing the package's front door."""

__version__ = "0.2.0"
