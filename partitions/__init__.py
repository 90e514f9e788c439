"""What things are made for: media, prompts, projects, and the keys they are known by."""
