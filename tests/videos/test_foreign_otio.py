"""A stranger's OTIO is read or refused; it never ends the process."""

from __future__ import annotations

import copy
import json
from fractions import Fraction
from typing import Any

import opentimelineio as otio
from hypothesis import given, settings
from hypothesis import strategies as st

from av_pipelines.videos.foreign_otio import read_otio
from av_pipelines.videos.otio_items import placed, rate_of
from av_pipelines.videos.otio_time import otio_range, otio_time

PAL = Fraction(25)


def example() -> dict[str, Any]:
    timeline = otio.schema.Timeline(name="edit")
    clip = otio.schema.Clip(
        name="a",
        media_reference=otio.schema.ExternalReference("a.mp4", otio_range(0, 100, PAL)),
        source_range=otio_range(10, 50, PAL),
        effects=[otio.schema.LinearTimeWarp(time_scalar=2.0)],
    )
    dissolve = otio.schema.Transition(
        transition_type="SMPTE_Dissolve", in_offset=otio_time(3, PAL), out_offset=otio_time(4, PAL)
    )
    gap = otio.schema.Gap(source_range=otio_range(0, 25, PAL))
    children = [clip, dissolve, clip.deepcopy(), gap]
    timeline.tracks.append(otio.schema.Track(name="V", kind="Video", children=children))
    timeline.tracks.append(otio.schema.Track(name="A1", kind="Audio", children=[clip.deepcopy()]))
    return json.loads(otio.adapters.write_to_string(timeline, "otio_json"))


def places(data: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in a JSON value."""
    keys = list(data) if isinstance(data, dict) else range(len(data))
    found = [(data, key) for key in keys]
    for key in keys:
        if isinstance(data[key], dict | list):
            found += places(data[key])
    return found


JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5),
    st.sampled_from([[], {}, [None], {"OTIO_SCHEMA": "Clip.2"}, {"OTIO_SCHEMA": "Stack.1"},
                     {"OTIO_SCHEMA": "RationalTime.1", "rate": 0, "value": 1}]),
)  # fmt: skip


def test_what_is_well_is_read_as_the_library_reads_it() -> None:
    text = json.dumps(example())
    mine, theirs = read_otio(text), otio.adapters.read_from_string(text, "otio_json")
    for a, b in zip(mine.tracks, theirs.tracks, strict=True):
        assert [type(item) for item in a] == [type(item) for item in b]
        starts = [[item.start for item in placed(track, PAL)] for track in (a, b)]
        assert starts[0] == starts[1]
    assert otio.adapters.write_to_string(mine, "otio_json") == otio.adapters.write_to_string(
        theirs, "otio_json"
    )


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_whatever_is_put_into_it_it_is_read_or_refused(data: st.DataObject) -> None:
    broken = copy.deepcopy(example())
    for _ in range(data.draw(st.integers(1, 3))):
        holder, key = data.draw(st.sampled_from(places(broken)))
        if isinstance(holder, dict) and data.draw(st.booleans()):
            holder.pop(key)
        else:
            holder[key] = copy.deepcopy(data.draw(JUNK))
    try:
        timeline = read_otio(json.dumps(broken))
        rate = rate_of(timeline)
        for track in timeline.tracks:
            list(placed(track, rate))
    except ValueError:
        pass
