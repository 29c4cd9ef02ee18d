"""Outputs that stand in the way of something, and counts that nothing could hold."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.torture.case import Case, Prepare, text
from benchmarks.torture.files import GOOD
from benchmarks.torture.series import FORECAST, QUICK

OUTPUTS = (
    "--output good.csv",
    "--output ./good.csv",
    "--output link.csv",
    "--output hard.csv",
    "--output sub/../good.csv",
    "--plot good.csv",
    "--output o.csv --plot o.csv",
    "--output o.csv --model o.csv",
    "--output new/o.csv --model new",
    "--output sub",
    "--output /dev/null",
    "--output /dev/stdout",
    "--output good.csv/o.csv",
    "--output /proc/o.csv",
    "--output o.xlsx",
    "--plot o.csv",
    "--report o.csv",
    "--future future.csv --output future.csv",
    "--model good.csv",
    "--model sub",
    "--id mean --output o.csv",
    "--timestamp 0.5 --output o.csv",
    "--id forecast_by --output o.csv",
)
# Of other commands.
OTHERS = (
    "detect good.csv --output good.csv",
    "detect good.csv --plot good.csv",
    "detect good.csv --output model/config.json --model model",
    "leakage dna.csv dna_test.csv --json dna.csv",
    "leakage dna.csv dna_test.csv --json dna_test.csv",
    "classify dna.csv --test dna_test.csv --output dna.csv",
    "classify dna.csv --test dna_test.csv --json dna_test.csv",
    "classify dna.csv --test dna_test.csv --model sub",
    "classify dna.csv --test dna_test.csv --model regressor",
    "classify --model classifier one.fa --output classifier/o.csv",
    "regress dna.csv --test dna_test.csv --output dna_test.csv",
    "regress dna.csv --test dna_test.csv --plot dna.csv",
    "dna score --model language one.fa --output one.fa",
    "dna score --model language genome.fa --output language",
    "dna embed --model language one.fa --output one.fa",
    "dna effects --model classifier --vcf good.vcf --fasta genome.fa --window 60 --output good.vcf",
    "dna effects --model classifier --vcf good.vcf --fasta genome.fa --window 60 --output genome.fa",
    "dna effects --model classifier one.fa --plot o.csv --output o.csv",
    "dna effects --model classifier one.fa --plot o.png --logo o.png",
    "dna pretrain genome.fa --model genome.fa",
    "dna pretrain genome.fa --model classifier",
    "recall recall.yaml --output recall.yaml",
    "recall recall.yaml --plot recall.yaml",
    "recipes run recall.yaml --output recall.yaml",
    "recipes table --results page.md --page page.md",
    "predict -c fit.yaml --output good.csv",
    "predict -c fit.yaml --output fit.yaml",
    "forecast parts --horizon 5 --model model --output parts",
    "forecast parts --horizon 5 --model model --output parts/new",
    "forecast parts --horizon 5 --model model --output good.csv",
)
COUNTS = (
    "--horizon 1000000000",
    "--horizon 999999",
    "--backtest-windows 1000000000",
    "--context 1000000000",
    "--option layers=1000000",
    "--option width=1000000",
    "--option width=100000",
    "--option heads=1000000",
    "--option persistent_tokens=1000000000",
    "--option memory={depth: 1000000}",
    "--option memory={width: 1000000}",
    "--option harmonics=1000000000",
    "--option patch_length=1000000000",
    "--option batch_size=1000000000",
    "--seed 99999999999999999999",
    "--max-steps 0 --backtest-days 1000000000",
    "--time-budget 1e300 --max-steps 0",
    "--quantiles " + ",".join(f"{place / 5000:g}" for place in range(1, 5000)),
)
OTHER_COUNTS = (
    "detect good.csv --context 1000000000",
    "detect good.csv --false-alarm-rate 1e-300",
    "classify dna.csv --cv 1000000000 --max-epochs 0 --quiet",
    "classify dna.csv --test dna_test.csv --ensemble-size 1000000000 --max-epochs 0 --quiet --time-budget 1",
    "classify dna.csv --test dna_test.csv --related 1000000000",
    "classify good.bed --fasta genome.fa --window 1000000000000 --cv 2",
    "regress dna.csv --cv 1000000000 --max-epochs 0 --quiet",
    "leakage dna.csv dna_test.csv --k 1000000000",
    "dna pretrain genome.fa --context 1000000000 --model new --max-epochs 0",
    "dna effects --model classifier --vcf good.vcf --fasta genome.fa --window 1000000000",
    "dna effects --model classifier one.fa --start 1000000000 --end 1000000001",
    "recall recall.yaml --lengths 1000000000000",
    "recall recall.yaml --seeds 99999999999999999999",
    "bench memory --repeats 1000000000000 --shapes none",
    "bench memory --threads 1000000000 --shapes none",
)


def cases() -> Iterator[Case]:
    """Every case."""
    for given in OUTPUTS:
        yield Case("outputs", given, f"{FORECAST.format(file='good.csv')} {given}", (1,), _rename(given))
    for command in OTHERS:
        yield Case("outputs", command, command)
    for given in COUNTS:
        prefix = QUICK.split(" --")[0] if "--horizon" in given else FORECAST.format(file="good.csv")
        more = " --max-steps 0 --backtest-windows 0" if "--horizon" in given else ""
        yield Case("counts", given[:50], f"{prefix}{more} {given}", (0, 1, 2))
    for command in OTHER_COUNTS:
        yield Case("counts", command[:70], command, (0, 1, 2), writes=("new",) if "new" in command else ())


def _rename(given: str) -> Prepare:
    """Gives the table's columns the names that a case asks for."""
    words = given.split()
    old = {"--id": "item_id", "--timestamp": "timestamp"}.get(words[0])
    return text("good.csv", GOOD.replace(old, words[1], 1) if old else GOOD)
