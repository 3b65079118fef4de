"""python -m models.lab RECIPE [key=value ...] [--minutes M] [--dry-run]"""
from __future__ import annotations

import argparse
import sys
from dataclasses import replace

from models.errors import StudioError
from models.lab.recipes import find_recipe, recipes, settings_from


def main(argv: list[str]) -> int:
    about = "\n".join(f"  {name:10} {run.__doc__.strip().splitlines()[0]}" for name, run in recipes().items())
    parser = argparse.ArgumentParser("python -m models.lab", description="Recipes:\n" + about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("settings", nargs="*", metavar="key=value")
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--dry-run", action="store_true", help="print the settings and stop")
    args = parser.parse_args(argv)
    try:
        settings = replace(settings_from(args.settings, args.minutes), command="python -m models.lab " + " ".join(argv))
        run = find_recipe(args.recipe)
        print(settings, flush=True)
        if not args.dry_run:
            run(settings)
    except StudioError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
