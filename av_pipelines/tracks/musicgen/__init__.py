"""The engine ``musicgen``: music by a trained model on ONNX Runtime.

``layout`` knows the files, ``graphs`` runs them, ``codes`` orders and draws the model's numbers,
``generate`` loops, ``continuation`` goes beyond 30 seconds, ``pace`` tells how far it is, and
``engine`` is what the room calls. Nothing here knows partitions, queues or the procedural engine.
"""
