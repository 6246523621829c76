"""``python -m engage``, the same as ``engage``."""

from engage.cli import main

if __name__ == "__main__":
    main()
