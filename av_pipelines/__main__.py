"""``python -m av_pipelines`` is ``avp``."""

from av_pipelines.cli import main

main()
