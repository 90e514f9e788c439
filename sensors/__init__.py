"""When things are made: watch folders and schedules."""
