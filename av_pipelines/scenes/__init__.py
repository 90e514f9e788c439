"""The room of the shots of a video, stills and looks (`scenes`, `frames`, `look`)."""
