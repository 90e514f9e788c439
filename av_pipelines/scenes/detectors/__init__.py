"""Ways to find where shots change: each a plain function over ``media.picture`` arrays."""
