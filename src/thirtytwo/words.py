"""Words of messages that depend on numbers."""


def plural(number: float, noun: str) -> str:
    """``1 epoch``, ``0.3 epochs``, ``1,293 images``, ``2 classes``."""
    ending = "" if number == 1 else "es" if noun.endswith("s") else "s"
    return f"{number:,.10g} {noun}{ending}"
