"""The room of a mix taken apart into vocals, drums, bass and the rest (`stems`)."""
