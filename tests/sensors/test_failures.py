"""A failed run is told of with its files and their reasons."""

from __future__ import annotations

import dagster as dg

from resources.notifiers import Notice, NotifyError
from sensors.failures import failure_sensor


class Kept:
    """Keeps what it is told; or cannot be reached."""

    def __init__(self, *, deaf: bool = False) -> None:
        self.told: list[Notice] = []
        self.deaf = deaf

    def tell(self, notice: Notice) -> None:
        if self.deaf:
            raise NotifyError("nobody there")
        self.told.append(notice)


@dg.op
def breaks() -> None:
    raise dg.Failure("talk-0123456789: audio failed: no space left", allow_retries=False)


@dg.job
def media() -> None:
    breaks()


def test_everybody_is_told_which_file_failed_and_why() -> None:
    deaf, kept = Kept(deaf=True), Kept()
    with dg.DagsterInstance.ephemeral() as instance:
        result = media.execute_in_process(
            instance=instance, raise_on_error=False, tags={"dagster/partition": "talk-0123456789"}
        )
        context = dg.build_run_status_sensor_context(
            sensor_name="failures",
            dagster_instance=instance,
            dagster_run=result.dagster_run,
            dagster_event=result.get_run_failure_event(),
        ).for_run_failure()
        failure_sensor(lambda: [deaf, kept])(context)
    (notice,) = kept.told
    assert notice.title == "media failed: talk-0123456789"
    assert notice.text == "talk-0123456789: audio failed: no space left"
    assert notice.facts["run_id"] == result.run_id
