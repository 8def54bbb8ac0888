"""`python -m petlesion`."""

from petlesion.cli import main

if __name__ == "__main__":
    main()
