"""How a network arrives at its answers.

A kind of explanation is a function that looks into a network for one picture and returns an `Explanation`, registered
with ``@explanations.register_as``. It may name any of the context parameters:

- ``classifier``: the `Classifier` in evaluation mode: float images (B, C, H, W) in 0..1 -> logits (B, K).
- ``picture``: the picture as the network takes it, uint8 (C, H, W), on the CPU.
- ``label``: the number of the most probable class, from 0 to K-1.
"""

from abc import ABC, abstractmethod

from thirtytwo.figures.canvas import Drawing
from thirtytwo.registry import Registry


class Explanation(ABC):
    """What was found out about one picture, and how to draw it.

    >>> from thirtytwo import Explanation
    >>> class Nothing(Explanation):
    ...     def figures(self, title):
    ...         return {}
    >>> Nothing().figures("a picture"), Nothing().network_figures()
    ({}, {})
    """

    @abstractmethod
    def figures(self, title: str) -> dict[str, Drawing]:
        """Figures about the picture, by a name that becomes part of the file name; empty where nothing is found.

        Args:
            title: one line that says which picture it is, and what the network predicted.
        """

    def network_figures(self) -> dict[str, Drawing]:
        """Figures about the network only, by name: the same for every picture, and drawn once for all of them."""
        return {}


explanations: Registry[Explanation] = Registry(
    "explanation", package="thirtytwo.explain", context=("classifier", "picture", "label")
)

__all__ = ["Drawing", "Explanation", "explanations"]
