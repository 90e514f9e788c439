"""The room of what was made and what it cost (`catalog`, `report`)."""
