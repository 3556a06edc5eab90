"""The digits that ship with scikit-learn: no download."""

import numpy as np
import torch

from thirtytwo.data import sources
from thirtytwo.data.imageset import ImageSet, Official


@sources.register
def digits() -> Official:
    """Digits: 1,797 handwritten digits, grey 8x8, from scikit-learn (Alpaydin and Kaynak, 1998). No download."""
    from sklearn.datasets import load_digits

    content = load_digits()
    pixels = np.rint(content.images * (255 / 16)).astype(np.uint8)  # counts of ink, 0 to 16
    labels = torch.from_numpy(content.target.astype(np.int64))
    return Official("digits", ImageSet.of(torch.from_numpy(pixels[:, None]), labels, tuple("0123456789")))
