"""``python -m thirtytwo``."""

from thirtytwo.cli import main

if __name__ == "__main__":
    main()
