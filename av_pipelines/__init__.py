"""What is made: one room per kind of asset, and the one wrapper that makes them all."""

import os

# Threads of OpenMP (torch, OpenBLAS) spin while they wait for each other: with several at work on
# a machine that costs up to three times the CPU. It must be said before the first one is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
