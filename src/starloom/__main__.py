"""``python -m starloom``: the command line without its script."""

from starloom.cli.app import main

if __name__ == "__main__":
    main()
