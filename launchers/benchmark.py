"""Measures how fast a stage trains, and against what.

    python launchers/benchmark.py --system=peterrec --stage=pretrain --peterrec.channels=256
    python launchers/benchmark.py --system=daa --stage=adapt \
      --against="tfcdr daa.adaptation=fine_tune"
    python launchers/benchmark.py --system=peterrec --stage=pretrain --against=release \
      --against="tfcdr data.items=1000000 peterrec.table_update=touched_rows"
    python launchers/benchmark.py --system=biao --data.length=50

Every contender works in a process of its own, on generated data of the sizes that the flags say,
and all take turns (A B A B ...). What is printed is also written to --output, as JSON.
"""

import contextlib
import dataclasses
import json
import os
import platform
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from launchers import compilation, config_flags, program
from launchers.benchmarking import alternation, line_up, step_phases
from launchers.benchmarking.alternation import Timing
from launchers.benchmarking.contender_process import ContenderProcess
from launchers.benchmarking.generated.generator import DataSizes
from launchers.benchmarking.line_up import OURS, Plan
from tfcdr.benchmark import MATRIX_PRODUCTS, Phase
from tfcdr.systems.registry import SYSTEMS

# What is fitted as a whole has no steps to measure.
_MEASURED = sorted(
    name for name, system in SYSTEMS.items() if system.stages(system.config_class())[0].training
)
_SYSTEM = flags.DEFINE_enum("system", "peterrec", _MEASURED, "The system to measure.")
_STAGE = flags.DEFINE_string("stage", "", "The stage to measure; the system's first if empty.")
_AGAINST = flags.DEFINE_multi_string(
    "against",
    [],
    "What to compare with, once for each; what the system names if this is left out, nothing if it "
    f"is empty. It takes one of {', '.join(line_up.names())}, and settings of "
    'it behind blanks. "tfcdr" takes data.FIELD=, SYSTEM.FIELD= and jit_compile=, and else does as '
    "the flags say"
    + "".join(
        f'; "{name}" takes {", ".join(f"{key}=" for key in keys) or "none"}'
        for name, keys in line_up.settings_of_peers().items()
    )
    + ".",
)
_TURNS = flags.DEFINE_integer("turns", 7, "Turns of every contender.", lower_bound=1)
_TURN_SECONDS = flags.DEFINE_float("turn_seconds", 1.0, "Length of a turn.", lower_bound=0.0)
_PEER_PYTHON = flags.DEFINE_string(
    "peer_python", sys.executable, "Interpreter with the packages of peers such as RecBole."
)
_OUTPUT = flags.DEFINE_string("output", "benchmark.json", "File for the figures, as JSON.")
_DATA = config_flags.define("data", DataSizes)
_CONFIGS = {
    name: config_flags.define(name, system.config_class) for name, system in SYSTEMS.items()
}
flags.adopt_module_key_flags(compilation)


def main(argv: Sequence[str]) -> None:
    """Measures what the flags describe."""
    del argv
    system = SYSTEMS[_SYSTEM.value]
    for flag in config_flags.given_flags(_CONFIGS.keys() - {_SYSTEM.value}):
        raise program.FlagError(
            f"--{flag} has no meaning for --system={_SYSTEM.value}; leave it out."
        )
    config = _CONFIGS[_SYSTEM.value]()
    stages = [stage.name for stage in system.stages(config) if not stage.is_fitted]
    if _STAGE.value and _STAGE.value not in stages:
        raise program.FlagError(f"--stage={_STAGE.value}: it takes {', '.join(stages)}.")
    jit_compile = compilation.jit_compile(system)
    ours = Plan(_SYSTEM.value, _STAGE.value or stages[0], config, _DATA(), jit_compile)
    against = _AGAINST.value if _AGAINST.present else system.benchmark.rivals
    rivals = {text: _rival(ours, text) for text in against if text}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as started:
        running = {}
        for name, contender in {OURS: line_up.tfcdr(ours), **rivals}.items():
            print(f"setting up {name}", file=sys.stderr)
            process = ContenderProcess(*contender.start(Path(folder), _PEER_PYTHON.value))
            started.callback(process.kill)
            running[name] = process
        parts = {name: process.facts["parts"] for name, process in running.items()}
        timings = alternation.alternate(running, parts, _TURNS.value, _TURN_SECONDS.value)
        peaks = {name: process.close() for name, process in running.items()}
    figures = _figures(ours, running, timings, peaks)
    print(_describe(figures))
    output = Path(_OUTPUT.value)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(f"\nwrote {output}")


def _rival(ours: Plan, text: str) -> line_up.Entry:
    try:
        return line_up.parse(ours, text)
    except ValueError as error:
        raise program.FlagError(f"--against={text!r}: {error}") from error


def _figures(
    ours: Plan,
    running: Mapping[str, ContenderProcess],
    timings: Mapping[tuple[str, str], Timing],
    peaks: Mapping[str, int],
) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "system": ours.system,
        "stage": ours.stage,
        "config": dataclasses.asdict(ours.config),
        "data": dataclasses.asdict(ours.sizes),
        "machine": {
            "cores": len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else os.cpu_count(),
            "processor": _processor(),
            "python": platform.python_version(),
        },
        "contenders": {},
        "speedup": {},
    }
    for name, process in running.items():
        of_parts = {part: timing for (whose, part), timing in timings.items() if whose == name}
        batch_size = process.facts["batch_size"]
        figures["contenders"][name] = {
            **process.facts,
            "peak_bytes": peaks[name],
            "timings": {part: timing.as_dict() for part, timing in of_parts.items()},
            "examples_per_second": {
                part: batch_size / timing.median
                for part, timing in of_parts.items()
                if part in ("step", "pipeline", "training")
            },
            "gflops_per_second": {
                part: flops / timings[name, part].median / 1e9
                for part, flops in process.facts.get("kernel_flops", {}).items()
            },
        }
        if "product_flops" in process.facts:
            rate = alternation.ratio(timings[name, MATRIX_PRODUCTS], timings[name, "step"])
            size = process.facts["product_flops"] / process.facts["kernel_flops"][MATRIX_PRODUCTS]
            figures["contenders"][name]["share_of_product_rate"] = {
                "median": size * rate.median,
                "quartiles": [size * quartile for quartile in rate.quartiles],
            }
        if name != OURS:
            speedup = alternation.ratio(timings[name, "step"], timings[OURS, "step"])
            figures["speedup"][name] = dataclasses.asdict(speedup)
    return figures


def _describe(figures: Mapping[str, Any]) -> str:
    """Returns the figures as text for a person."""
    machine, ours = figures["machine"], figures["contenders"][OURS]
    rates = ours["examples_per_second"]
    milliseconds = _milliseconds(ours)
    phases = [Phase(**fields) for fields in ours["phases"]]
    lines = [
        "",
        f"{figures['system']} {figures['stage']} on {machine['cores']} cores, "
        f"{machine['processor']}, TensorFlow {ours['tensorflow']} on {'+'.join(ours['devices'])}",
        f"batch {ours['batch_size']}, {ours['inputs']}, "
        f"{ours['parameters']:,} trainable parameters",
        "",
        f"step, batches in memory   {milliseconds['step']:9.2f} ms  "
        f"{rates['step']:12,.0f} examples/s",
        *(
            f"  {label:<23} {time:9.2f} ms"
            for label, time in step_phases.times(phases, milliseconds).items()
        ),
        *_of_periodic_steps(ours),
        f"step, from records        {milliseconds['training']:9.2f} ms  "
        f"{rates['training']:12,.0f} examples/s",
        f"input pipeline alone      {milliseconds['pipeline']:9.2f} ms  "
        f"{rates['pipeline']:12,.0f} examples/s, "
        f"{rates['pipeline'] / rates['step']:.1f}x what a step takes",
        f"first step, with compilation {ours['compile_seconds']:.1f} s; "
        f"peak memory {ours['peak_bytes'] / 2**30:.2f} GiB",
    ]
    lines += [f"{name:<25} {rate:9.0f} GFLOP/s" for name, rate in ours["gflops_per_second"].items()]
    if "share_of_product_rate" in ours:
        share = ours["share_of_product_rate"]
        low, high = share["quartiles"]
        lines.append(
            f"matrix products of a step {ours['product_flops'] / 1e9:7.1f} GFLOP, forward and "
            f"backward: {share['median']:.0%} of the machine's rate of them "
            f"(quartiles of the turns: {low:.0%} to {high:.0%})"
        )
    for name, speedup in figures["speedup"].items():
        rival = figures["contenders"][name]
        low, high = speedup["quartiles"]
        lines += [
            "",
            f"against {name}: its step {_milliseconds(rival)['step']:.2f} ms, "
            f"{rival['examples_per_second']['step']:,.0f} examples/s, "
            f"peak memory {rival['peak_bytes'] / 2**30:.2f} GiB",
            *_of_periodic_steps(rival),
            f"  this one is {speedup['median']:.2f}x as fast (quartiles of {_TURNS.value} "
            f"alternating turns: {low:.2f}x to {high:.2f}x)",
        ]
        if speedup["median"] < 1:
            lines.append(f"  it takes {1 / speedup['median']:.2f}x the other's time")
    return "\n".join(lines)


def _milliseconds(contender: Mapping[str, Any]) -> dict[str, float]:
    """Returns the time of each part of a contender."""
    return {part: 1e3 * timing["median_seconds"] for part, timing in contender["timings"].items()}


def _of_periodic_steps(contender: Mapping[str, Any]) -> list[str]:
    """Returns lines that hold what comes between a contender's train steps against one of these."""
    names, times = contender.get("periodic_steps", ()), _milliseconds(contender)
    return [
        f"  {name} step {times[name]:.2f} ms, {times[name] / times['train step']:.1f}x a train "
        f"step without it ({times['train step']:.2f} ms)"
        for name in names
    ]


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def run() -> None:
    """Console entry point."""
    program.run(main)


if __name__ == "__main__":
    run()
