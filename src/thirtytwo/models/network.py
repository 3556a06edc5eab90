"""A network, and what is known about it beyond its layers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

Normalisation = tuple[Tensor, Tensor]
"""Mean and standard deviation of each channel in 0..1, float (C,) each."""


@dataclass(frozen=True)
class Origin:
    """Where a network's first weights lay, as env.json keeps it.

    Attributes:
        weights: absolute path of their file, or of the run that they are from.
        weights_sha256: hex digest of the file, or of the run's weights.
    """

    weights: str
    weights_sha256: str


@dataclass(frozen=True, eq=False)
class Network:
    """A network with what a training needs to know about it; all but the module may be left out.

    Attributes:
        module: normalised images, float (B, C, H, W) -> logits (B, K).
        normalisation: as its weights expect it, in place of the training images' own. Three channels make grey images
            RGB.
        architecture: the model as text without pretrained weights, as a run stores it beside its own weights; None
            where that is the recipe's model.
        origin: where its weights lay; None where they were drawn.
        initialise: called once before step 0 with up to 5,000 normalised training images, float (N, C, H, W).
        trained_epochs: parameters, by name, whose learning rate falls linearly to zero at that epoch, and which are
            frozen from there on.
        head_names: the modules that give the logits, where that is not the last linear layer or convolution.
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
        """What a model's function returned: a network, or a module of which nothing more is said."""
        return model if isinstance(model, Network) else cls(model)

    def channels(self, images: int) -> int:
        """Channels of the normalised images that it is given, where the images themselves have ``images``."""
        return images if self.normalisation is None else len(self.normalisation[0])
