"""The recipes that ship: TOML files, one a recipe. Users add theirs in ``<store>/recipes/``."""
