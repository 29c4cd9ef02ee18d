"""The console script `titans-ts`: arguments in, exit status out.

Nothing heavy is imported before a command runs, so that `--help` and usage errors answer at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from titans_cli.commands.dna import parser as dna_parser
from titans_cli.input.arguments import BLOCKS, at_least, levels, names, positive, share, whole_numbers
from titans_ts import __version__

OK, USER_ERROR, INTERRUPTED = 0, 1, 130
# Handed to Lightning's command line as they are.
TRAINING = {
    "fit": "train by a recipe on any number of devices, or go on after a stop",
    "validate": "validation loss of a trained recipe",
    "test": "test scores of a trained recipe",
    "predict": "forecasts of a trained recipe",
}
EPILOG = """examples:
  titans-ts forecast builtin:weather --horizon 24 --backtest-days 14 --plot forecast.png --output forecast.csv
  titans-ts forecast sales.csv --id shop --timestamp day --target units --horizon 28 --model models/sales
  titans-ts fit -c recipes/forecasting/fit_weather.yaml --trainer.max_epochs 5
  titans-ts forecast sales_by_region/ --horizon 28 --model models/sales --output forecasts/ --workers 2
  titans-ts detect builtin:weather --false-alarm-rate 0.01 --plot alarms.png
  titans-ts recipes run etth1
  titans-ts bench memory --device cpu
  titans-ts leakage train.csv test.csv
  titans-ts classify train.csv --test test.csv --model models/promoters --plot report.png
  titans-ts classify --model models/promoters new.fa --output found.csv
  titans-ts dna pretrain genome.fa --model models/genome
  titans-ts dna effects --model models/promoters --vcf variants.vcf --fasta genome.fa --window 300
  titans-ts recall passkey --only lmm --lengths 512,16384
  titans-ts doctor"""


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(
        prog="titans-ts",
        description="Forecasting of series and learning from DNA with a neural memory that learns at test time.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"titans-ts {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    forecast = commands.add_parser(
        "forecast",
        help="train (or load) a model, backtest it, forecast",
        description="Read series, train a model (or load one), score it on the last windows, and forecast.",
    )
    _add_data_arguments(forecast)
    _add_model_arguments(forecast)
    _add_result_arguments(forecast)
    _add_folder_arguments(forecast)
    _add_detect_parser(commands)
    commands.add_parser(
        "doctor",
        help="versions, devices, memory backend, data",
        description="Print what is installed, which device and memory backend will run and why, and where data are.",
    )
    _add_recipe_parser(commands)
    _add_recall_parser(commands)
    _add_bench_parser(commands)
    dna_parser.add_parsers(commands)
    for name, text in TRAINING.items():
        commands.add_parser(name, help=text, add_help=False)
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments; those of the training commands stay as they are."""
    if argv and argv[0] in TRAINING:
        return argparse.Namespace(command=argv[0], argv=list(argv))
    return build_parser().parse_args(argv)


def _add_detect_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    detect = commands.add_parser(
        "detect",
        help="alarms where series surprise a memory that learns as it reads",
        description="Read the first part of every series as history, then say which stretches after it surprise the "
        "memories more than the history did. Nothing is trained.",
    )
    detect.add_argument("file", metavar="FILE", help="csv, csv.gz, parquet or tsf file, or builtin:weather")
    detect.add_argument("--id", metavar="COLUMN", help="column that names the series (item_id)")
    detect.add_argument("--timestamp", metavar="COLUMN", help="time column (timestamp)")
    detect.add_argument("--target", metavar="COLUMN", help="column to watch (target)")
    detect.add_argument("--freq", metavar="ALIAS", help="time step such as h, D, MS, 15min; found out by default")
    detect.add_argument(
        "--false-alarm-rate",
        type=share,
        default=0.01,
        metavar="R",
        help="share of usual tokens that may be alarms (0.01); R needs about 1.5 / R tokens of history",
    )
    detect.add_argument(
        "--from", dest="start", metavar="STAMP", help="first timestamp that is judged (after 60 %% of the time)"
    )
    detect.add_argument("--model", metavar="DIR", help="a model saved by `titans-ts forecast`, instead of a fresh one")
    detect.add_argument(
        "--context", type=at_least(1), metavar="N", help="steps the memories look back; chosen by default"
    )
    detect.add_argument("--seed", type=at_least(0), default=0, metavar="N", help="random seed (0)")
    detect.add_argument("--device", metavar="NAME", help="auto (default), cpu, cuda, cuda:N or mps")
    detect.add_argument("--output", metavar="FILE", help="write a row a token as csv, csv.gz or parquet")
    detect.add_argument("--plot", metavar="FILE", help="write a picture: png, svg, pdf, jpg, webp")
    detect.add_argument("--quiet", action="store_true", help="print only warnings and where the files are")


def _add_recipe_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    recipes = commands.add_parser("recipes", help="reproduce results on public benchmarks")
    verbs = recipes.add_subparsers(dest="verb", metavar="VERB", required=True)
    run = verbs.add_parser(
        "run",
        help="train and score a recipe",
        description="Train every run of a recipe at every horizon with every seed and print the table; data come from "
        "$TITANS_TS_DATA.",
    )
    run.add_argument("name", metavar="NAME", help="such as etth1 (see `titans-ts recipes list`), or a YAML file")
    run.add_argument("--seeds", type=whole_numbers, metavar="LIST", help="such as 0,1,2, instead of the recipe's")
    run.add_argument(
        "--horizons",
        type=whole_numbers,
        metavar="LIST",
        help="such as 96,192, instead of the recipe's (recall: lengths)",
    )
    run.add_argument("--only", action="append", metavar="RUN", help="this run only; may be repeated")
    run.add_argument("--output", metavar="FILE", help="append a row a model to this csv")
    run.add_argument(
        "--plot", metavar="FILE", help="picture (png, pdf, svg) of recipes of tasks recall, demand and genome_recall"
    )
    verbs.add_parser("list", help="names of the recipes that ship with the package")
    table = verbs.add_parser("table", help="write the table of results into a page, between its two marks")
    table.add_argument("--results", nargs="+", metavar="FILE", help="(the files of all tasks in recipes/)")
    table.add_argument("--page", default="recipes/README.md", metavar="FILE", help="(recipes/README.md)")


def _add_recall_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    recall = commands.add_parser(
        "recall",
        help="train on short streams, ask at the end of long ones",
        description="Train small models to recall what a stream said once, and ask them at the end of streams up to "
        "millions of tokens long. No data are needed.",
    )
    recall.add_argument(
        "task", metavar="TASK", help="passkey, number, word, associative, repeat, reverse_repeat, or a YAML file"
    )
    recall.add_argument("--only", action="append", metavar="RUN", help="this model only, such as lmm; may be repeated")
    recall.add_argument("--lengths", type=whole_numbers, metavar="LIST", help="these lengths of the recipe only")
    recall.add_argument("--seeds", type=whole_numbers, metavar="LIST", help="such as 0,1,2, instead of the recipe's")
    recall.add_argument("--output", metavar="FILE", help="append a row a model and length to this csv")
    recall.add_argument(
        "--plot", metavar="FILE", help="accuracy against length, as png, pdf or svg; with the older rows of --output"
    )
    recall.add_argument(
        "--networks", metavar="FOLDER", help="keep trained networks here, and take them from here, not training again"
    )


def _add_bench_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    bench = commands.add_parser("bench", help="check and time the memory ops beside their peers")
    memory = bench.add_subparsers(dest="benchmark", metavar="BENCHMARK", required=True).add_parser(
        "memory",
        help="linear_memory and mlp_memory",
        description="Check the memory ops against their definition, then time them beside other implementations. "
        "What the columns mean: benchmarks/README.md.",
    )
    memory.add_argument("--device", default="auto", metavar="NAME", help="auto (default), cpu, cuda or cuda:N")
    memory.add_argument("--shapes", type=names, metavar="NAME,..", help="cpu, gpu, or names of single shapes")
    memory.add_argument("--only", type=names, metavar="ROW,..", help="these rows only, such as chunked,triton")
    memory.add_argument("--threads", type=at_least(1), default=1, metavar="N", help="CPU threads (1)")
    memory.add_argument("--repeats", type=at_least(1), default=5, metavar="N", help="samples of each row (5)")
    memory.add_argument("--compile", action="store_true", help="add a row through torch.compile (minutes)")
    memory.add_argument("--skip-check", action="store_true", help="time without checking the results first")
    memory.add_argument("--skip-peak", action="store_true", help="no peak memory: no process of its own for each row")
    memory.add_argument("--scaling", action="store_true", help="time per token and memory from T = 1k to 1M instead")
    memory.add_argument("--limit", type=positive, default=120.0, metavar="S", help="longest run of --scaling (120 s)")
    memory.add_argument("--floors", action="store_true", help="print counted operations, bytes, H100 floors; no run")
    memory.add_argument(
        "--csv",
        nargs="?",
        const="",
        metavar="FILE",
        help="append here; without FILE to benchmarks/memory.csv or benchmarks/scaling.csv",
    )
    memory.add_argument("--plot", metavar="FILE", help="write a picture")


def _add_data_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("data")
    group.add_argument(
        "file",
        metavar="FILE",
        help="csv, csv.gz, parquet or tsf file, builtin:weather, or a folder (see below)",
    )
    group.add_argument("--horizon", type=at_least(1), required=True, metavar="N", help="steps to forecast")
    group.add_argument("--id", metavar="COLUMN", help="column that names the series (item_id)")
    group.add_argument("--timestamp", metavar="COLUMN", help="time column (timestamp)")
    group.add_argument("--target", metavar="COLUMN", help="column to forecast (target)")
    group.add_argument("--freq", metavar="ALIAS", help="time step such as h, D, MS, 15min; found out by default")
    group.add_argument("--past-covariates", type=names, metavar="A,B", help="columns known up to the forecast's start")
    group.add_argument("--covariates", type=names, metavar="C,D", help="columns known in the future too; see --future")
    group.add_argument("--static", type=names, metavar="E,F", help="columns that are constant within a series")
    group.add_argument(
        "--future", metavar="FILE", help="table with the --covariates of the steps to forecast (or append them to FILE)"
    )


def _add_model_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("model")
    group.add_argument("--model", metavar="DIR", help="load the model from this folder, or save it there if it is new")
    group.add_argument("--quantiles", type=levels, metavar="LEVELS", help="quantile levels such as 0.1,0.5,0.9")
    group.add_argument("--context", type=at_least(1), metavar="N", help="steps the model reads; chosen by default")
    group.add_argument("--block", choices=BLOCKS, help="how the memory is used")
    group.add_argument("--max-steps", type=at_least(0), metavar="N", help="longest training, in gradient steps")
    group.add_argument("--time-budget", type=positive, metavar="SECONDS", help="longest training, in seconds")
    group.add_argument("--seed", type=at_least(0), default=0, metavar="N", help="random seed (0)")
    group.add_argument("--device", metavar="NAME", help="auto (default), cpu, cuda, cuda:N or mps")


def _add_result_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("results")
    windows = group.add_mutually_exclusive_group()
    windows.add_argument(
        "--backtest-windows", type=at_least(0), metavar="K", help="windows to score; 0 trains on everything instead"
    )
    windows.add_argument("--backtest-days", type=positive, metavar="D", help="score the windows of the last D days")
    group.add_argument("--output", metavar="FILE", help="write the forecast as csv, csv.gz or parquet")
    group.add_argument("--plot", metavar="FILE", help="write a picture: png, svg, pdf, jpg, webp")
    group.add_argument("--quiet", action="store_true", help="print only warnings and where the files are")


def _add_folder_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "a folder of parquet files",
        "Forecast file by file with a trained --model into the folder --output; a series lies in one file. Run again "
        "after an interruption: only what is missing is computed.",
    )
    group.add_argument("--workers", type=at_least(1), metavar="N", help="processes (1); more than one need Ray Data")
    group.add_argument("--engine", choices=("local", "ray"), help="local for one worker, ray for more by default")


def run(arguments: argparse.Namespace) -> None:
    """Run the chosen command."""
    if arguments.command == "doctor":
        from titans_cli.commands.doctor import report

        print(report())
        return
    if arguments.command == "recipes":
        from titans_cli.commands.recipes import run_verb

        run_verb(arguments)
        return
    if arguments.command == "detect":
        from titans_cli.commands.detect import DetectJob, detect

        detect(DetectJob(**{name: value for name, value in vars(arguments).items() if name != "command"}))
        return
    if arguments.command == "recall":
        from titans_cli.commands.recall import recall

        recall(arguments)
        return
    if arguments.command == "bench":
        from titans_cli.commands.bench import BenchJob, bench_memory

        wanted = vars(arguments)
        bench_memory(BenchJob(**{name: wanted[name] for name in BenchJob._fields}))
        return
    if arguments.command in dna_parser.COMMANDS:
        dna_parser.run(arguments)
        return
    if arguments.command in TRAINING:
        from titans_cli.commands.lightning import run_training

        run_training(arguments.argv)
        return
    _run_forecast(arguments)


def _run_forecast(arguments: argparse.Namespace) -> None:
    from titans_cli.commands.forecast import ForecastJob, forecast

    values = {name: value for name, value in vars(arguments).items() if name != "command"}
    engine, workers = values.pop("engine"), values.pop("workers")
    job = ForecastJob(**values)
    if os.path.isdir(os.path.expanduser(job.file)):
        from titans_cli.commands.forecast_folder import forecast_folder

        forecast_folder(job, engine, workers or 1)
        return
    if engine is not None or workers is not None:
        raise ValueError(f"--engine and --workers are for folders, {job.file} is none: leave them out")
    forecast(job)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point.

    Returns:
        0 when all went well, 1 after an error that is the user's to mend (one line on stderr), 130 after Ctrl-C.
        Usage errors leave through argparse with status 2.
    """
    arguments = parse(sys.argv[1:] if argv is None else argv)
    try:
        run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("titans-ts: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of the pipe has gone (`| head`): nothing more to say, also not at interpreter exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return USER_ERROR
    except (ValueError, TypeError, OSError) as error:
        print(f"titans-ts: error: {' '.join(str(error).split())}", file=sys.stderr)
        return USER_ERROR
    return OK


if __name__ == "__main__":
    sys.exit(main())
