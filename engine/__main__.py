"""`python -m engine`: the same as the `engine` command."""

from .cli import main

if __name__ == "__main__":
    main(prog_name="engine")
