"""What things are made for: media, and the keys they are known by."""
