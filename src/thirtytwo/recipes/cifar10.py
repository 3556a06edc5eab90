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
