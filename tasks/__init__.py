"""One stage a file: VERSION, Config, one Prefect task."""
