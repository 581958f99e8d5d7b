"""What Dataflow is told besides the graph: its workers' machines, GPUs and image."""

from __future__ import annotations

from apache_beam.options.pipeline_options import (
    DebugOptions,
    GoogleCloudOptions,
    PipelineOptions,
    SetupOptions,
    StandardOptions,
    WorkerOptions,
)

from beam_recap import files
from beam_recap.accelerators import Accelerator, default_machine, machine_problem, parse_accelerator
from beam_recap.config import RecapConfig
from beam_recap.flag import ConfigError

_SERVICE_OPTION = "worker_accelerator="
# The image is some 10 GB, and a captioner that is copied to the worker 17 more.
DISK_GB = 100
# Rows that are between stages hold their pixels; a machine has a process for each of its cores in any case.
THREADS = 1


def uses_dataflow(options: PipelineOptions) -> bool:
    """Whether the job is for Dataflow."""
    return str(options.view_as(StandardOptions).runner).rsplit(".", 1)[-1] == "DataflowRunner"


def gpu_hints(config: RecapConfig) -> dict[str, str]:
    """Resource hints of the steps that need a GPU, where those alone are to have one."""
    if config.worker_pools != "split" or config.accelerator is None:
        return {}
    machine = default_machine(config.accelerator)
    parts = config.accelerator.text.split(";")
    return {"accelerator": ";".join([*parts[:2], *([f"machine_type:{machine}"] if machine else []), *parts[2:]])}


def prepare_dataflow(options: PipelineOptions, config: RecapConfig) -> None:
    """Completes the options of a job for Dataflow; leaves those of other runners alone.

    Raises:
      ConfigError: what was asked for cannot be had together.
    """
    if not uses_dataflow(options):
        return
    cloud, workers, setup = (options.view_as(kind) for kind in (GoogleCloudOptions, WorkerOptions, SetupOptions))
    _check_places(cloud, config)
    services = list(cloud.dataflow_service_options or [])
    asked = [option.removeprefix(_SERVICE_OPTION) for option in services if option.startswith(_SERVICE_OPTION)]
    asked += _of_experiments(options)
    if asked and config.accelerator is not None:
        remedy = "is a second accelerator beside --dataflow_service_options=worker_accelerator; leave one of them out"
        raise ConfigError("gpu_accelerator", config.gpu_accelerator, remedy)
    if config.worker_pools == "split":
        if asked:
            problem = "gives every worker a GPU, and --worker_pools=split only some; use --gpu_accelerator instead"
            raise ConfigError("dataflow_service_options", f"{_SERVICE_OPTION}{asked[0]}", problem)
        if config.accelerator is None and config.caption_endpoint is None:
            raise ConfigError("worker_pools", "split", "needs to know the second pool's GPUs; give --gpu_accelerator")
    elif config.accelerator is not None:
        _set_machine(workers, config.accelerator, config.gpu_accelerator)
        cloud.dataflow_service_options = [*services, f"{_SERVICE_OPTION}{config.accelerator.text}"]
    for text in asked:
        try:
            accelerator = parse_accelerator(text)
        except ValueError as error:
            raise ConfigError("dataflow_service_options", f"{_SERVICE_OPTION}{text}", str(error)) from None
        _set_machine(workers, accelerator, text)
    _set_image(workers, setup)
    if config.accelerator is not None or asked:
        workers.disk_size_gb = workers.disk_size_gb or DISK_GB
    debug = options.view_as(DebugOptions)
    debug.number_of_worker_harness_threads = debug.number_of_worker_harness_threads or THREADS
    for place in (cloud.staging_location, cloud.temp_location):  # local ones: a job that is only written down
        files.make_directory(place or "")


def _check_places(cloud: GoogleCloudOptions, config: RecapConfig) -> None:
    """Workers elsewhere see no file of this machine."""
    endpoint = cloud.dataflow_endpoint or ""
    if "localhost" in endpoint or "127.0.0.1" in endpoint:
        return
    for flag, paths in (("input", config.input), ("output", (config.output,))):
        for path in paths:
            if "://" not in path:
                raise ConfigError(
                    flag, path, "is of this machine, which Dataflow's workers do not see; give a gs:// path"
                )


def _of_experiments(options: PipelineOptions) -> list[str]:
    experiments = options.view_as(DebugOptions).experiments or []
    return [one.removeprefix(_SERVICE_OPTION) for one in experiments if one.startswith(_SERVICE_OPTION)]


def _set_machine(workers: WorkerOptions, accelerator: Accelerator, shown: object) -> None:
    if workers.machine_type is None:
        workers.machine_type = default_machine(accelerator)
        if workers.machine_type is None:
            raise ConfigError(
                "machine_type", "none", f"is needed beside --gpu_accelerator={shown}; give one that has it"
            )
    problem = machine_problem(accelerator, workers.machine_type)
    if problem is not None:
        raise ConfigError("machine_type", workers.machine_type, f"{problem} (for {shown})")


def _set_image(workers: WorkerOptions, setup: SetupOptions) -> None:
    if workers.sdk_container_image is None:
        return
    if setup.setup_file is not None:
        problem = "would be installed over what --sdk_container_image holds already; leave one of them out"
        raise ConfigError("setup_file", setup.setup_file, problem)
    if setup.sdk_location == "default":
        setup.sdk_location = "container"  # Beam is in the image
