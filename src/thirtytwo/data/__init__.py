"""Data sources by name or path. Everything becomes an :class:`~thirtytwo.data.imageset.ImageSet` once.

A source is a function that returns :class:`~thirtytwo.data.imageset.Official`, registered with
``@sources.register``. It may name any of the context parameters ``size``, ``channels``, ``fit`` and
``bad_images``, which then carry the recipe's data settings.
"""

from thirtytwo.data.imageset import ImageSet, Official
from thirtytwo.registry import Registry

sources: Registry[Official] = Registry(
    "data source", package="thirtytwo.data", context=("size", "channels", "fit", "bad_images")
)

__all__ = ["ImageSet", "Official", "sources"]
