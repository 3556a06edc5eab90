"""A network's maps for one picture, layer by layer: as plain data, as figures, and as an .npz file."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from thirtytwo.arrays import damaged, pack_arrays, read_arrays
from thirtytwo.explain import Drawing, Explanation
from thirtytwo.figures import pictures
from thirtytwo.words import plural


@dataclass(frozen=True, eq=False)
class Layer:
    """Some feature maps of one layer.

    Attributes:
        name: of the convolution or pool, dotted as in ``named_modules``.
        types: the classes of the modules, in the order in which they run, such as "Conv2d, BatchNorm2d, ReLU".
        shape: (C, h, w) of the whole output.
        channels: int64 (M,): which of the C channels these are, ascending.
        maps: float32 (M, h, w).
    """

    name: str
    types: str
    shape: tuple[int, int, int]
    channels: np.ndarray
    maps: np.ndarray


@dataclass(frozen=True, eq=False)
class LayerMaps(Explanation):
    """A picture on its way through a network.

    Attributes:
        picture: uint8 (C, H, W), as the network saw it before normalisation.
        filters: float32 (C_out, C_in, h, w): the weights of the first convolution; C_out is 0 where there is none.
        layers: in the order in which they run; empty where no layer gives maps.
    """

    picture: np.ndarray
    filters: np.ndarray
    layers: tuple[Layer, ...]

    def figures(self, title: str) -> dict[str, Drawing]:
        """``layers``: the picture and its feature maps."""
        if not self.layers:
            return {}
        rows = [pictures.Maps(f"{layer.name}: {layer.types}", layer.shape, layer.maps) for layer in self.layers]
        alt = f"feature maps of {plural(len(rows), 'layer')} for one picture; {title}"
        return {"layers": Drawing(pictures.feature_maps(self.picture, rows, title), alt)}

    def network_figures(self) -> dict[str, Drawing]:
        """``filters``: the weights of the first convolution."""
        if not len(self.filters):
            return {}
        count, channels, height, width = self.filters.shape
        alt = f"the weights of the first convolution's {plural(count, 'filter')}, {channels} x {height} x {width}"
        return {"filters": Drawing(pictures.filters(self.filters), alt)}


def pack(explanation: LayerMaps, id_: int) -> bytes:
    """An .npz file of an explanation and the picture's id; maps are rounded to 256 levels per layer."""
    layers = explanation.layers
    ranges = np.array([(layer.maps.min(), layer.maps.max()) for layer in layers], np.float32).reshape(-1, 2)
    arrays = {
        "picture": explanation.picture,
        "id": np.array(id_),
        "filters": explanation.filters,
        "names": np.array([layer.name for layer in layers], str),
        "types": np.array([layer.types for layer in layers], str),
        "shapes": np.array([layer.shape for layer in layers], np.int64).reshape(-1, 3),
        "ranges": ranges,
    }
    for i, (layer, (low, high)) in enumerate(zip(layers, ranges, strict=True)):
        levels = (layer.maps - low) * (255 / ((high - low) or 1.0))
        arrays |= {f"channels_{i}": layer.channels, f"maps_{i}": levels.round().astype(np.uint8)}
    return pack_arrays(arrays)


def load(path: Path) -> tuple[LayerMaps, int]:
    """Read what `pack` packed: the explanation and the picture's id. Raises UserError for a bad file."""
    count = len(read_arrays(path, {"names": "text L"})["names"])
    shapes = {"picture": "uint8 C H W", "id": "int", "filters": "float F I h w", "names": "text L", "types": "text L",
              "shapes": "int L 3", "ranges": "float L 2"}  # fmt: skip
    for i in range(count):
        shapes |= {f"channels_{i}": f"int M{i}", f"maps_{i}": f"uint8 M{i} h{i} w{i}"}
    arrays = read_arrays(path, shapes)
    filters = [arrays["filters"]] if len(arrays["filters"]) else []  # a network may have no convolution
    drawn = [arrays["picture"], *filters, *(arrays[f"maps_{i}"] for i in range(count))]
    if len(arrays["picture"]) not in (1, 3) or not all(each.size for each in drawn):
        raise damaged(path, "a picture, a filter or a map has no pixels")
    layers = []
    for i, (low, high) in enumerate(arrays["ranges"]):
        maps = low + arrays[f"maps_{i}"] * ((high - low) / np.float32(255))
        name, types = str(arrays["names"][i]), str(arrays["types"][i])
        c, h, w = arrays["shapes"][i].tolist()
        layers.append(Layer(name, types, (c, h, w), arrays[f"channels_{i}"], maps))
    return LayerMaps(arrays["picture"], arrays["filters"], tuple(layers)), int(arrays["id"])
