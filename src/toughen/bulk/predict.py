"""Label a file of texts of any size: cut it into chunks, have them answered, join the parts."""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from toughen import __version__
from toughen.bulk.formats import FORMATS, Format
from toughen.bulk.identity import model_hash
from toughen.bulk.local import Alone, Engine, Pool
from toughen.bulk.on_ray import cluster
from toughen.bulk.parts import Parts, open_parts
from toughen.bulk.source import Source
from toughen.bulk.work import Counted, Job, Predictor, Worker
from toughen.errors import InputError, count
from toughen.machine.cluster import EngineName, check_engine, cores
from toughen.settings import require

CHUNK_ROWS = 512


def predict_folder(
    folder: str | Path,
    source: str | Path,
    output: str | Path,
    *,
    text: str | None = None,
    text_pair: str | None = None,
    encoding: str | None = None,
    model: str | None = None,
    workers: int | None = None,
    engine: EngineName | str = "local",
    chunk_rows: int = CHUNK_ROWS,
    restart: bool = False,
    abstain: bool = False,
) -> int:
    """Write an answer for every row of a source, which may be larger than memory.

    What is finished stands in ``.OUTPUT.parts`` beside the output until all is; after a kill the same call goes on
    there, and the file is, byte for byte, what it would have been without the kill. How many workers there are changes
    nothing in it either: texts run in batches of their chunk, one thread each.

    Args:
        folder: of a run or an export.
        source: file with a text column (.csv .tsv .jsonl .json .parquet, or .txt with a text per line), for tokens of
            words (lists, or texts that are divided at white space); or a folder or hub id.
        output: file to write (.csv .tsv .jsonl .json .parquet); replaced as a whole once everything is known.
        text: name of the text column; default found by name.
        text_pair: name of the second text's column; default found where the model takes pairs, or where there is no
            telling and a column has this very name.
        encoding: of a text file; default UTF-8.
        model: graph of an export; default model.onnx.
        workers: processes with a model each; default one per core, on a cluster one per CPU of it.
        engine: ``local``, or ``ray`` (see `toughen.bulk.on_ray`).
        chunk_rows: rows that are answered together, and lost by a kill; fewer where they are long.
        restart: throw away what an earlier call began.
        abstain: write no label where the model abstains; the probabilities stay.

    Returns:
        The number of rows; they stand in the source's order, with all of its columns and then these: single-label
        label, score (the label's probability) and probability_<label> for each class, before them abstained and
        label_set where `toughen abstain` fitted them; multi-label labels and
        probability_<label>; regression score; tokens tags, one per word of text. Several labels, words and tags are
        lists where the format has them; in .csv and .tsv labels and sets are joined by "|", words and tags by
        spaces. A row without a text has null for every answer.

    Raises:
        InputError: if something given is wrong, or what was begun was begun with something else.
    """
    require(workers is None or workers > 0, "workers", workers, "must be above 0")
    require(chunk_rows > 0, "chunk_rows", chunk_rows, "must be above 0")
    form = check_target(Path(output), Path(source))
    job = Job(Path(folder).absolute(), model, Path(output).suffix.lower(), abstain)
    options = {"text": text, "text_pair": text_pair, "encoding": encoding, "rows": chunk_rows, "abstain": abstain}
    with _engine(engine, job, workers) as found, open_parts(Path(output)) as parts:
        reading = _source(found, str(source), text, text_pair, chunk_rows, encoding)

        made_from = {"toughen": __version__, "source": reading.digest(), "model": model_hash(job.folder, model)}
        parts.begin({**made_from, **options}, restart=restart)
        return _answer(found, reading, parts, form)


def predict_file(
    run: Predictor, source: str | Path, output: str | Path, *, text: str | None = None, text_pair: str | None = None
) -> int:
    """Do what `predict_folder` does with a model that is there already, in this process; it cannot be continued."""
    output = Path(output)
    form = check_target(output, Path(source))
    engine = Alone(Worker(run, output.suffix.lower()))
    reading = _source(engine, str(source), text, text_pair, CHUNK_ROWS)
    with tempfile.TemporaryDirectory(dir=output.absolute().parent, prefix=f".{output.name}.") as folder:
        return _answer(engine, reading, Parts(output, Path(folder)), form)


def check_target(output: Path, source: Path) -> Format:
    """Check, before any work, that the output can be written; return its format."""
    form = FORMATS.get(output.suffix.lower())
    if form is None:
        raise InputError(
            f"{output}: cannot write {output.suffix or 'a file without a suffix'}; use {', '.join(FORMATS)}."
        )
    if output.is_dir():
        raise InputError(f"{output} is a folder; --output must be a file.")
    if not output.absolute().parent.is_dir():
        raise InputError(f"{output}: the folder {output.absolute().parent} does not exist; make it first.")
    if output.exists() and source.exists() and output.samefile(source):
        raise InputError(f"{output} is the input itself; write the predictions to another file.")
    return form


@contextmanager
def _engine(name: str, job: Job, workers: int | None) -> Iterator[Engine]:
    if check_engine(name) == "ray":
        with cluster(job, workers) as ray:
            yield ray
    elif (workers or cores()) == 1:
        with job.opened() as worker:
            yield Alone(worker)
    else:
        with Pool(job, workers) as pool:
            yield pool


def _source(
    engine: Engine, source: str, text: str | None, text_pair: str | None, rows: int, encoding: str | None = None
) -> Source:
    return Source.open(source, text, text_pair, engine.known(), rows, encoding)


def _answer(engine: Engine, source: Source, parts: Parts, form: Format) -> int:
    """Have what is missing answered and make the file; return the number of its rows."""
    stamp = source.stamp()
    if "counted" not in parts.manifest:
        parts.note("counted", asdict(source.check()))
    counted = Counted(**parts.manifest["counted"])
    if counted.blank:
        few = count(counted.blank, "row has", "rows have")
        warnings.warn(
            f"{few} no text in {source.path} (the first is row {counted.first}): the answers are null",
            stacklevel=2,
        )
    rows, chunks = counted.rows, counted.chunks
    finished = parts.finished()
    with _bar(rows, chunks, len(finished)) as step:
        for index, content in engine.parts(source, finished):
            parts.add(index, content)
            step()
    if source.stamp() != stamp:
        raise InputError(f"{source.path} changed while it was read; start anew with --restart.")
    parts.join(chunks, form)
    return int(rows)


@contextmanager
def _bar(rows: int, chunks: int, done: int) -> Iterator[Callable[[], None]]:
    """Show on a terminal how far it is; give out what is called after each chunk."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    columns = Progress.get_default_columns()[1:]
    with Progress(count(rows, "row"), *columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("predict", total=chunks, completed=done)
        yield lambda: progress.advance(task)
