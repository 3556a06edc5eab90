"""Recipes that start from weights trained on ImageNet: `docs/transfer.md` explains their choices."""

from thirtytwo.recipe import Data, Evaluate, Optim, Recipe, Train
from thirtytwo.recipes import recipes


@recipes.register_as("finetune")
def finetune() -> Recipe:
    """A pretrained ResNet-18 on your own folder of pictures: ``thirtytwo train finetune data.source=FOLDER``.

    The whole network is trained, stages far from the head more slowly. Not measured with ResNet-18, as its weights
    were not available. With SqueezeNet 1.1 as its model, 1,000 pictures of CIFAR-10 (JPEG) in ten classes, n = 3:
    71.8 % of test, 29.9 % from random weights, in 70 seconds on one core.
    """
    return Recipe(
        name="finetune",
        model="torchvision/resnet18(pretrained=True)",
        augment="flip|trivialaugment",
        schedule="cosine(warmup=0.1)",
        data=Data(source="pictures", size=128, channels=3),
        optim=Optim(name="adamw", lr=5e-4, weight_decay=0.02, layer_decay=0.7),
        train=Train(epochs=15, batch_size=32, label_smoothing=0.1, class_weights="balanced"),
    )


@recipes.register_as("cifar10-finetune-vgg19")
def vgg19() -> Recipe:
    """VGG19 from ImageNet to CIFAR-10, without its last max-pool: the last convolutions and the classifier are trained.

    ``thirtytwo train cifar10-finetune-vgg19``. Should exceed the 79.6 % of the original that it repeats; not
    measured, as the weights were not available.
    """
    return _cifar10("vgg19", "torchvision/vgg19(pretrained=True, last_pool='identity')", freeze="to:features.28")


@recipes.register_as("cifar10-finetune-resnet18")
def resnet18() -> Recipe:
    """ResNet-18 from ImageNet to CIFAR-10, with its stem at stride 1: the last blocks and the head are trained.

    ``thirtytwo train cifar10-finetune-resnet18``. Should exceed the 81.1 % of the original that it repeats; not
    measured, as the weights were not available.
    """
    return _cifar10("resnet18", "torchvision/resnet18(pretrained=True, stem='small')", freeze="to:layer4")


@recipes.register_as("cifar10-finetune-resnet50")
def resnet50() -> Recipe:
    """ResNet-50 from ImageNet to CIFAR-10, with its stem at stride 1: the last blocks and the head are trained.

    ``thirtytwo train cifar10-finetune-resnet50``. Should exceed the 80.6 % of the original that it repeats; not
    measured, as the weights were not available.
    """
    return _cifar10("resnet50", "torchvision/resnet50(pretrained=True, stem='small')", freeze="to:layer4")


@recipes.register_as("cifar10-finetune-mobilenetv3-small")
def mobilenetv3_small() -> Recipe:
    """MobileNetV3-small from ImageNet to CIFAR-10 at 96 pixels, where its maps stay above one pixel: all is trained.

    ``thirtytwo train cifar10-finetune-mobilenetv3-small``. Should exceed the 39.9 % of the original that it
    repeats; not measured, as the weights were not available.
    """
    return _cifar10("mobilenetv3-small", "torchvision/mobilenet_v3_small(pretrained=True, input=96)", freeze="none")


@recipes.register_as("cifar10-finetune-squeezenet")
def squeezenet() -> Recipe:
    """SqueezeNet 1.1 from ImageNet to CIFAR-10 at 128 pixels: all but its first two stages are trained, in 12 epochs.

    ``thirtytwo train cifar10-finetune-squeezenet``. Should reach 88 % with mirrored views; measured on CIFAR-10 (JPEG),
    n = 1: 89.1 % of test with them, 87.9 % without, in 25 minutes on one core.
    """
    # The first two stages work on the largest maps: frozen, they save a fifth of a step, and edges stay edges.
    model = "torchvision/squeezenet1_1(pretrained=True, input=128, last_relu='identity')"
    recipe = _cifar10("squeezenet", model, freeze="to:features.4")
    return recipe.override({"optim.lr": 5e-4, "train.epochs": 12, "train.batch_size": 64, "train.eval_every": 2})


@recipes.register_as("cifar10-finetune-efficientnet")
def efficientnet() -> Recipe:
    """EfficientNet-Lite0 from ImageNet to CIFAR-10 at 128 pixels: the mobile network done right. Needs timm.

    ``thirtytwo train cifar10-finetune-efficientnet``. Should exceed 90 %; not measured yet.
    """
    model = "timm/tf_efficientnet_lite0(pretrained=True, input=128)"
    recipe = _cifar10("efficientnet", model, freeze="none")
    return recipe.override({"optim.lr": 1e-3, "optim.layer_decay": 0.8, "train.batch_size": 64})


def _cifar10(name: str, model: str, freeze: str) -> Recipe:
    """What they have in common: small steps, since most of what is trained is already good."""
    return Recipe(
        name=f"cifar10-finetune-{name}",
        model=model,
        augment="flip|translate(4)",
        schedule="cosine(warmup=0.1)",
        data=Data(source="cifar10"),
        optim=Optim(name="adamw", lr=3e-4, weight_decay=0.02),
        train=Train(epochs=5, batch_size=128, label_smoothing=0.1, freeze=freeze),
        evaluate=Evaluate(views="flip"),
    )
