"""The generator: reads shards through datasets/, never tasks or flows."""

try:
    from datasets import records as _records  # noqa: F401
except ImportError as error:
    import datasets as _other

    raise ImportError(
        f"datasets: want Duetflow's own folder, got {_other.__file__}. PyPI's `datasets` stands before it: "
        "run `pip uninstall datasets`, or start from the project's root"
    ) from error
