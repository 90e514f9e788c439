"""A sensor played by hand."""

from __future__ import annotations

from typing import cast

import dagster as dg


class Player:
    """Its memory between ticks, and what the daemon does with a tick up to the runs."""

    def __init__(
        self, sensor: dg.SensorDefinition, partitions: dg.DynamicPartitionsDefinition
    ) -> None:
        self.sensor, self._partitions = sensor, str(partitions.name)
        self.instance = dg.DagsterInstance.ephemeral()
        self.cursor: str | None = None
        self.skipped = ""

    def evaluate(self) -> list[dg.RunRequest]:
        """One tick."""
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor)
        result = cast("dg.SensorResult", self.sensor(context))
        reason = result.skip_reason
        self.skipped = reason.skip_message or "" if isinstance(reason, dg.SkipReason) else ""
        self.cursor = result.cursor
        for added in result.dynamic_partitions_requests or []:
            self.instance.add_dynamic_partitions(self._partitions, list(added.partition_keys))
        return list(result.run_requests or [])
