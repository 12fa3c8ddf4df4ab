# One image for every node of a cluster: head, CPU workers, GPU workers, and the pod that submits.
#
#   docker build -t registry.example.com/rayrank:0.1.0 --build-arg STORES="gcsfs" .
#
# It stands on Ray's own image, for KubeRay and `ray up` count on what that has: the user `ray` (1000), bash, wget, and
# `ray` on the PATH. Its CUDA is for kernels that are compiled at run time; vLLM's wheels bring the libraries they run on.
# RAY_VERSION is the cluster's one Ray version: head, workers and whoever submits must have the same.

ARG RAY_VERSION=2.60.0
FROM rayproject/ray:${RAY_VERSION}-py311-gpu

ARG RAY_VERSION
ARG VLLM_VERSION=0.32.0
# Drivers of stores other than S3, which is there: gcsfs for gs://, adlfs for abfs://
ARG STORES=""

USER root
RUN install -d -o 1000 -g 100 /opt/rayrank /models
USER 1000
WORKDIR /opt/rayrank

# What it needs comes first: a change of the code then builds in seconds.
COPY --chown=1000:100 pyproject.toml README.md LICENSE ./
RUN pip install --no-cache-dir ".[gpu]" "ray[data,default]==${RAY_VERSION}" "vllm==${VLLM_VERSION}" ${STORES} \
    && python -c "import ray, sys; sys.exit(ray.__version__ != '${RAY_VERSION}')"

COPY --chown=1000:100 actors actors
COPY --chown=1000:100 pipeline pipeline
COPY --chown=1000:100 jobs jobs
COPY --chown=1000:100 configs configs

# Workers find the code here; that of `ray job submit --working-dir .` goes before it.
ENV PYTHONPATH=/opt/rayrank \
    HF_HOME=/models \
    RAY_USAGE_STATS_ENABLED=0
