"""Recipes for MNIST and its relatives (28 x 28 grey)."""

from thirtytwo.recipe import Data, Optim, Recipe, Train
from thirtytwo.recipes import recipes


@recipes.register_as("mnist-cnn")
def mnist_cnn() -> Recipe:
    """A small network of the speedruns' kind on MNIST."""
    return Recipe(
        name="mnist-cnn",
        model="speednet(widths=(32, 64, 64))",
        augment="translate(2)|rotate(10)",
        schedule="one_cycle",
        data=Data(source="mnist"),
        optim=Optim(name="adamw", lr=0.004, weight_decay=0.02),
        train=Train(epochs=6, batch_size=250, label_smoothing=0.1),
    )
