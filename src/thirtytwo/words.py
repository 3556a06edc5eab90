"""Words of messages that depend on numbers."""


def times(number: int) -> str:
    """``once``, ``twice``, ``3 times``."""
    return {1: "once", 2: "twice"}.get(number, f"{number:,} times")


def plural(number: float, noun: str) -> str:
    """``1 epoch``, ``0.3 epochs``, ``1,293 images``, ``2 classes``."""
    ending = "" if number == 1 else "es" if noun.endswith("s") else "s"
    return f"{number:,.10g} {noun}{ending}"
