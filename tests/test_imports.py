"""Importing costs nothing, and no module stands where a public name should."""

import subprocess
import sys

from thirtytwo.registry import Registry

EVERY_MODULE = """
import importlib, pkgutil, thirtytwo
for module in pkgutil.walk_packages(thirtytwo.__path__, "thirtytwo."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
from thirtytwo import augment, data, models, optim, recipes
print(callable(thirtytwo.train))
for registry in (augment.augmentations, data.sources, models.models, optim.averages, optim.optimizers, optim.schedules,
                 recipes.recipes):
    print(type(registry).__name__, len(registry.names()) > 2)
"""


def test_registries_and_functions_keep_their_names_when_every_module_is_imported():
    done = subprocess.run([sys.executable, "-c", EVERY_MODULE], capture_output=True, text=True)
    assert done.stdout.split("\n")[:-1] == ["True", *[f"{Registry.__name__} True"] * 7], done.stderr


UNTIL_THE_FIRST_WORD = """
import sys
from thirtytwo import recipes
from thirtytwo.cli.console import say
from thirtytwo.training.session import Session
def loaded(splits):
    say(splits.name, str({"sklearn", "scipy", "pandas", "matplotlib", "triton", "torch._dynamo"} & {*sys.modules}))
    sys.exit()
Session.new(recipes.find("digits-cnn"), out=None, loaded=loaded)
"""


def test_until_a_training_says_its_first_word_nothing_is_imported_that_takes_long():
    done = subprocess.run([sys.executable, "-c", UNTIL_THE_FIRST_WORD], capture_output=True, text=True)
    assert done.stdout.split(maxsplit=1) == ["digits", "set()\n"], done.stderr
