"""The room of music made from a prompt (`track`)."""
