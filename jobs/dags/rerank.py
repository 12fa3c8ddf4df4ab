"""Re-ranks the pairs of each day, and announces the result as an Airflow asset. docs/airflow.md says how to set it up.

Copy this file, or make this folder the dags_folder, and set the variables rayrank_first_day, rayrank_code,
rayrank_config, rayrank_input and rayrank_output and the connection ray_default.
"""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import fsspec
from airflow.sdk import DAG, Asset, CronDataIntervalTimetable, Variable, task
from rerank_job import RerankJob

CONFIG = "{{ var.value.rayrank_config }}"  # configs/lb-reranker-0.5b.yaml
OVERRIDES = "{{ var.value.get('rayrank_overrides', '') }}"  # fusion.alpha=0.3 output.top_k=100
DAY = "dt={{ data_interval_start | ds }}"
INPUT = "{{ var.value.rayrank_input }}/" + DAY  # s3://bucket/pairs/dt=2026-01-05
OUTPUT = "{{ var.value.rayrank_output }}/" + DAY  # the same for every try, so that a retry resumes
# The number of days before whose outputs give their scores to pairs with the same texts (docs/daily.md); 0 without it
REUSED = (
    "{% for days in range(1, 1 + var.value.get('rayrank_reuse_days', '0') | int) %}{{ ', ' if days > 1 }}"
    "{{ var.value.rayrank_output }}/dt={{ macros.ds_add(data_interval_start | ds, -days) }}{% endfor %}"
)
RANKED = Asset("rayrank_ranked")
# Read where the DAG is: without the variable it is an import error on Airflow's first page, and no run starts
FIRST_DAY = datetime.fromisoformat(Variable.get("rayrank_first_day")).replace(tzinfo=UTC)  # 2026-01-05


@task(retries=2, outlets=[RANKED])
def publish(output: str, *, outlet_events: Any) -> None:
    """Announces a result that stands: its place and figures go with the asset's event. Raises if there is none."""
    fs, path = fsspec.core.url_to_fs(output)
    manifest = fs.cat_file(f"{path}/manifest.json")
    if hashlib.sha256(manifest).hexdigest() != fs.cat_file(f"{path}/_SUCCESS").decode().strip():
        raise ValueError(f"{output}: _SUCCESS is not that of the manifest; does another run write there?")
    outlet_events[RANKED].extra = {"output": output, "figures": json.loads(manifest)["figures"]}


with DAG(
    "rerank",
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),  # a bare "@daily" has intervals of no length
    start_date=FIRST_DAY,
    catchup=True,  # else days are left out while a run takes longer than one, or the DAG is paused
    max_active_runs=1,  # days one after the other: each wants all GPUs
    doc_md=__doc__,
):
    rerank = RerankJob(
        task_id="rerank",
        conn_id="ray_default",
        job_name="{{ dag.dag_id }}-{{ data_interval_start | ts_nodash }}",
        entrypoint=(
            f"python jobs/rerank.py '{CONFIG}' 'input.path={INPUT}' 'output.path={OUTPUT}' 'run.reuse=[{REUSED}]' "
            f"{OVERRIDES}"
        ),
        runtime_env={"working_dir": "{{ var.value.rayrank_code }}", "excludes": [".git", ".venv"]},
        max_active_tis_per_dag=1,  # max_active_runs counts backfills apart from the schedule; this counts both
        poll_interval=15,
        retries=5,  # after 5 minutes (Airflow's default), 10, 20, 40, an hour
        retry_exponential_backoff=2,
        max_retry_delay=timedelta(hours=1),
    )
    rerank >> publish(OUTPUT)
