"""Data sources by name or path. Everything becomes an :class:`~thirtytwo.data.imageset.ImageSet` once.

A source is a function that returns :class:`~thirtytwo.data.imageset.Official`, registered with
``@sources.register``. It may name any of the context parameters ``size``, ``channels``, ``fit`` and
``bad_images``, which then carry the recipe's data settings.

The image sets are imported at their first use: a process that only decodes pictures starts without torch.
"""

from typing import TYPE_CHECKING

import lazy_loader

from thirtytwo.registry import Registry

if TYPE_CHECKING:
    from thirtytwo.data.imageset import ImageSet as ImageSet
    from thirtytwo.data.imageset import Official as Official

__getattr__, __dir__, _ = lazy_loader.attach(__name__, submod_attrs={"imageset": ["ImageSet", "Official"]})

sources: Registry["Official"] = Registry(
    "data source", package="thirtytwo.data", context=("size", "channels", "fit", "bad_images")
)

__all__ = ["ImageSet", "Official", "sources"]
