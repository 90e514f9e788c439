"""The room of what is said, and when (`transcript`)."""
