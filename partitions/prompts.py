"""The ``prompts`` partitions: one per request for a generated track; its takes share it."""

from __future__ import annotations

import dagster as dg

prompt_partitions = dg.DynamicPartitionsDefinition(name="prompts")
