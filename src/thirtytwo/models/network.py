"""A network, and what is known about it beyond its layers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

Normalisation = tuple[Tensor, Tensor]
"""Mean and standard deviation of each channel in 0..1, float (C,) each."""


@dataclass(frozen=True)
class Origin:
    """Where a network's initial weights came from, as env.json records it.

    Attributes:
        weights: absolute path of their file, or of the run that they come from.
        weights_sha256: hex digest of the file, or of the run's weights.
    """

    weights: str
    weights_sha256: str


@dataclass(frozen=True, eq=False)
class Network:
    """A network with what a training needs to know about it; everything but the module is optional.

    Attributes:
        module: normalised images, float (B, C, H, W) -> logits (B, K).
        normalisation: as its weights expect it, in place of the training images' own. With three channels, grey images
            become RGB.
        architecture: the model as text without pretrained weights, as a run stores it beside its own weights; None
            if that is the recipe's model.
        origin: where its weights came from; None if they are random.
        initialise: called once before step 0 with up to 5,000 normalised training images, float (N, C, H, W).
        trained_epochs: parameters, by name, whose learning rate falls linearly to zero at that epoch, and which are
            frozen from then on.
        head_names: the modules that produce the logits, if that is not the last linear layer or convolution.
    """

    module: nn.Module
    normalisation: Normalisation | None = None
    architecture: str | None = None
    origin: Origin | None = None
    initialise: Callable[[Tensor], None] | None = None
    trained_epochs: Mapping[str, float] = field(default_factory=dict)
    head_names: tuple[str, ...] = ()

    @classmethod
    def of(cls, model: "nn.Module | Network") -> "Network":
        """What a model's function returned, a network or a plain module, as a network."""
        return model if isinstance(model, Network) else cls(model)

    def channels(self, images: int) -> int:
        """Channels of the normalised images that it takes, if the images themselves have ``images``."""
        return images if self.normalisation is None else len(self.normalisation[0])
