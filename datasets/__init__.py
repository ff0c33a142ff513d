"""What curation and training share: records, video, store, shards, stream. Imports neither torch nor Prefect."""
