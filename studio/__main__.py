"""`python -m studio`: the same as the installed `onestroke` command."""
import sys

from studio.cli import app

if __name__ == "__main__":
    sys.exit(app())
