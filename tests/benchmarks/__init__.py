"""Side-by-side measurements against peers: ``make bench``. Not part of ``make test``."""
