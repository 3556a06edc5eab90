"""Recipes for CIFAR-10 (32 x 32 RGB). The figures are for CIFAR-10 (JPEG), which is harder than the original."""

from thirtytwo.recipe import Data, Evaluate, Optim, Recipe, Train
from thirtytwo.recipes import recipes


@recipes.register_as("cifar10-cnn2")
def cifar10_cnn2() -> Recipe:
    """Two convolutions of 32 filters on CIFAR-10, by SGD: the smallest network worth the name.

    ``thirtytwo train cifar10-cnn2``: 75.25 % of CIFAR-10 (JPEG)'s test images (mean of 3 seeds), 296 s on one of two
    cores. Learning rate, shifts and the second pool were chosen on val; with one pool and a learning rate of 0.1 it was
    65 %.
    """
    return Recipe(
        name="cifar10-cnn2",
        model="cnn2(pools=2)",
        augment="flip|translate(2)",
        schedule="one_cycle",
        data=Data(source="cifar10"),
        optim=Optim(name="sgd", lr=0.03, momentum=0.9, weight_decay=5e-4),
        train=Train(epochs=24, batch_size=128),
    )


@recipes.register_as("cifar10-resnet18")
def cifar10_resnet18() -> Recipe:
    """ResNet-18 with the 3x3 stem on CIFAR-10: the baseline that most papers compare with.

    ``thirtytwo train cifar10-resnet18``. Not measured yet; hours on a processor, minutes on a GPU.
    """
    return Recipe(
        name="cifar10-resnet18",
        model="resnet18",
        augment="flip|translate(4, padding='zero')",
        schedule="one_cycle",
        data=Data(source="cifar10"),
        optim=Optim(name="sgd", lr=0.1, momentum=0.9, weight_decay=5e-4),
        train=Train(epochs=30, batch_size=128, label_smoothing=0.1),
        evaluate=Evaluate(views="flip"),
    )


@recipes.register_as("cifar10-fast")
def cifar10_fast() -> Recipe:
    """The speedruns' network, a little narrower, on CIFAR-10: images that grow, Muon. For two cores.

    ``thirtytwo train cifar10-fast``: on CIFAR-10 (JPEG) 89.3 % [89.0, 89.6] without and 90.4 % [90.3, 90.6] with 6
    views (mean of 3 seeds, 95 % interval), 563 s of training on two cores on which airbench94's step runs at 455 img/s.
    """
    return _fast("cifar10-fast", widths=(64, 192, 256), epochs=12, batch_size=800, lr=0.18)


@recipes.register_as("cifar10-2min")
def cifar10_2min() -> Recipe:
    """`cifar10-fast`, half as long: two minutes on two quick cores.

    ``thirtytwo train cifar10-2min``: on CIFAR-10 (JPEG) 88.3 % [87.9, 88.7] without and 89.1 % [88.9, 89.4] with 6
    views (mean of 3 seeds, 95 % interval), 289 s of training on two cores on which airbench94's step runs at 443 img/s.
    """
    return _fast("cifar10-2min", widths=(64, 192, 256), epochs=5.7, batch_size=500, lr=0.14)


@recipes.register_as("cifar10-30s")
def cifar10_30s() -> Recipe:
    """A narrow network, fewer than two epochs: half a minute on two quick cores.

    ``thirtytwo train cifar10-30s``: on CIFAR-10 (JPEG) 82.0 % [81.8, 82.2] without and 83.1 % [82.8, 83.4] with 6
    views (mean of 3 seeds, 95 % interval), 69 s of training on two cores on which airbench94's step runs at 471 img/s.
    """
    return _fast("cifar10-30s", widths=(64, 128, 256), epochs=1.6, batch_size=250, lr=0.1)


def _fast(name: str, *, widths: tuple[int, int, int], epochs: float, batch_size: int, lr: float) -> Recipe:
    """What the recipes for two cores share. Rates of biases and head, for a mean over the batch, grow with its size.

    They, momentum, smoothing and weight decay are airbench94_muon's (Jordan 2024), in this package's terms; length,
    batch, widths, activation and sizes were chosen on 5,000 and 10,000 val images (`docs/speed.md`).
    """
    return Recipe(
        name=name,
        model=f"speednet(widths={widths}, activation='silu')",
        augment="flip_alternating|translate(2)",
        schedule="triangular(start=1, peak=0, end=0)",
        data=Data(source="cifar10", val=1000),
        optim=Optim(
            name="muon",
            lr=lr,
            momentum=0.6,
            bias_lr=0.053 * batch_size,
            head_lr=1.02e-5 * batch_size,
            weight_decay=0.195,
        ),
        train=Train(epochs=epochs, batch_size=batch_size, label_smoothing=0.2, start_scale=0.5, full_size_from=0.6),
        evaluate=Evaluate(views="flip+shift"),
    )


@recipes.register_as("cifar10-vgg8")
def cifar10_vgg8() -> Recipe:
    """Eight convolutions in pairs with batch norm and dropout, trained by Muon as the speedruns do.

    ``thirtytwo train cifar10-vgg8``: 89.4 % of CIFAR-10 (JPEG)'s test images (one seed), 35 minutes on one of two
    cores.
    """
    return Recipe(
        name="cifar10-vgg8",
        model="vgg8(dropout=0.05)",
        augment="flip_alternating|translate(2)",
        schedule="triangular(start=1, peak=0, end=0)",
        data=Data(source="cifar10"),
        optim=Optim(name="muon", lr=0.12, momentum=0.6, bias_lr=0.05, head_lr=0.05),
        train=Train(epochs=12, batch_size=400, label_smoothing=0.1),
    )


@recipes.register_as("cifar10-tutorial")
def cifar10_tutorial() -> Recipe:
    """PyTorch's first tutorial on images: two convolutions, three linear layers, SGD at 0.001, batches of 4.

    ``thirtytwo train cifar10-tutorial``: 54.3 % of CIFAR-10 (JPEG)'s test images (one seed), 79 s on one of two cores.
    ``thirtytwo study tutorial`` improves it step by step.
    """
    return Recipe(
        name="cifar10-tutorial",
        model="lenet",
        schedule="constant",
        data=Data(source="cifar10"),
        optim=Optim(name="sgd", lr=0.001, momentum=0.9, nesterov=False, weight_decay=0),
        train=Train(epochs=2, batch_size=4),
    )


@recipes.register_as("cifar10-cnn9")
def cifar10_cnn9() -> Recipe:
    """Nine layers, trained by Muon as the speedruns do.

    ``thirtytwo train cifar10-cnn9``: 88.4 % of CIFAR-10 (JPEG)'s test images (one seed), 32 minutes on one of two cores
    on which airbench94's step runs at 513 img/s on both. AdamW with a cosine, closer to its author's training, reaches
    86.8 % in 14 epochs.
    """
    return Recipe(
        name="cifar10-cnn9",
        model="cnn9",
        augment="flip_alternating|translate(2)",
        schedule="triangular(start=1, peak=0, end=0)",
        data=Data(source="cifar10"),
        optim=Optim(name="muon", lr=0.12, momentum=0.6, bias_lr=0.05, head_lr=0.05),
        train=Train(epochs=9, batch_size=400, label_smoothing=0.1),
    )
