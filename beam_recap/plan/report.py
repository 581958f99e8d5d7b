"""A plan as plain text, at most 120 columns wide: the numbers of `facts.plan_facts`, and nothing else."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

WIDTH = 120
Fact = Mapping[str, Any]
_LIMITS = {"cpu": "cpu", "gpu": "gpu", "network": "net"}  # what a worker waits for


def text_of(facts: Fact) -> str:
    """The whole plan, for people."""
    blocks = [
        _heading(facts),
        _totals(facts),
        _stages(facts),
        *_options(facts),
        _verdict(facts),
        _bullets("Assumed", facts["assumptions"]),
        _prices(facts),
        _bullets("Remarks", facts["remarks"]),
    ]
    return "\n\n".join(block for block in blocks if block)


def _heading(facts: Fact) -> str:
    rows = facts["rows"]
    lines = [f"{rows['total']['estimate']:,.0f} rows ({rows['source']}), from {rows['sample']:,} of them"]
    if facts["timing"]:
        lines.append(f"Seconds a row: {facts['timing']}. Captions: {facts['captions']}.")
    lines.append(f"Intervals: {facts['interval']}")
    return "\n".join(_wrap(line) for line in lines)


def _totals(facts: Fact) -> str:
    rows, sizes, here = facts["rows"], facts["bytes"], facts["this_machine"]
    table = [["", "estimate", "95 % interval"]]

    def add(name: str, value: Fact | None, form: Any) -> None:
        if value is not None:
            table.append([name, form(value["estimate"]), f"{form(value['low'])} to {form(value['high'])}"])

    add("rows", rows["total"], _count)
    add("rows captioned", rows["captioned"], _count)
    add("rows kept", rows["kept"], _count)
    web = "downloaded from the web" if sizes["pictures_from_web"] else "read"
    add(f"pictures, {web}", sizes["pictures"], _size)
    for name, label in (
        ("data", "data/"),
        ("rejected", "rejected/"),
        ("embeddings", "embeddings/"),
        ("webdataset", "webdataset/"),
        ("checkpoint", "_checkpoint/ while it runs"),
    ):
        add(label, sizes[name], _size)
    add("CPU time of this machine's cores, a row", facts["cpu_ms_per_row"], lambda value: f"{value:.3g} ms")
    if here is not None:
        add("whole job on this machine, one process", here["hours"], _duration)
    return _table(table)


def _stages(facts: Fact) -> str:
    table = [["stage", "sample in", "sample out", "passed", "95 % interval", "CPU ms a row in"]]
    for stage in facts["stages"]:
        passed, cpu = stage["passed"], stage["cpu_ms_per_row_in"]
        table.append(
            [
                stage["stage"],
                f"{stage['sample_rows_in']:,}",
                f"{stage['sample_rows_out']:,}",
                f"{100 * passed['estimate']:.1f} %",
                f"{100 * passed['low']:.1f} to {100 * passed['high']:.1f} %",
                "" if cpu is None else f"{cpu['estimate']:.3g}",
            ]
        )
    table.append(["all else", "", "", "", "", f"{facts['other_cpu_ms_per_row']:.3g}"])
    return _table(table)


def _options(facts: Fact) -> list[str]:
    currency = facts["money"]["currency"]
    blocks = []
    for mode, title in (
        ("fused", "fused: every worker does everything"),
        ("split", "split: one pool fetches and filters, then one with GPUs captions what is left"),
    ):
        options = [option for option in facts["options"] if option["mode"] == mode]
        if not options:
            continue
        head = ["machine type", "GPU", "rows/s", "workers", "hours", "worker-h", "GPU-h", f"Dataflow {currency}"]
        table = [head + (["own VMs", "own spot"] if mode == "fused" else ["shuffled"])]
        for option in options:
            table += _lines(option, mode)
        blocks.append(f"{title} (rows/s of a worker, and what limits them)\n{_table(table)}")
    if any(option["captioner_rate"] == "estimated, not measured" for option in facts["options"]):
        blocks.append("* captions per second estimated, not measured")
    return blocks


def _lines(option: Fact, mode: str) -> list[list[str]]:
    star = " *" if option["captioner_rate"] == "estimated, not measured" else ""
    lines = []
    for number, pool in enumerate(option["machines"]):
        is_first = number == 0
        money = [_money(option["dataflow"])] if is_first else [""]
        if mode == "fused":
            money += [_money(option["vm"], short=True), _money(option["vm_spot"], short=True)]
        else:
            money += [_size(1e9 * option["shuffled_gb"]["estimate"])] if is_first else [""]
        gpu = f"{pool['gpus']} {pool['gpu']}{star}" if pool["gpu"] else ""
        name = pool["machine_type"] if is_first else f"  + {pool['machine_type']}"
        lines.append(
            [
                name,
                gpu,
                f"{pool['rows_per_s_per_worker']['estimate']:.3g} {_LIMITS[pool['limited_by']]}",
                f"{pool['workers']:,}",
                _short(pool["hours"]["estimate"]),
                _short(pool["worker_hours"]["estimate"]),
                "" if pool["gpu_hours"] is None else _short(pool["gpu_hours"]["estimate"]),
                *money,
            ]
        )
    return lines


def _verdict(facts: Fact) -> str:
    if facts["cheapest"] is None:
        return ""
    lines = [f"Cheapest on Dataflow: {facts['cheapest']}."]
    if facts["cheaper_mode"] is not None:
        other = "split" if facts["cheaper_mode"] == "fused" else "fused"
        lines.append(f"{facts['cheaper_mode']} is cheaper; the best of {other} is {facts['cheapest_by_mode'][other]}.")
    return "\n".join(lines)


def _prices(facts: Fact) -> str:
    money = facts["money"]
    text = f"Prices: {money['region']}, {money['currency']}, list prices of {money['date']} ({money['file']})."
    if money["unchecked"]:
        text += f" Not verified: {', '.join(money['unchecked'])}."
    return _wrap(text)


def _bullets(title: str, texts: Sequence[str]) -> str:
    return "\n".join([f"{title}:", *(_wrap(f"- {text}", "  ") for text in texts)]) if texts else ""


def _wrap(text: str, indent: str = "") -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Columns of equal width, the first to the left and numbers to the right; its first row is the head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "-" * min(WIDTH, sum(widths) + 2 * (len(widths) - 1)))
    return "\n".join(lines)


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _short(value: float) -> str:
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= 100 * size:
            return f"{value / size:,.0f}{unit}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}" if value >= 1 else f"{value:.2g}"


def _size(value: float) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= size:
            return f"{value / size:,.3g} {unit}" if value < 1000 * size else f"{value / size:,.0f} {unit}"
    return f"{value:,.0f} B"


def _duration(hours: float) -> str:
    return f"{_short(hours)} h" if hours >= 1 else f"{60 * hours:.3g} min"


def _money(value: Fact | None, *, short: bool = False) -> str:
    if value is None:
        return "?"
    if short:
        return _amount(value["estimate"])
    return f"{_amount(value['estimate'])} ({_amount(value['low'])}-{_amount(value['high'])})"


def _amount(value: float) -> str:
    return _short(value) if value >= 100 else f"{value:.2f}"
