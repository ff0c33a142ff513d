# A worker's image: for Prefect's Docker and Kubernetes work pools, and for the nodes of a Ray or Dask cluster.
#
#   docker build -f deploy/worker.Dockerfile -t duetflow-worker .
#
# All machines of a run need the same image: flows/clusters.py compares their code and Python before it begins.
FROM python:3.11-slim-bookworm

# What tools/setup.sh asks of the system: EGL and GL for the renderer and OpenCV; git, by which Prefect pulls code.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates git libegl1 libgl1 libgl1-mesa-dri libglib2.0-0 tini \
    && rm -rf /var/lib/apt/lists/*

# As a user, set-up leaves out the browser that only tests want; and no worker needs to be root.
RUN useradd --create-home --uid 10001 duetflow && install -d -o duetflow /opt/duetflow
USER duetflow
WORKDIR /opt/duetflow

# The lock first: a change of code alone builds in seconds. Set-up looks whose `datasets` is imported.
COPY --chown=duetflow pyproject.toml requirements.lock ./
COPY --chown=duetflow tools tools
COPY --chown=duetflow datasets/__init__.py datasets/__init__.py
RUN tools/setup.sh

COPY --chown=duetflow datasets datasets
COPY --chown=duetflow flows flows
COPY --chown=duetflow model model
COPY --chown=duetflow tasks tasks
COPY --chown=duetflow prefect.yaml README.md ./
# Prefect and its kin are a thousand modules: compiled here once, not by each process at its start.
RUN .venv/bin/python -m compileall -q datasets flows model tasks .venv/lib/python3.11/site-packages/prefect \
    .venv/lib/python3.11/site-packages/pydantic .venv/lib/python3.11/site-packages/prefect_ray \
    .venv/lib/python3.11/site-packages/prefect_dask .venv/lib/python3.11/site-packages/distributed

ENV PATH=/opt/duetflow/.venv/bin:$PATH \
    PYTHONPATH=/opt/duetflow \
    DUETFLOW_HOME=/opt/duetflow \
    PYOPENGL_PLATFORM=egl \
    DO_NOT_TRACK=1 \
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    RAY_USAGE_STATS_ENABLED=0

# Nothing of the image is written to: sources, store, OUT and weights are mounts or s3:// addresses.
ENTRYPOINT ["/usr/bin/tini", "--"]
CMD ["prefect", "worker", "start", "--pool", "duetflow"]
