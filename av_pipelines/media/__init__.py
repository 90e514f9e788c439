"""Plain functions on media that several rooms share: open, read, write, measure, draw.

Nothing here knows assets, stores, settings or Dagster. What only one room needs lives in that room.
"""
