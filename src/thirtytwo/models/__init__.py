"""Networks by name.

A model is a function ``(channels, classes, size, ...) -> nn.Module``, registered with ``@models.register``. The
module maps normalised images, float (B, channels, height, width), to logits (B, classes). A parameter ``labels`` of
the function receives the names of the classes. A function that knows more about its module, such as the
normalisation that its weights expect, returns a `Network`.
"""

from torch import nn

from thirtytwo.models.network import Network
from thirtytwo.registry import Registry

models: Registry[nn.Module | Network] = Registry(
    "model", package="thirtytwo.models", context=("channels", "classes", "size", "labels")
)

__all__ = ["Network", "models"]
