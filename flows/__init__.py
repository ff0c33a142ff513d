"""The command, the DAGs of both routes, presets, plan, progress, summary."""

import os

# Prefect reads these when it is imported: nobody is told of a run unless its owner says so.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
