"""Networks by name.

A model is a function ``(channels, classes, size, ...) -> nn.Module``, registered with ``@models.register``. The
module maps normalised images, float (B, channels, height, width), to logits (B, classes). Two optional attributes
let a network say more about its own training:

- ``initialise(images)``: called once before step 0 with up to 5,000 normalised training images.
- ``trained_epochs: dict[str, float]``: parameters, by name, whose learning rate falls linearly to zero at that
  epoch and which are frozen from there on.
"""

from torch import nn

from thirtytwo.registry import Registry

models: Registry[nn.Module] = Registry("model", package="thirtytwo.models", context=("channels", "classes", "size"))

__all__ = ["models"]
