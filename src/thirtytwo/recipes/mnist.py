"""Recipes for MNIST and its relatives (28 x 28 grey)."""

from thirtytwo.recipe import Data, Optim, Recipe, Train
from thirtytwo.recipes import recipes


@recipes.register_as("mnist-cnn")
def mnist_cnn() -> Recipe:
    """A small network of the speedruns' kind on MNIST."""
    return Recipe(
        name="mnist-cnn",
        model="speednet(widths=(32, 64, 64))",
        augment="translate(2)",
        schedule="triangular",
        data=Data(source="mnist", val=0.1),
        optim=Optim(name="muon", lr=0.1, momentum=0.6, bias_lr=26, head_lr=0.02),
        train=Train(epochs=4, batch_size=500, label_smoothing=0.1),
    )
