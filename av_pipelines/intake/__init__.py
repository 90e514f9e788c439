"""The room of what comes in: a dropped file becomes the `source` and `audio` assets in one pass."""
