"""Every network of timm, the optional extra ``thirtytwo[timm]``: ``timm/convnext_atto(pretrained=true)``."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import requests

from thirtytwo.errors import UserError, did_you_mean
from thirtytwo.models import models, pretrained
from thirtytwo.models.adapt import adaptable
from thirtytwo.models.network import Network
from thirtytwo.models.weights.fit import named, require_finite, require_floats

SHA256_DIGITS = 64


@models.register_family("timm/")
class TimmFamily:
    """All networks of timm, which is imported only when one of them is requested."""

    def names(self) -> list[str]:
        """All of its networks, without the tags that distinguish sets of weights."""
        return list(_timm().list_models())

    def get(self, name: str) -> Callable[..., Network]:
        """The factory of one network. Raises KeyError for a name that timm does not know."""
        if not _timm().is_model(name):
            raise KeyError(name)
        return _factory(name)


def _timm() -> Any:
    try:
        import timm
    except ImportError:
        raise UserError("timm/...: these networks need another package: pip install timm") from None
    return timm


def _factory(name: str) -> Callable[..., Network]:
    network = adaptable(f"timm/{name}", partial(_build, name), partial(_trained_at, name))
    tags = ", ".join(_tags(name))
    network.__doc__ = f"timm's, with weights {tags}" if tags else "timm's, without weights"
    return network


def _trained_at(name: str, wanted: str) -> int:
    """The side in pixels that the weights were trained at. Raises UserError for a network that timm has none for."""
    found = _timm().get_pretrained_cfg(_full(name, wanted))
    if found is None:
        raise UserError(f"timm/{name}: timm does not know the size that it was trained at: give it, such as input=224")
    return int(found.input_size[-1])


def _full(name: str, wanted: str) -> str:
    """The network with the tag of its weights; without one for a file or no name. UserError for an unknown tag."""
    if not wanted or pretrained.is_file(wanted):
        return name
    if wanted not in (tags := _tags(name)):
        raise UserError(f"timm/{name}: no weights '{wanted}'{did_you_mean(wanted, tags)}")
    return f"{name}.{wanted}"


@cache
def _all_tags() -> dict[str, list[str]]:
    """Tags of each network's sets of weights."""
    found = defaultdict(list)
    for full in _timm().list_pretrained():
        name, _, tag = full.partition(".")
        found[name].append(tag)
    return found


def _tags(name: str) -> list[str]:
    return _all_tags().get(name, [])


def _build(name: str, classes: int, size: tuple[int, int], published: bool, wanted: str) -> Network:
    """The network for images of ``size``, to which a transformer's positions are resized."""
    timm, file, full = _timm(), Path(wanted) if pretrained.is_file(wanted) else None, _full(name, wanted)
    default = timm.get_pretrained_cfg(full)
    settings: dict[str, Any] = {"num_classes": classes, "in_chans": 3}
    if default is not None and default.fixed_input_size:
        settings["img_size"] = size
    if file is None and (wanted or published):
        if not (default and default.has_weights):
            raise UserError(
                f"timm/{name}: timm has no weights for it: leave out pretrained, or name a file with weights="
            )
        file = _from_hub(full, default) if default.hf_hub_id else pretrained.from_torchs_cache(full, default.url)
    if file is None:
        return _network(timm.create_model(full, **settings))
    return _from_file(full, settings, file)


def _from_hub(full: str, default: Any) -> Path:
    """The file of weights in Hugging Face's cache, downloaded if it is not there, and checked by its sha256.

    Raises UserError if it cannot be downloaded, saying which file to fetch by other means, or if it is damaged.
    """
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache

    name = default.hf_hub_filename or "model.safetensors"
    try:
        file = try_to_load_from_cache(default.hf_hub_id, name)
        if not isinstance(file, str):
            requests.head(constants.ENDPOINT, timeout=10)  # the hub's client would try for 50 s
            file = hf_hub_download(default.hf_hub_id, name)
    except Exception as error:  # the errors of the hub and its clients have no common class
        if not (isinstance(error, OSError) or type(error).__module__.startswith(("huggingface_hub", "http"))):
            raise
        reason = str(error).partition("\n")[0].rstrip(". ")
        if isinstance(error, requests.RequestException):
            reason = f"{constants.ENDPOINT} does not answer"
        raise UserError(
            f"timm/{full}: its weights cannot be downloaded into {constants.HF_HUB_CACHE} ({reason}): fetch {name} "
            f"from https://huggingface.co/{default.hf_hub_id} by other means and name it with weights='FILE'"
        ) from None
    blob = Path(file).resolve()  # where links are possible, a large file is named by its sha256
    if len(blob.name) == SHA256_DIGITS:
        pretrained.require_hash(blob, pretrained.sha256_of(blob), blob.name)
    return Path(file)


def _from_file(full: str, settings: dict[str, Any], file: Path) -> Network:
    """The network with a file's weights, which timm itself converts to this version's names and this input's size.

    timm silently leaves out what does not fit, unless the number of classes is that of the weights: so the head's
    tensors are the new network's own. Raises UserError for the weights of another network.
    """
    found = pretrained.read(file)
    require_finite(found.tensors, file)
    fresh = _network(_timm().create_model(full, **settings))
    tensors, own = named(found.tensors, fresh.module, file), pretrained.head_of(fresh)
    require_floats(tensors, fresh.module.state_dict(), file)
    overlay = {"state_dict": {**tensors, **own}, "num_classes": settings["num_classes"], "label_offset": 0}
    try:
        module = _timm().create_model(full, pretrained=True, pretrained_cfg_overlay=overlay, **settings)
    except (RuntimeError, KeyError, IndexError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        own_size = _timm().get_pretrained_cfg(full)
        remedy = f", or show it images of its own size, input={own_size.input_size[-1]}" if own_size else ""
        raise UserError(
            f"{file}: does not fit timm/{full} ({reason}): name the network that it belongs to{remedy}"
        ) from None
    expected = module.pretrained_cfg
    del expected["state_dict"]
    given = found.normalisation or pretrained.normalisation(expected["mean"], expected["std"])
    return replace(_network(module), normalisation=given, origin=found.origin)


def _network(module: Any) -> Network:
    """The network, with what timm's own description calls its classifiers as heads."""
    names = module.pretrained_cfg.get("classifier") or ()
    return Network(module, head_names=(names,) if isinstance(names, str) else tuple(names))
