"""What is made: one room per kind of asset, and the one wrapper that makes them all."""
