"""A network's stages in order of use, and which of its parameters are trained, and from which epoch."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import inf

from torch import nn

from thirtytwo.errors import UserError, did_you_mean
from thirtytwo.models.network import Network
from thirtytwo.words import plural

TRUNKS = ("encoder", "features", "blocks", "layers", "stages", "trunk_output", "levels", "groups")
"""Parts that hold a network's stages, by the names that torchvision and timm use: their children are the stages."""

Since = Mapping[str, float]
"""The epoch from which a frozen parameter, by name, is trained; infinity if it never is."""


def heads(network: Network) -> tuple[str, ...]:
    """Names of the modules that produce the logits: by default the last linear layer or convolution."""
    if network.head_names:
        return network.head_names
    for kind in (nn.Linear, nn.Conv2d):
        found = [name for name, module in network.module.named_modules() if isinstance(module, kind)]
        if found:
            return (found[-1],)
    return ()


def stages(network: Network) -> dict[str, tuple[str, ...]]:
    """The network's parts that hold parameters, in the order of definition, with the parameters' names.

    A stage is a top-level part (``layer4``) or one of a trunk's (``features.28``). The head alone is the last stage.
    Parameters outside every part (a transformer's positions) belong to the first stage.
    """
    ends = heads(network)
    parts = [*_parts(network.module, "", ends), *ends[:1]] or ["parameters"]
    found: dict[str, list[str]] = {part: [] for part in parts}
    for name, _ in network.module.named_parameters():
        if any(name.startswith(f"{end}.") for end in ends):
            found[ends[0]].append(name)
        else:
            found[next((part for part in parts if name.startswith(f"{part}.")), parts[0])].append(name)
    return {part: tuple(names) for part, names in found.items() if names}


def distances(network: Network) -> dict[str, int]:
    """How many stages each parameter, by name, is away from the head, whose own distance is 0."""
    ordered = [*stages(network).values()]
    return {name: len(ordered) - 1 - i for i, names in enumerate(ordered) for name in names}


def plan(network: Network, freeze: str, unfreeze_every: float | None = None) -> dict[str, float]:
    """Which parameters ``freeze`` freezes, and when each of them is trained.

    Args:
        network: whose parameters are meant.
        freeze: "none"; "all-but-head"; "to:STAGE" freezes everything before a stage; else comma-separated patterns of
            parameter names, such as "features.*,classifier.1.*".
        unfreeze_every: epochs after which one more stage is trained, counted from the head.

    Raises UserError for an unknown stage, a pattern without a match, and if nothing is left to train.
    """
    parts = stages(network)
    chosen = _chosen(network, parts, freeze)
    trainable = {name for name, parameter in network.module.named_parameters() if parameter.requires_grad}
    frozen = chosen & trainable
    if frozen == trainable:
        raise UserError(f"train.freeze={freeze}: leaves nothing to train: freeze less")
    if unfreeze_every is None:
        return dict.fromkeys(frozen, inf)
    if not frozen:
        raise UserError("train.unfreeze_every: nothing is frozen: set train.freeze, for example all-but-head")
    closed = [inside for names in reversed(parts.values()) if (inside := frozen.intersection(names))]
    return {name: unfreeze_every * (i + 1) for i, names in enumerate(closed) for name in names}


class Freeze:
    """Keeps parameters as they are until their epoch: no gradient, no update, and their modules in evaluation mode.

    A module all of whose parameters are frozen is in evaluation mode with everything inside it, so that batch norm
    keeps its statistics and dropout has no effect. If the head alone is trained, so is everything else.
    """

    def __init__(self, network: Network, since: Since) -> None:
        self.module = network.module
        self.since = since
        parameters = dict(network.module.named_parameters())
        self._parameters = {name: parameter for name, parameter in parameters.items() if name in since}
        ends = heads(network)
        trained = {name for name, each in parameters.items() if each.requires_grad and since.get(name) != inf}
        inside = tuple(f"{end}." for end in ends)
        self.head_alone = bool(since) and all(name.startswith(inside) for name in trained)
        """Whether nothing but the head, of one module or more, is ever trained."""
        self.probed = ends[0] if self.head_alone and len(ends) == 1 else None
        """The head's name, where it is one module and all that is ever trained."""
        self._frozen: frozenset[str] | None = None
        self._still: tuple[nn.Module, ...] = ()

    def hold(self, epoch: float) -> None:
        """Freeze what is to be frozen after ``epoch`` passes, in a network in training mode."""
        frozen = frozenset(name for name, since in self.since.items() if epoch < since)
        if frozen != self._frozen:
            for name, parameter in self._parameters.items():
                parameter.requires_grad_(name not in frozen)
            self._still = tuple(_still(self.module)) if frozen else ()
            if self.probed:
                self._still = tuple(self.module.modules())
            self._frozen = frozen
        for module in self._still:
            module.training = False


@dataclass(frozen=True)
class Row:
    """A stage in the table of what is trained.

    Attributes:
        stage: its name.
        parameters: numbers in its parameters.
        trained: how many of them are trained from the start.
        since: the epoch from which the others are trained; infinity if they never are.
    """

    stage: str
    parameters: int
    trained: int
    since: float

    @property
    def state(self) -> str:
        """``trained``, ``frozen`` or ``partly trained``, with ``trained from epoch 2 on`` if more is trained later."""
        now = "trained" if self.trained == self.parameters else "partly trained" if self.trained else "frozen"
        return now if self.since == inf else f"{now}, trained from epoch {self.since:g} on"


def table(network: Network, since: Since) -> list[Row]:
    """What is trained in each stage if the parameters in ``since`` are frozen."""
    parameters = dict(network.module.named_parameters())

    def row(stage: str, names: tuple[str, ...]) -> Row:
        trained = [name for name in names if name not in since and parameters[name].requires_grad]
        return Row(
            stage,
            sum(parameters[name].numel() for name in names),
            sum(parameters[name].numel() for name in trained),
            min((since[name] for name in names if name in since), default=inf),
        )

    return [row(stage, names) for stage, names in stages(network).items()]


def sentence(rows: list[Row]) -> str:
    """The table in one line: ``trains layer4, fc: 8,398,858 of 11,181,642 parameters``."""
    names = [row.stage for row in rows if row.trained]
    shown = ", ".join(names) if len(names) <= 4 else f"{names[0]} to {names[-1]}, {len(names)} of {len(rows)} stages"
    trained, parameters = sum(row.trained for row in rows), sum(row.parameters for row in rows)
    later = sorted({row.since for row in rows} - {inf})
    more = f"; one stage more every {plural(later[0], 'epoch')}" if later else ""
    return f"trains {shown}: {trained:,} of {plural(parameters, 'parameter')}{more}"


def _parts(module: nn.Module, prefix: str, ends: tuple[str, ...]) -> Iterator[str]:
    """Dotted names of the parts other than the head; a trunk, or a part that holds the head, yields its own parts."""
    for name, child in module.named_children():
        path = prefix + name
        if path in ends:
            continue
        holds_head = any(end.startswith(f"{path}.") for end in ends)
        if holds_head or (name in TRUNKS and any(child.children())):
            yield from _parts(child, f"{path}.", ends)
        else:
            yield path


def _chosen(network: Network, parts: dict[str, tuple[str, ...]], freeze: str) -> set[str]:
    """Names of the parameters that ``freeze`` refers to."""
    names = [name for name, _ in network.module.named_parameters()]
    ordered = [*parts]
    if freeze == "none":
        return set()
    if freeze == "all-but-head":
        return {name for stage in ordered[:-1] for name in parts[stage]}
    if freeze.startswith("to:"):
        wanted = freeze.removeprefix("to:")
        first = next((i for i, stage in enumerate(ordered) if f"{stage}.".startswith(f"{wanted}.")), None)
        if first is None:
            raise UserError(f"train.freeze={freeze}: no stage '{wanted}'{did_you_mean(wanted, ordered)}")
        if first == 0:
            raise UserError(
                f"train.freeze={freeze}: freezes nothing, {ordered[0]} is the first stage: use none, or a later stage; "
                "`thirtytwo model MODEL --freeze none` lists them"
            )
        return {name for stage in ordered[:first] for name in parts[stage]}
    chosen = set()
    for pattern in freeze.split(","):
        found = [name for name in names if fnmatchcase(name, pattern.strip())]
        if not found:
            raise UserError(
                f"train.freeze={freeze}: '{pattern.strip()}' matches no parameter: use none, all-but-head, to:STAGE "
                f"or patterns such as {ordered[0]}.*"
            )
        chosen.update(found)
    return chosen


def _still(network: nn.Module) -> Iterator[nn.Module]:
    """Modules all of whose parameters are frozen, with everything inside them."""
    for module in network.modules():
        parameters = [*module.parameters()]
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            yield from module.modules()
