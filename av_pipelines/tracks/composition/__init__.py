"""The score: keys, chords, melodies, rhythms, sections. Nothing here makes a sound."""
