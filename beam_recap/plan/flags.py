"""The flags of ``pipelines.plan``: its own, and all of the main job's."""

from __future__ import annotations

from beam_recap.flag import Flag
from beam_recap.flag_values import choice, integer, listed, number, or_none, text
from beam_recap.flags import FLAGS as RECAP_FLAGS

PLAN_FLAGS: tuple[Flag, ...] = (
    Flag(
        "sample_rows",
        "plan",
        "500",
        integer(16, 1_000_000),
        "Rows, chosen at random over the whole input, that are run here to see what they take.",
    ),
    Flag("seed", "plan", "0", integer(0, 10**9), "Of the choice of rows and of the intervals."),
    Flag(
        "from_summary",
        "plan",
        "none",
        or_none(text),
        "An earlier run's directory or its summary.json instead of a sample; of the main job's flags, only --input "
        "then counts.",
    ),
    Flag(
        "total_rows",
        "plan",
        "none",
        or_none(integer(1, 10**13)),
        "Rows of the whole job; none: they are counted in Parquet footers, texts and tars, of very many or very large "
        "files in a random part of them.",
    ),
    Flag(
        "sample_captions",
        "plan",
        "auto",
        choice("auto", "true", "false"),
        "Whether the sample's rows are captioned. auto: by the demonstration's captioner, and by others where there is "
        "a GPU; servers are asked only with true.",
    ),
    Flag(
        "deadline_hours",
        "plan",
        "24",
        number(0.25, 10_000, "give hours from 0.25 to 10000"),
        "Hours in which the whole job is to end.",
    ),
    Flag(
        "machine_types",
        "plan",
        "none",
        listed,
        "Machine types of the price file to compare, separated by commas; none: all.",
    ),
    Flag("prices", "plan", "none", or_none(text), "A price file of your own, like beam_recap/plan/prices.yaml."),
    Flag(
        "vcpu_speed",
        "plan",
        "0.6",
        number(0.05, 10, "give a multiple of a core of this machine, from 0.05 to 10"),
        "What a vCPU does compared with a core of this machine. A vCPU is one of a core's two hyperthreads: both "
        "together are taken to do 1.2 times what one does alone, at this machine's speed.",
    ),
    Flag(
        "gpu_clip_cpu_share",
        "plan",
        "0.2",
        number(0, 1, "give a share from 0 to 1"),
        "Share of CLIP's CPU time that is left (resizing, tokenizing) where a GPU does the rest.",
    ),
    Flag(
        "captioner_rates",
        "plan",
        "none",
        listed,
        "Captions per second and GPU that you have measured, such as nvidia-l4:2.4,nvidia-h100-80gb:40; none: they are "
        "estimated.",
    ),
    Flag(
        "worker_startup_s",
        "plan",
        "300",
        number(0, 7200, "give seconds from 0 to 7200"),
        "Seconds from a worker's first paid second to its first row: boot, image, driver, models.",
    ),
    Flag(
        "efficiency",
        "plan",
        "0.85",
        number(0.05, 1, "give a share from 0.05 to 1"),
        "Share of their time in which workers work: stragglers, scaling up and down, preempted rows.",
    ),
    Flag("disk_gb", "plan", "100", number(10, 65536, "give GB from 10 to 65536"), "Disk of each worker, in GB."),
    Flag("json", "plan", "none", or_none(text), "Also write the plan as JSON to this file, local or gs://."),
    Flag("format", "plan", "text", choice("text", "json"), "What is printed."),
)

FLAGS: tuple[Flag, ...] = (*PLAN_FLAGS, *RECAP_FLAGS)
