"""The room of sound at a target loudness, in the formats people deliver (`master`)."""
