"""Catalogues: each function lists the names that match a pattern, each with the first line of its description."""

from typing import Any

from thirtytwo.registry import Registry


def list_recipes(pattern: str = "*") -> dict[str, str]:
    """Recipes, as `train` takes them.

    >>> from thirtytwo import list_recipes
    >>> sorted(list_recipes("mnist-*"))
    ['mnist-cnn', 'mnist-cnn2', 'mnist-fast']
    """
    from thirtytwo.recipes import recipes

    return _summaries(recipes, pattern)


def list_studies(pattern: str = "*") -> dict[str, str]:
    """Studies, as `run_study` takes them.

    >>> from thirtytwo import list_studies
    >>> sorted(list_studies())
    ['augmentation', 'digits', 'tutorial']
    """
    from thirtytwo.studies import studies

    return _summaries(studies, pattern)


def list_models(pattern: str = "*") -> dict[str, str]:
    """Networks, for the key ``model``. Other packages' have a prefix: ``torchvision/resnet*``, ``timm/vit*``.

    >>> from thirtytwo import list_models
    >>> sorted(list_models("cnn*"))
    ['cnn2', 'cnn9']
    """
    from thirtytwo.models import models

    return _summaries(models, pattern)


def list_augmentations(pattern: str = "*") -> dict[str, str]:
    """Augmentations, for the key ``augment``.

    >>> from thirtytwo import list_augmentations
    >>> sorted(list_augmentations("flip*"))
    ['flip', 'flip_alternating']
    """
    from thirtytwo.augment import augmentations

    return _summaries(augmentations, pattern)


def list_sources(pattern: str = "*") -> dict[str, str]:
    """Named data sources, for the key ``data.source``. A path to images is a source as well.

    >>> from thirtytwo import list_sources
    >>> sorted(list_sources("*mnist"))
    ['emnist', 'fashion-mnist', 'kmnist', 'mnist']
    """
    from thirtytwo.data import sources

    return _summaries(sources, pattern)


def list_optimizers(pattern: str = "*") -> dict[str, str]:
    """Optimizers, for the key ``optim.name``.

    >>> from thirtytwo import list_optimizers
    >>> sorted(list_optimizers())
    ['adam', 'adamw', 'muon', 'rmsprop', 'sgd']
    """
    from thirtytwo.optim import optimizers

    return _summaries(optimizers, pattern)


def list_schedules(pattern: str = "*") -> dict[str, str]:
    """Learning-rate schedules, for the key ``schedule``.

    >>> from thirtytwo import list_schedules
    >>> sorted(list_schedules("c*"))
    ['constant', 'cosine']
    """
    from thirtytwo.optim import schedules

    return _summaries(schedules, pattern)


def list_averages(pattern: str = "*") -> dict[str, str]:
    """Averages of the weights, for the key ``average``.

    >>> from thirtytwo import list_averages
    >>> sorted(list_averages())
    ['ema', 'lookahead', 'none']
    """
    from thirtytwo.optim import averages

    return _summaries(averages, pattern)


def list_trackers(pattern: str = "*") -> dict[str, str]:
    """Trackers, as `train` takes them. There are none but those that your own files register.

    >>> from thirtytwo import list_trackers
    >>> list_trackers()
    {}
    """
    from thirtytwo.tracking import trackers

    return _summaries(trackers, pattern)


def _summaries(registry: Registry[Any], pattern: str) -> dict[str, str]:
    return {name: registry.summary(name) for name in registry.names(pattern)}
