"""The ``projects`` partitions: one per project folder that becomes a film."""

from __future__ import annotations

import dagster as dg

project_partitions = dg.DynamicPartitionsDefinition(name="projects")
