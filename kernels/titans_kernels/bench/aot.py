"""Compiles every Triton kernel of the package for several GPUs, with no GPU present, and reads what came out.

    python -m titans_kernels.bench.aot [--targets sm_80,sm_90,gfx942] [--only TEXT] [--jobs N] [--csv FILE]

The interpreter, which the tests of the kernels run in, accepts programs that the compiler refuses. Exit status 1 when a
kernel does not compile, spills registers, or needs more shared memory than its target has. AMD targets are compiled as
a preview: what fails there is listed as "not supported".
"""

from __future__ import annotations

import argparse
import csv
import functools
import importlib
import importlib.util
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, Final, NamedTuple

from titans_kernels.triton_path.compile_spec import Variant

MODULES: Final = tuple(
    f"titans_kernels.{name}" for name in ("triton_path.gates", "linear_memory.launchers", "mlp_memory.launchers")
)
"""Every module of this package that exports `variants()`; those not written yet are left out."""
PRECISIONS: Final = ("PRECISION", "EXACT")
"""Constants of the kernels that hold the precision of their products."""
MOST_BYTES: Final = 12 << 30
MOST_CPU_SECONDS: Final = 300
"""Limits of one compilation: ptxas once took more than 20 GB over a hopeless kernel."""


class Target(NamedTuple):
    """A GPU: triton's backend, architecture and warp size, and the shared memory one block may have, in bytes."""

    backend: str
    arch: int | str
    warp: int
    shared: int


TARGETS: Final = {
    "sm_80": Target("cuda", 80, 32, 163 * 1024),
    "sm_86": Target("cuda", 86, 32, 99 * 1024),
    "sm_89": Target("cuda", 89, 32, 99 * 1024),
    "sm_90": Target("cuda", 90, 32, 227 * 1024),
    "sm_100": Target("cuda", 100, 32, 227 * 1024),
    "sm_120": Target("cuda", 120, 32, 99 * 1024),
    "gfx942": Target("hip", "gfx942", 64, 64 * 1024),
}


class Compiled(NamedTuple):
    """What one kernel became on one target. `problem` is empty when all is well.

    `spilled` are bytes of stack and local memory (AMD: spilled vector registers); `wgmma` are instructions of the PTX,
    `hgmma` and `hmma` of the machine code, `mfma` those of AMD.
    """

    kernel: str
    target: str
    registers: int = 0
    spilled: int = 0
    shared: int = 0
    wgmma: int = 0
    hgmma: int = 0
    hmma: int = 0
    mfma: int = 0
    seconds: float = 0.0
    problem: str = ""

    @property
    def fails(self) -> bool:
        """A problem on a target that is supported."""
        return bool(self.problem) and TARGETS[self.target].backend == "cuda"


@functools.cache
def variants() -> tuple[Variant, ...]:
    """Every configuration that a launcher of this package uses.

    Raises:
        RuntimeError: two have the same label.
    """
    found: list[Variant] = []
    for module in MODULES:
        if importlib.util.find_spec(module) is not None:
            found += importlib.import_module(module).variants()
    labels = [variant.label for variant in found]
    twice = {label for label in labels if labels.count(label) > 1}
    if twice:
        raise RuntimeError(f"two variants are named {sorted(twice)[0]!r}")
    return tuple(found)


def compile_variant(label: str, target: str) -> Compiled:
    """Compiles one configuration in this process, whose memory and CPU time it limits, and inspects the result."""
    _limit()
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    variant = next(variant for variant in variants() if variant.label == label)
    gpu = TARGETS[target]
    names = list(variant.signature)
    # What the JIT derives from real tensors: pointers are multiples of 16 bytes.
    aligned = {(names.index(n),): [["tt.divisibility", 16]] for n, t in variant.signature.items() if t.startswith("*")}
    source = ASTSource(variant.kernel, dict(variant.signature), _constants(variant, gpu), aligned)
    start = time.perf_counter()
    try:
        made = triton.compile(source, target=GPUTarget(gpu.backend, gpu.arch, gpu.warp), options=dict(variant.options))
    except Exception as error:
        seconds = time.perf_counter() - start
        return Compiled(label, target, seconds=seconds, problem=f"does not compile: {_last_line(error)}")
    result = Compiled(label, target, shared=made.metadata.shared, seconds=time.perf_counter() - start)
    result = _inspect_cuda(result, made.asm) if gpu.backend == "cuda" else _inspect_amd(result, made.asm)
    return result._replace(problem="; ".join(complaints(result)))


def _constants(variant: Variant, gpu: Target) -> dict[str, Any]:
    """Those of the variant; AMD has no TF32 products, and the launchers ask for IEEE ones there."""
    from titans_kernels.triton_path.dot import IEEE, TF32X3

    exact = {name: IEEE for name in PRECISIONS if variant.constants.get(name) == TF32X3}
    return variant.constants | (exact if gpu.backend == "hip" else {})


def complaints(result: Compiled) -> Iterator[str]:
    """What is wrong with a kernel that did compile."""
    if result.spilled:
        yield f"spills {result.spilled} bytes"
    if result.shared > TARGETS[result.target].shared:
        yield f"needs {result.shared} bytes of shared memory, there are {TARGETS[result.target].shared}"


def _last_line(error: Exception) -> str:
    cause = error.__cause__ or error
    lines = [text for text in str(cause).splitlines() if text.strip(" ^")] or [""]
    return f"{type(cause).__name__}: {lines[-1].strip()[:200]}"


def _limit() -> None:
    import resource

    spent = resource.getrusage(resource.RUSAGE_SELF)
    limits = (
        (resource.RLIMIT_AS, MOST_BYTES),
        (resource.RLIMIT_CPU, int(spent.ru_utime + spent.ru_stime) + MOST_CPU_SECONDS),
    )
    for kind, most in limits:
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _inspect_cuda(result: Compiled, asm: Any) -> Compiled:
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(asm["cubin"])
        file.flush()
        usage = _tool("cuobjdump", "-res-usage", file.name)
        code = _tool("nvdisasm", "-c", file.name)
    found = re.search(r"REG:(\d+) STACK:(\d+) SHARED:\d+ LOCAL:(\d+)", usage)
    assert found is not None, usage
    registers, stack, local = (int(number) for number in found.groups())
    return result._replace(
        registers=registers,
        spilled=stack + local,
        wgmma=asm["ptx"].count("wgmma.mma_async"),
        hgmma=len(re.findall(r"\bHGMMA\b", code)),
        hmma=len(re.findall(r"\bHMMA\b", code)),
    )


def _tool(name: str, *arguments: str) -> str:
    """Runs one of the CUDA tools that come with triton."""
    import triton

    bundled = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / name
    command = [str(bundled) if bundled.exists() else name, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _inspect_amd(result: Compiled, asm: Any) -> Compiled:
    code = asm["amdgcn"]

    def number(name: str) -> int:
        found = re.search(rf"\.{name}:\s+(\d+)", code)
        return int(found[1]) if found else 0

    spilled = number("vgpr_spill_count")
    return result._replace(registers=number("vgpr_count"), spilled=spilled, mfma=len(re.findall("v_mfma", code)))


def compile_all(jobs: Sequence[tuple[str, str]], workers: int) -> Iterator[Compiled]:
    """Compiles (label, target) pairs in worker processes, in order; one that dies over its limits is a failure."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context) as pool:
        futures: list[Future[Compiled]] = [pool.submit(compile_variant, *job) for job in jobs]
        for job, future in zip(jobs, futures, strict=True):
            try:
                yield future.result()
            except BrokenProcessPool:
                yield _alone(job)


def _alone(job: tuple[str, str]) -> Compiled:
    """A job whose pool broke, again in a process of its own: it may have been the neighbour's fault."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(compile_variant, *job).result()
        except BrokenProcessPool:
            limits = f"{MOST_BYTES >> 30} GiB or {MOST_CPU_SECONDS} CPU seconds"
            return Compiled(*job, problem=f"does not compile: the compiler died (limits: {limits})")


def line(result: Compiled) -> str:
    """One line of the table."""
    verdict = "ok" if not result.problem else "FAIL" if result.fails else "not supported"
    numbers = "".join(f"{value:>9}" for value in result[2:9])
    return f"{result.kernel:<52}{result.target:<8}{numbers}{result.seconds:>9.1f}  {verdict} {result.problem}".rstrip()


HEADER: Final = f"{'kernel':<52}{'target':<8}" + "".join(f"{name:>9}" for name in Compiled._fields[2:10])


def write_csv(path: Path, results: Sequence[Compiled]) -> None:
    """Replaces the file by these results, in one step: a reader sees the old file or the new one."""
    import triton

    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with beside.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("triton", *Compiled._fields))
            for result in results:
                writer.writerow((triton.__version__, *result._replace(seconds=round(result.seconds, 1))))
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def main(argv: Sequence[str] | None = None) -> int:
    """The command.

    Returns:
        0, or 1 when a kernel fails on a CUDA target.
    """
    parser = argparse.ArgumentParser(
        prog="python -m titans_kernels.bench.aot", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--targets", default="sm_80,sm_90,gfx942", help=f"of {', '.join(TARGETS)}")
    parser.add_argument(
        "--only",
        action="append",
        metavar="TEXT",
        help="kernels whose label matches this regular expression; repeatable",
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="compilations at a time (1)")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the table here too")
    arguments = parser.parse_args(argv)
    targets = arguments.targets.split(",")
    unknown = [name for name in targets if name not in TARGETS]
    if unknown:
        parser.error(f"no target {unknown[0]!r}: choose among {', '.join(TARGETS)}")
    if os.environ.get("TRITON_INTERPRET", "0") not in ("", "0"):
        parser.error("unset TRITON_INTERPRET: it replaces every kernel of the process by the interpreter")
    if importlib.util.find_spec("triton") is None:
        parser.error("triton is not installed: pip install triton")
    labels = [v.label for v in variants() if not arguments.only or any(re.search(x, v.label) for x in arguments.only)]
    if arguments.only and not labels:
        parser.error(f"no kernel's label matches {' or '.join(map(repr, arguments.only))}")
    with tempfile.TemporaryDirectory() as cache:
        # A kernel found in the user's cache would not be compiled, and the compiler's limits not be tested.
        os.environ.setdefault("TRITON_CACHE_DIR", cache)
        results = report([(label, target) for label in labels for target in targets], arguments.jobs)
    if arguments.csv:
        write_csv(arguments.csv, results)
    return int(any(result.fails for result in results))


def report(jobs: Sequence[tuple[str, str]], workers: int) -> list[Compiled]:
    """Compiles, printing each line as it is known and a summary at the end."""
    print(HEADER)
    results = []
    for result in compile_all(jobs, workers):
        print(line(result), flush=True)
        results.append(result)
    failed = sum(result.fails for result in results)
    skipped = sum(bool(result.problem) and not result.fails for result in results)
    print(f"{len(results) - failed - skipped} compiled, {failed} failed, {skipped} not supported")
    return results


if __name__ == "__main__":
    sys.exit(main())
