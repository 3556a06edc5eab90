"""The speedruns' network and optimizer, for each data set and for your own: much accuracy in little time.

They share one form, `_fast`. The figures on CIFAR-10 are for CIFAR-10 (JPEG), which is harder than the original.
"""

from thirtytwo.recipe import Data, Evaluate, Optim, Recipe, Train
from thirtytwo.recipes import recipes


@recipes.register_as("cifar10-fast")
def cifar10_fast() -> Recipe:
    """The speedruns' network, a little narrower, on CIFAR-10: images that grow, Muon. For two cores.

    ``thirtytwo train cifar10-fast``: on CIFAR-10 (JPEG) 89.8 % [89.3, 90.4] without and 90.6 % [90.3, 90.9] with 6
    views (mean of 3 seeds, 95 % interval), 590 s of training on two cores on which airbench94's step runs at 480 img/s.
    """
    return _fast(
        "cifar10-fast", "cifar10", widths=(64, 192, 256), epochs=12.5, batch_size=800, lr=0.18, bias_weight_decay=1.2e-4
    )


@recipes.register_as("cifar10-2min")
def cifar10_2min() -> Recipe:
    """`cifar10-fast`, half as long: two minutes on two quick cores.

    ``thirtytwo train cifar10-2min``: on CIFAR-10 (JPEG) 88.3 % [87.9, 88.7] without and 89.1 % [88.9, 89.4] with 6
    views (mean of 3 seeds, 95 % interval), 289 s of training on two cores on which airbench94's step runs at 443 img/s.
    """
    return _fast("cifar10-2min", "cifar10", widths=(64, 192, 256), epochs=5.7, batch_size=500, lr=0.14)


@recipes.register_as("cifar10-30s")
def cifar10_30s() -> Recipe:
    """A narrow network, fewer than two epochs: half a minute on two quick cores.

    ``thirtytwo train cifar10-30s``: on CIFAR-10 (JPEG) 82.0 % [81.8, 82.2] without and 83.1 % [82.8, 83.4] with 6
    views (mean of 3 seeds, 95 % interval), 69 s of training on two cores on which airbench94's step runs at 471 img/s.
    """
    return _fast("cifar10-30s", "cifar10", widths=(64, 128, 256), epochs=1.6, batch_size=250, lr=0.1)


@recipes.register_as("cifar10-94")
def cifar10_94() -> Recipe:
    """The speedruns' 94 % on CIFAR-10, with airbench94_muon's widths, batch and length. For a GPU, usable anywhere.

    ``thirtytwo train cifar10-94``. Not measured yet; a quarter of an hour to half an hour on two cores.
    """
    return _fast(
        "cifar10-94",
        "cifar10",
        activation="gelu",
        epochs=8,
        batch_size=2000,
        lr=0.24,
        start_scale=1,
        bias_weight_decay=3.8e-5,
    )


@recipes.register_as("cifar10-95")
def cifar10_95() -> Recipe:
    """The speedruns' 95 % on CIFAR-10: airbench95's widths, and half as many epochs more. For a GPU.

    ``thirtytwo train cifar10-95``. Not measured yet; hours on a processor.
    """
    wide = (128, 384, 384)
    return _fast(
        "cifar10-95",
        "cifar10",
        widths=wide,
        activation="gelu",
        epochs=12,
        batch_size=1000,
        lr=0.2,
        bias_weight_decay=1.2e-4,
    )


@recipes.register_as("cifar10-96")
def cifar10_96() -> Recipe:
    """The speedruns' 96 % on CIFAR-10: airbench96's widths and third convolution, larger shifts, a cut-out. For a GPU.

    ``thirtytwo train cifar10-96``. Not measured yet; a day on a processor.
    """
    wide = (128, 384, 512)
    recipe = _fast("cifar10-96", "cifar10", widths=wide, epochs=32, batch_size=1000, lr=0.2, bias_weight_decay=1.2e-4)
    deep = f"speednet(widths={wide}, convs=3)"
    return recipe.override({"model": deep, "augment": "flip_alternating|translate(4)|cutout(12)"})


@recipes.register_as("cifar100-fast")
def cifar100_fast() -> Recipe:
    """`cifar10-fast` on CIFAR-100, with a wider last group for its hundred classes and twice the epochs.

    ``thirtytwo train cifar100-fast``. Not measured yet, as the images were not available.
    """
    return _fast(
        "cifar100-fast", "cifar100", widths=(64, 192, 384), epochs=20, batch_size=800, lr=0.18, bias_weight_decay=1.2e-4
    )


@recipes.register_as("svhn-fast")
def svhn_fast() -> Recipe:
    """`cifar10-fast` on SVHN's house numbers, which are not mirrored: a mirrored 2 is not a 2.

    ``thirtytwo train svhn-fast``. Not measured yet, as the images were not available.
    """
    recipe = _fast("svhn-fast", "svhn", widths=(64, 192, 256), epochs=8, batch_size=800, lr=0.18)
    return recipe.override({"augment": "translate(2)", "evaluate.views": "none"})


@recipes.register_as("mnist-fast")
def mnist_fast() -> Recipe:
    """A narrow network and three epochs on MNIST: seconds on two cores.

    ``thirtytwo train mnist-fast``: 99.58 % [99.55, 99.61] of the 10,000 test images (mean of 3 seeds, 95 % interval),
    38.8 s of training on two cores on which airbench94's step runs at 463 img/s.
    """
    recipe = _fast("mnist-fast", "mnist", widths=(32, 64, 64), epochs=3, batch_size=250, lr=0.1)
    return recipe.override({"augment": "translate(2)|rotate(10)", "evaluate.views": "none"})


@recipes.register_as("fashion-mnist-fast")
def fashion_mnist_fast() -> Recipe:
    """`cifar10-fast`, narrower, on Fashion-MNIST's clothes, which may be mirrored.

    ``thirtytwo train fashion-mnist-fast``. Not measured yet, as the images were not available.
    """
    return _fast("fashion-mnist-fast", "fashion-mnist", widths=(64, 128, 256), epochs=8, batch_size=500, lr=0.14)


@recipes.register_as("fast")
def fast() -> Recipe:
    """The speedruns' network on your own pictures, from random weights: ``thirtytwo train fast data.source=FOLDER``.

    Not measured yet. Where pictures are few, `finetune` starts from more than nothing.
    """
    recipe = _fast("fast", "pictures", widths=(64, 128, 256), epochs=30, batch_size=64, lr=0.06)
    return recipe.override({"data.channels": 3, "data.val": 0.1, "train.class_weights": "balanced"})


def _fast(
    name: str,
    source: str,
    *,
    widths: tuple[int, int, int] = (64, 256, 256),
    activation: str = "silu",
    epochs: float,
    batch_size: int,
    lr: float,
    start_scale: float = 0.5,
    bias_weight_decay: float = 0.0,
) -> Recipe:
    """What they share. Rates of biases and head, for a mean over the batch, grow with its size.

    They, momentum, smoothing and the head's weight decay are airbench94_muon's (Jordan 2024), in this package's terms;
    length, batch, widths, activation and sizes for two cores were chosen on 5,000 and 10,000 val images, and so was
    three times its decay of the biases, which the longer trainings add (`docs/speed.md`).
    """
    return Recipe(
        name=name,
        model=f"speednet(widths={widths}, activation='{activation}')",
        augment="flip_alternating|translate(2)",
        schedule="triangular(start=1, peak=0, end=0)",
        data=Data(source=source, val=1000),
        optim=Optim(
            name="muon",
            lr=lr,
            momentum=0.6,
            bias_lr=0.053 * batch_size,
            head_lr=1.02e-5 * batch_size,
            weight_decay=0.195,
            bias_weight_decay=bias_weight_decay,
        ),
        train=Train(
            epochs=epochs,
            batch_size=batch_size,
            label_smoothing=0.2,
            start_scale=start_scale,
            full_size_from=0.6,
        ),
        evaluate=Evaluate(views="flip+shift"),
    )
