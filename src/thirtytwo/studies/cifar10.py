"""Studies on CIFAR-10."""

from thirtytwo.studies import studies
from thirtytwo.study.definition import Study, from_values


@studies.register_as("augmentation")
def augmentation() -> Study:
    """What each augmentation is worth to one small network that has few images: 10,000 of CIFAR-10's 50,000.

    Nine augmentations and none, five seeds each, val (6,500) and test (3,500) cut from the official test split. 20
    epochs, after which the network without augmentation knows its training images by heart and val no longer rises (40
    epochs: +0.1 points). Planned: five seeds find differences of 1.8 points in nine comparisons, if paired runs differ
    by 0.6. ``thirtytwo study augmentation``: on CIFAR-10 (JPEG)'s test images from 67.8 % (none) to 78.0 %
    (flip+translate); all but colour are shown to help. 80 minutes on two cores beside other work.
    """
    chains = {
        "none": "none",
        "flip": "flip",
        "translate": "translate(4)",
        "flip+translate": "flip|translate(4)",
        "rotate": "rotate(15)",
        "colour": "brightness(0.2)|contrast(0.2)|saturation(0.2)",
        "cutout": "cutout(8)",
        "mixup": "mixup(0.2)",
        "cutmix": "cutmix",
        "trivial": "trivialaugment",
    }
    return from_values(
        {
            "name": "augmentation",
            "base": "cifar10-fast",
            "seeds": tuple(range(5)),
            "set": {
                "model": "speednet(widths=(16, 64, 64))",
                "data.plan": "val-from-test",
                "data.limit": 10_000,
                "optim.lr": 0.12,
                "optim.bias_lr": 21.2,
                "optim.head_lr": 0.0041,
                "optim.bias_weight_decay": 0,
                "train.epochs": 20,
                "train.batch_size": 400,
                "train.start_scale": 1,
                "evaluate.views": "none",
            },
            "arms": {name: {"augment": chain} for name, chain in chains.items()},
        }
    )


@studies.register_as("tutorial")
def tutorial() -> Study:
    """PyTorch's CIFAR-10 tutorial and what each improvement adds to the one before it.

    More and batch-normalised convolutions, dropout, augmentation, Adam, a schedule, then the speedruns' optimizer with
    its own batches, rates and schedule, and finally twice the epochs: each arm keeps what the arm before it has.
    ``thirtytwo study tutorial``: on CIFAR-10 (JPEG)'s test images from 58.5 to 81.5 % (3 seeds); depth, the optimizer
    and the epochs are shown to help, nothing else at five epochs. 70 minutes on two cores alongside other work.
    """
    deep, dropout = (f"vgg8(widths=(16, 64, 128, 128), hidden=128, dropout={share})" for share in (0.0, 0.1))
    steps: dict[str, dict[str, object]] = {
        "tutorial": {},
        "batches": {"train.batch_size": 128, "optim.lr": 0.032},
        "depth": {"model": deep},
        "dropout": {"model": dropout},
        "augmentation": {"augment": "flip|translate(4)|rotate(10)"},
        "adam": {"optim.name": "adam", "optim.lr": 0.002},
        "schedule": {"schedule": "one_cycle"},
        "muon": {
            "optim.name": "muon",
            "optim.lr": 0.12,
            "optim.momentum": 0.6,
            "optim.nesterov": True,
            "optim.head_lr": 0.05,
            "optim.bias_lr": 0.05,
            "train.batch_size": 400,
            "schedule": "triangular(start=1, peak=0, end=0)",
        },
        "longer": {"train.epochs": 10},
    }
    kept: dict[str, object] = {}
    arms = {name: (kept := {**kept, **keys}) for name, keys in steps.items()}
    values = {"base": "cifar10-tutorial", "against": "previous", "set": {"train.epochs": 5}, "arms": arms}
    return from_values({"name": "tutorial", **values})
