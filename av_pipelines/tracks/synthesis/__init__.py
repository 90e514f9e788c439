"""The sound of a score. Nothing here chooses a note."""
