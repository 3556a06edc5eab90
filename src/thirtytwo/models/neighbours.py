"""k nearest neighbours as a network's last layer."""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, one_hot

TEMPERATURE = 0.07
"""Divides the cosine similarities whose exponentials are the votes' weights (Wu et al. 2018, arXiv 1805.01978)."""
BLOCK = 100
"""Images that are compared with all training images at a time, to limit memory."""


class Neighbours(nn.Module):
    """The classes of the ``k`` training images with the most similar features, as logits.

    Each neighbour votes with weight exp(cosine / 0.07), scaled so that the k weights sum to k; a class's probability is
    proportional to its votes plus a half (Krichevsky and Trofimov 1981), so that none is zero.

    Args:
        k: neighbours that vote.
        images: training images that are stored.
        features: numbers that represent each image.
        classes: number of classes.
    """

    known: Tensor
    labels: Tensor

    def __init__(self, k: int, images: int, features: int, classes: int) -> None:
        super().__init__()
        if not k <= images:
            raise RuntimeError(f"{k} neighbours among {images} images")
        self.k, self.classes = k, classes
        self.register_buffer("known", torch.zeros(images, features))
        self.register_buffer("labels", torch.zeros(images, dtype=torch.long))

    @classmethod
    def of(cls, k: int, known: Tensor, labels: Tensor, classes: int) -> "Neighbours":
        """Store features of length 1, float32 (N, F), and labels, int64 (N,): as they are, without a copy."""
        layer = cls(k, len(known), 0, classes)
        layer.known, layer.labels = known, labels
        return layer

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, K) of features (B, F), or (B, K, 1, 1) of maps (B, F, H, W), which are averaged."""
        maps = x.ndim == 4
        with torch.autocast(x.device.type, enabled=False):
            wanted = normalize(x.float().mean((2, 3)) if maps else x.float())
            logits = torch.cat([self._vote(block) for block in torch.split(wanted, BLOCK)])
        return logits[..., None, None] if maps else logits

    def _vote(self, wanted: Tensor) -> Tensor:
        similarity, nearest = (wanted @ self.known.T).topk(self.k, dim=1)
        weights = self.k * (similarity / TEMPERATURE).softmax(1)
        votes = (one_hot(self.labels[nearest], self.classes) * weights[..., None]).sum(1)
        return ((votes + 0.5) / (self.k + 0.5 * self.classes)).log()


def put_head(network: nn.Module, head: str, layer: nn.Module) -> None:
    """Replace the module called ``head`` with ``layer``."""
    parent, _, name = head.rpartition(".")
    setattr(network.get_submodule(parent), name, layer)
