# One image for every node of a cluster: head, CPU workers, GPU workers, and the pod that submits.
#
#   docker build -t registry.example.com/rayrank:0.2.0 .
#
# It stands on Ray's own image, for KubeRay and `ray up` count on what that has: the user `ray` (1000), bash, wget, and
# `ray` on the PATH. Its CUDA is for kernels that are compiled at run time, and of the same version as the libraries that
# vLLM's wheels bring; nodes need a driver that knows CUDA 13.
# RAY_VERSION is the cluster's one Ray version: head, workers and whoever submits must have the same.

ARG RAY_VERSION=2.60.0
FROM rayproject/ray:${RAY_VERSION}-py311-cu130

USER root
RUN install -d -o 1000 -g 100 /opt/rayrank /models
USER 1000
WORKDIR /opt/rayrank

# What it needs comes first: a change of the code then builds in seconds.
COPY --chown=1000:100 requirements-gpu.lock requirements-gpu.lock
RUN pip install --no-cache-dir -r requirements-gpu.lock

COPY --chown=1000:100 actors actors
COPY --chown=1000:100 pipeline pipeline
COPY --chown=1000:100 jobs jobs
COPY --chown=1000:100 configs configs

# Workers find the code here; that of `ray job submit --working-dir .` goes before it.
ENV PYTHONPATH=/opt/rayrank \
    HF_HOME=/models \
    RAY_USAGE_STATS_ENABLED=0
