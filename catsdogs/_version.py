"""Version of the package, in a module without imports that any other module may read."""

__version__ = "0.1.0"
