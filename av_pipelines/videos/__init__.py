"""The room of projects put together (`timeline`, `video`, `cutdowns`)."""
