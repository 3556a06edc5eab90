"""How a network comes to its answers."""
