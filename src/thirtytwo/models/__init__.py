"""Networks by name.

A model is a function ``(channels, classes, size, ...) -> nn.Module``, registered with ``@models.register``. The
module maps normalised images, float (B, channels, height, width), to logits (B, classes). A parameter ``labels`` of
the function receives the names of the classes. Optional attributes let a network say more about itself:

- ``initialise(images)``: called once before step 0 with up to 5,000 normalised training images.
- ``trained_epochs: dict[str, float]``: parameters, by name, whose learning rate falls linearly to zero at that
  epoch and which are frozen from there on.
- ``normalisation: (mean, std)``: of each channel in 0..1, as its pretrained weights expect it, in place of the training
  images' own. Three channels make a grey image RGB.
- ``architecture: str``: the model without its pretrained weights, as a run stores it beside its own weights.
- ``origin: dict[str, str]``: where its pretrained weights lay, and their sha256, which a run writes down.
- ``head_names: tuple[str, ...]``: names of the modules that give the logits, where that is not the last linear layer.
"""

from torch import nn

from thirtytwo.registry import Registry

models: Registry[nn.Module] = Registry(
    "model", package="thirtytwo.models", context=("channels", "classes", "size", "labels")
)

__all__ = ["models"]
