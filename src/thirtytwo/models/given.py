"""Networks that a Python program passes in, as models by name."""

from collections.abc import Callable
from copy import deepcopy
from weakref import ref

from torch import nn

from thirtytwo.errors import UserError
from thirtytwo.models import models
from thirtytwo.spec import OWN

known: dict[str, tuple["ref[nn.Module]", nn.Module]] = {}
"""By name, the object that was passed in, and a copy of it as it was then."""


@models.register_family(OWN)
class Given:
    """Networks that `register` named in this process."""

    def names(self) -> list[str]:
        """Their names, without the prefix."""
        return list(known)

    def get(self, name: str) -> Callable[..., nn.Module]:
        """The factory of that name. Raises UserError if nothing was registered under it."""
        if name not in known:
            raise UserError(
                f"model '{OWN}{name}': came from a Python program: pass it again as model=... to "
                "thirtytwo.open_run or thirtytwo.resume"
            )

        def given() -> nn.Module:
            """A network of the user's own, with the weights that it had when it was passed in."""
            return deepcopy(known[name][1])

        return given


def register(network: nn.Module, name: str | None = None) -> str:
    """The name under which ``network`` is a model from now on: ``name``, or one derived from its class.

    It is copied, so that a training leaves the object itself alone. Raises UserError for one that cannot be copied, and
    for what is not a network.
    """
    if not isinstance(network, nn.Module):
        raise UserError(f"model={network!r}: is not a network: expected a torch.nn.Module")
    if name is None:
        label = type(network).__name__
        taken = (label if i == 1 else f"{label}-{i}" for i in range(1, len(known) + 2))
        name = OWN + next(each for each in taken if each not in known or known[each][0]() is network)
    try:
        copied = deepcopy(network)
    except Exception as error:  # a module of the user's own may raise anything
        raise UserError(f"model={type(network).__name__}: cannot be copied ({error}): register a function") from error
    known[name.removeprefix(OWN)] = ref(network), copied
    return name
