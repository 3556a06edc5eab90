"""Train, compare and explain small-image classifiers: CIFAR-10, MNIST, or a folder of your own pictures.

>>> import thirtytwo
>>> run = thirtytwo.train("digits-cnn", epochs=3)
>>> run.scores("test")["accuracy"]
Estimate(value=0.9..., low=..., high=0.9..., n=360)
>>> print(run.predict("val:712")[0])  # or a picture of your own: run.predict("seven.png")
val-712: 6 (...%)

``__init__.pyi`` lists the public names, for editors and at run time. A name is imported at its first use, so that
``import thirtytwo`` costs nothing.
"""

import lazy_loader

from thirtytwo.version import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
