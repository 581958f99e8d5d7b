"""Every flag of the command line: its name, its check, its default and its help.

:class:`beam_recap.options.RecapOptions` declares them to Beam, :class:`beam_recap.config.RecapConfig` holds their
values. Each takes a value (``--flag=value``), because a Dataflow Flex Template passes them so. Those of
scores and filters, captions, the whole dataset, and further outputs are in modules of their own.
"""

from __future__ import annotations

from beam_recap.accelerators import GPU_PRESETS, accelerator_name
from beam_recap.caption_flags import CAPTION_FLAGS
from beam_recap.curation_flags import CURATION_FLAGS
from beam_recap.flag import PRESET_VALUE, Flag
from beam_recap.flag_values import (
    Reader,
    boolean,
    choice,
    integer,
    matching,
    names,
    number,
    or_none,
    patterns,
    ports,
    reader,
    text,
)
from beam_recap.names import DEFAULT_AGENT, DEFAULT_CONTACT, IMAGE_FORMATS, OPT_OUT_DIRECTIVES, RESIZE_MODES, SCHEMAS
from beam_recap.output_flags import OUTPUT_FLAGS
from beam_recap.prefilter import prefilter
from beam_recap.score_flags import SCORE_FLAGS
from beam_recap.slices import parse_slice

PRESETS = ("recap", "text-debiased", "recap-debiased")

FLAGS: tuple[Flag, ...] = (
    Flag(
        "input",
        "rows",
        None,
        patterns,
        "Shards: paths, globs or folders, separated by commas, local or gs://. Parquet, .csv, .tsv, .json, .jsonl, "
        ".ndjson or .txt files of URLs, the texts also with .gz, or webdataset tars of images. Without it, the "
        "embedded demonstration runs.",
    ),
    Flag(
        "output",
        "rows",
        None,
        text,
        "Directory for the dataset, local or gs://; required with --input (the demonstration writes to beam-recap-"
        "demo).",
        False,
    ),
    Flag(
        "preset",
        "rows",
        None,
        choice(*PRESETS),
        "recap: caption every image (default with --input). text-debiased: CLIP > 0.3, aesthetic > 4.5, no visible "
        "text; no captions. recap-debiased: those filters, then captions (default of the demonstration).",
    ),
    Flag(
        "max_rows",
        "rows",
        "none",
        or_none(integer(1, 10**12)),
        "Stop after this many rows of the input, in its order; none: all.",
    ),
    Flag("url_column", "rows", "none", or_none(text), "Column of image URLs, where it is not url or URL."),
    Flag(
        "caption_column",
        "rows",
        "none",
        or_none(text),
        "Column of captions, where it is not org_caption, caption, text or TEXT.",
    ),
    Flag(
        "verify_hash",
        "rows",
        "none",
        or_none(text),
        "Column with the md5, sha256 or sha512 (hexadecimal) of the image file: other bytes are rejected; none: any.",
    ),
    Flag(
        "prefilter",
        "rows",
        "none",
        Reader(prefilter, text.form),
        "Conditions on what the input says of a row, separated by commas; a row that fails one is rejected before "
        "anything is downloaded: COLUMN>0.3, with >, >=, <, <=, == or !=. Besides columns: caption_words, "
        "caption_chars, min_side, max_side (px), aspect_ratio (long side / short side), language (==en); column:NAME "
        "for a column of such a name. basic: DataComp's basic filter. none: all pass.",
    ),
    Flag(
        "slice",
        "rows",
        "none",
        or_none(reader(r"[ ]*[0-9]{1,9}/[0-9]{1,9}[ ]*")(lambda value: str(parse_slice(value)))),
        "Do only a part of the input, I/N: the I-th of N slices, each done by a job of its own, several at once if you "
        "like, in one output directory. The same command without it then makes one dataset of them. none: all.",
        False,
    ),
    Flag(
        "unit_rows",
        "rows",
        "none",
        or_none(integer(1, 1_000_000)),
        "Rows per unit of work and of checkpointing; none: 2000, and less where the input is small.",
    ),
    Flag("rows_per_file", "rows", "100000", integer(1, 100_000_000), "Input rows per output file."),
    Flag(
        "schema",
        "rows",
        PRESET_VALUE,
        choice(*SCHEMAS),
        "Columns of data/: those of the preset, or of Recap-DataComp-1B (recap; recap-v2 has the caption that was made "
        "with a hint beside it), LAION text-debiased 100M, both (recap-debiased), Recap-COCO-30K or DataComp.",
        False,
    ),
    Flag(
        "extra_columns",
        "rows",
        "false",
        boolean,
        "Also write what the published schema lacks: uid, img2dataset's status, error_message, exif and original size, "
        "HTTP status, OCR text, token counts, model names.",
    ),
    Flag("fetch_concurrency", "fetch", "64", integer(1, 4096), "Downloads in flight per worker process.", False),
    Flag(
        "fetch_timeout_s",
        "fetch",
        "20",
        number(0.1, 3600, "give seconds from 0.1 to 3600"),
        "Deadline per picture, in seconds, redirects and retries included.",
        False,
    ),
    Flag(
        "fetch_retries",
        "fetch",
        "2",
        integer(0, 20),
        "Further tries after a failure that may pass (DNS, connection, 429, 5xx).",
        False,
    ),
    Flag("fetch_max_bytes", "fetch", str(20 * 2**20), integer(1024, 2**31), "Largest encoded picture, in bytes."),
    Flag(
        "fetch_connect_timeout_s",
        "fetch",
        "5",
        number(0.1, 3600, "give seconds from 0.1 to 3600"),
        "Seconds to look up a name, connect and shake hands.",
        False,
    ),
    Flag("fetch_max_redirects", "fetch", "5", integer(0, 50), "Redirects that are followed."),
    Flag(
        "fetch_ahead_rows",
        "fetch",
        "2048",
        integer(1, 1_000_000),
        "Rows that are waiting, downloading or downloaded while later stages compute, per bundle.",
        False,
    ),
    Flag(
        "fetch_ahead_bytes",
        "fetch",
        str(32 * 2**20),
        integer(2**20, 2**40),
        "Bytes that are downloading or downloaded while later stages compute, per worker process.",
        False,
    ),
    Flag(
        "connections_per_host",
        "fetch",
        "16",
        integer(1, 4096),
        "Downloads at once from one host, per worker process.",
        False,
    ),
    Flag(
        "host_requests_per_s",
        "fetch",
        "none",
        or_none(number(0.001, 100_000, "give requests per second from 0.001 to 100000, or none")),
        "Requests per second to one host, per worker process; none: no limit.",
        False,
    ),
    Flag(
        "user_agent_token",
        "fetch",
        DEFAULT_AGENT,
        matching(r"[A-Za-z0-9_.-]{1,100}", "is no name; give 1 to 100 letters, digits, dots, hyphens or underscores"),
        "Name of the User-Agent, by which X-Robots-Tag and robots.txt may address it.",
    ),
    Flag(
        "contact",
        "fetch",
        DEFAULT_CONTACT,
        matching(r"[!-~]{1,500}", "is no contact; give a URL or an e-mail address, without spaces"),
        "URL or e-mail address in the User-Agent: where site owners can complain.",
        False,
    ),
    Flag(
        "disallowed_header_directives",
        "fetch",
        ",".join(OPT_OUT_DIRECTIVES),
        names(*OPT_OUT_DIRECTIVES, alias="none"),
        "Opt-outs that are honoured: X-Robots-Tag's directives, and the header tdm-reservation; none: all are ignored.",
    ),
    Flag("robots_txt", "fetch", "ignore", choice("ignore", "obey"), "Whether robots.txt decides what is fetched."),
    Flag(
        "fetch_ports",
        "fetch",
        "80,443,8080,8443",
        ports,
        "Ports that may be asked; none: any. With --allow_private_hosts=true every port may.",
    ),
    Flag(
        "allow_private_hosts",
        "fetch",
        "false",
        boolean,
        "Also fetch from private and loopback addresses (tests, intranets).",
    ),
    Flag(
        "allow_local_files",
        "fetch",
        "false",
        boolean,
        "Also take paths, file: and gs:// URLs as images; only where the input itself is local.",
    ),
    Flag("verify_tls", "fetch", "true", boolean, "Check HTTPS certificates."),
    Flag(
        "image_size",
        "image",
        "1536",
        integer(64, 8192),
        "Size, in px, to which pictures are resized before any model sees them; see --resize_mode.",
    ),
    Flag(
        "resize_mode",
        "image",
        "keep_ratio_largest",
        choice(*RESIZE_MODES),
        "As in img2dataset: keep_ratio_largest (long side = size), keep_ratio (short side = size), center_crop (short "
        "side = size, cropped to a square), border (long side = size, white margins to a square), no.",
    ),
    Flag("resize_only_if_bigger", "image", "true", boolean, "Shrink, never enlarge."),
    Flag(
        "image_formats",
        "image",
        ",".join(IMAGE_FORMATS),
        names(*IMAGE_FORMATS),
        "Formats that are decoded, told by their first bytes.",
    ),
    Flag(
        "max_pixels", "image", "50000000", integer(1024, 10**9), "Largest picture, in pixels; checked before decoding."
    ),
    Flag("min_image_size", "image", "32", integer(1, 8192), "Smallest short side, in px."),
    Flag(
        "max_image_area",
        "image",
        "none",
        or_none(number(1, 1e12, "give an area from 1 to 1e12 square pixels, or none")),
        "Largest width times height, in px; none: any up to --max_pixels.",
    ),
    Flag(
        "max_aspect_ratio",
        "image",
        "none",
        or_none(number(1, 1000, "give long side / short side, from 1 to 1000, or none")),
        "Largest long side / short side; none: any.",
    ),
    *SCORE_FLAGS,
    *CAPTION_FLAGS,
    *CURATION_FLAGS,
    *OUTPUT_FLAGS,
    Flag(
        "worker_pools",
        "workers",
        "fused",
        choice("fused", "split"),
        "fused: every worker does all of a row's stages. split: a pool without GPUs fetches and filters, and "
        "the rest goes, as small JPEGs, to a pool with GPUs that captions. Pays where filters drop most rows.",
    ),
    Flag(
        "gpu_accelerator",
        "workers",
        "none",
        or_none(reader(r"[A-Za-z0-9_:;.-]+")(accelerator_name)),
        f"GPUs of Dataflow's workers: {', '.join(GPU_PRESETS)}, each with a machine type, --caption_batch_size and "
        "--dtype that fit, or Dataflow's own text: type:TYPE;count:N;install-nvidia-driver.",
        False,
    ),
    Flag("device", "models", "auto", text, "auto, cpu, cuda or cuda:N.", False),
    Flag(
        "dtype",
        "models",
        "auto",
        choice("auto", "float32", "bfloat16", "float16"),
        "Precision of the captioner; auto: bfloat16 on a GPU, float32 on a CPU.",
    ),
    Flag(
        "retry",
        "resume",
        "none",
        choice("none", "transient", "all"),
        "Re-open rejected rows of an earlier run: those that may pass now, or all.",
        False,
    ),
    Flag("keep_checkpoint", "resume", "true", boolean, "Keep OUTPUT/_checkpoint after success.", False),
    Flag(
        "verbose",
        "messages",
        "false",
        boolean,
        "Show everything that Beam and other libraries log, and traces of failures; --verbose alone means true.",
        False,
    ),
)
