"""`toughen attack`: how a trained model stands up to noise and to adversaries, and what of it is certain."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import toughen
import toughen.attack
from toughen.assess.evaluation_files import output_folder
from toughen.attack.attack_files import ATTACKS, RESULT, save_attack
from toughen.cli import show
from toughen.cli.assess import LabelColumn
from toughen.cli.root import AsJson, PairColumn, TextColumn, Verify, app
from toughen.errors import InputError
from toughen.machine.services import read_token
from toughen.runs.writer import refuse_input_inside, sole_writer

if TYPE_CHECKING:
    from toughen.attack import Endpoint
    from toughen.attack.attack_files import Kind
    from toughen.run import Run

Subject = Annotated[
    str, typer.Argument(metavar="RUN|URL", help="Folder of a training, or where a service answers.", show_default=False)
]
Data = Annotated[str, typer.Option(metavar="SOURCE", help="Labelled texts: hub id, file or folder.")]
Name = Annotated[
    str | None,
    typer.Option(
        "--attack",
        metavar="NAME",
        help="deepwordbug, textfooler, pwws, beam, hotflip, bae, pgd; invisible, homoglyph, reordering, deletion.",
    ),
]
Noise = Annotated[bool, typer.Option("--noise", help="Accuracy against the severity of natural noise.")]
Standard = Annotated[bool, typer.Option("--standard", help="The fixed set of attacks: one number.")]
Certify = Annotated[bool, typer.Option("--certify", help="Certified accuracy by random masking.")]
Limit = Annotated[int | None, typer.Option("--limit", metavar="N", help="Draw so many texts by the seed.")]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Random seed.")]
Output = Annotated[
    Path | None, typer.Option("--output", metavar="DIR", help="Where to write; default RUN/attacks/NAME.")
]
BatchSize = Annotated[
    int | None,
    typer.Option("--batch-size", metavar="N", help="Texts per pass [default: 64], or per request of a URL [32]."),
]
Budget = Annotated[
    int | None, typer.Option("--budget", metavar="N", help="Of --attack: queries per text [default: 1000].")
]
Neighbours = Annotated[
    Path | None,
    typer.Option("--neighbours", metavar="FILE", help="Of --attack: neighbours of words; default the model's own."),
]
MaxChanged = Annotated[
    float | None,
    typer.Option("--max-changed", metavar="SHARE", help="Of --attack: words that may change [default: 0.2]."),
]
StopWords = Annotated[
    Path | None,
    typer.Option("--stop-words", metavar="FILE", help="Of --attack: words that stay, divided by white space."),
]
SamePart = Annotated[bool, typer.Option("--same-part-of-speech", help="Of --attack: nltk's tagger must agree.")]
Encoder = Annotated[
    Path | None,
    typer.Option("--encoder", metavar="FOLDER", help="Of --attack: sentence encoder that must find both texts alike."),
]
Similarity = Annotated[
    float | None, typer.Option("--similarity", metavar="COSINE", help="Of --encoder: least similarity [default: 0.8].")
]
Mlm = Annotated[Path | None, typer.Option("--mlm", metavar="FOLDER", help="Of --attack bae: a masked language model.")]
Radius = Annotated[
    float | None,
    typer.Option("--radius", metavar="R", help="Of --attack pgd: relative to the embeddings [default: 0.5]."),
]
Steps = Annotated[int | None, typer.Option("--steps", metavar="N", help="Of --attack pgd [default: 10].")]
SearchPrecision = Annotated[
    str | None, typer.Option("--precision", metavar="fp32|bf16", help="Of --attack: of the search [default: fp32].")
]
PairSide = Annotated[
    str | None,
    typer.Option("--side", metavar="first|second", help="Of --attack on pairs: the text changed [default: second]."),
]
Corruptions = Annotated[
    list[str] | None, typer.Option("--corruption", metavar="NAME", help="Of --noise: this one; repeatable.")
]
Metric = Annotated[
    str | None, typer.Option("--metric", metavar="NAME", help="Of --noise: the score; default accuracy, or pearson.")
]
Misspellings = Annotated[
    Path | None, typer.Option("--misspellings", metavar="FILE", help="Of --noise: real misspellings of words.")
]
Rate = Annotated[
    float | None, typer.Option("--rate", metavar="SHARE", help="Of --certify: words masked [default: 0.7].")
]
Copies = Annotated[
    int | None, typer.Option("--copies", metavar="N", help="Of --certify: masked copies [default: 500].")
]
Confidence = Annotated[
    float | None, typer.Option("--confidence", metavar="P", help="Of --certify: of each certificate [default: 0.95].")
]
Mask = Annotated[
    str | None,
    typer.Option("--mask", metavar="TOKEN", help="Of --certify: what hides a word; default the tokenizer's."),
]
ServiceShape = Annotated[
    str | None,
    typer.Option("--shape", metavar="tei|hosted", help="Of a URL: how it is asked [default: tei at /predict]."),
]
RequestRate = Annotated[
    float | None,
    typer.Option("--requests-per-second", metavar="N", help="Of a URL: at most; needed where it is another machine."),
]
Timeout = Annotated[
    float | None, typer.Option("--timeout", metavar="S", help="Of a URL: seconds for an answer [default: 30].")
]
Token = Annotated[
    str | None, typer.Option("--token", metavar="NAME", help="Of a URL: environment variable or file with its token.")
]

_TEXT = frozenset(
    {"budget", "max_changed", "stop_words", "same_part_of_speech", "encoder", "similarity", "precision", "side"}
)
_BY_LIST = _TEXT | {"neighbours"}
ALLOWED: Mapping[str, frozenset[str]] = {
    "noise": frozenset({"corruption", "metric", "misspellings"}),
    "standard": frozenset(),
    "certify": frozenset({"rate", "copies", "confidence", "mask"}),
    "pgd": frozenset({"radius", "steps"}),
    **dict.fromkeys(("deepwordbug", "invisible", "homoglyph", "reordering", "deletion"), _TEXT),
    "bae": _TEXT | {"mlm"},
    **dict.fromkeys(("textfooler", "pwws", "beam", "hotflip"), _BY_LIST),
}
"""The options of each kind, and of each attack; others are refused, so that none is ignored."""
_OWN = frozenset[str]().union(*ALLOWED.values())
_KINDS = ("noise", "standard", "certify")
_PAIRS_SHOWN = 5


@app.command()
def attack(
    ctx: typer.Context,
    run: Subject,
    data: Data,
    attack: Name = None,
    noise: Noise = False,
    standard: Standard = False,
    certify: Certify = False,
    limit: Limit = None,
    seed: Seed = 0,
    output: Output = None,
    batch_size: BatchSize = None,
    budget: Budget = None,
    neighbours: Neighbours = None,
    max_changed: MaxChanged = None,
    stop_words: StopWords = None,
    same_part_of_speech: SamePart = False,
    encoder: Encoder = None,
    similarity: Similarity = None,
    mlm: Mlm = None,
    radius: Radius = None,
    steps: Steps = None,
    precision: SearchPrecision = None,
    side: PairSide = None,
    corruption: Corruptions = None,
    misspellings: Misspellings = None,
    metric: Metric = None,
    rate: Rate = None,
    copies: Copies = None,
    confidence: Confidence = None,
    mask: Mask = None,
    shape: ServiceShape = None,
    requests_per_second: RequestRate = None,
    timeout: Timeout = None,
    token: Token = None,
    text: TextColumn = None,
    label: LabelColumn = None,
    text_pair: PairColumn = None,
    verify: Verify = False,
    as_json: AsJson = False,
) -> None:
    """Attack a trained model, by one of --attack NAME, --noise, --standard and --certify; or a service at a URL.

    toughen attack http://127.0.0.1:8080/predict --data test.csv --attack deepwordbug --output found
    """
    kind, options = choose_kind(ctx.params)
    if batch_size is not None and batch_size < 1:
        raise InputError(f"--batch-size must be at least 1, got {batch_size}.")
    with show.only_json(as_json):
        found = _run(kind, options, ctx.params)
        report = _write_report(found["folder"])
    if as_json:
        show.print_json({"kind": kind, **found["result"].as_dict(), "output": str(found["folder"])})
        return
    _SHOWN[kind](found["result"])
    typer.echo(f"{', '.join(path.name for path in found['files'])} are in {found['folder']}")
    for line in report:
        typer.echo(line, err=True)


def _write_report(folder: Path) -> list[str]:
    """Write the report beside the results; return what is to be said of it."""
    lines: list[str] = []
    show.say_report(folder, lines.append)
    return lines


def choose_kind(given: Mapping[str, Any]) -> tuple[Kind, dict[str, Any]]:
    """Return which kind was asked for, and its own options that were given.

    Raises:
        InputError: if not exactly one kind was asked for, the attack is unknown, or an option belongs to another.
    """
    asked = [kind for kind in _KINDS if given[kind]] + (["attack"] if given["attack"] is not None else [])
    if len(asked) != 1:
        raise InputError("give one of --attack NAME, --noise, --standard and --certify.")
    (kind,) = asked
    name = given["attack"] if kind == "attack" else kind
    if kind == "attack" and (name not in ALLOWED or name in _KINDS):
        names = ", ".join(sorted(set(ALLOWED) - set(_KINDS)))
        raise InputError(f"--attack must be one of {names}, got {name!r}.")
    options = {option: given[option] for option in sorted(_OWN) if _is_given(given[option])}
    foreign = sorted(set(options) - ALLOWED[name])
    if foreign:
        flag, shown = f"--{foreign[0].replace('_', '-')}", f"--{'attack ' if kind == 'attack' else ''}{name}"
        raise InputError(f"{flag} is no option of {shown}; leave it out.")
    if "similarity" in options and "encoder" not in options:
        raise InputError("--similarity is measured by a sentence encoder; name its folder with --encoder.")
    return kind, ({"attack": name} if kind == "attack" else {}) | options  # type: ignore[return-value]


def _is_given(value: object) -> bool:
    return value is not None and value is not False and (not isinstance(value, (list, tuple)) or len(value) > 0)


@dataclass(frozen=True)
class _Subject:
    """What is attacked, its name in the results, and the folder that they go to where none is given."""

    model: Run | Endpoint
    name: str | Path
    attacks: Path | None


def _open(kind: Kind, options: Mapping[str, Any], given: Mapping[str, Any]) -> _Subject:
    """Open the run, or ask the service for its labels, once all is known to fit.

    Raises:
        InputError: if an option belongs to the other kind of subject, or the attack needs what no service answers.
    """
    asked = {name: given[name] for name in _OF_A_URL if given[name] is not None}
    if not _is_url(given["run"]):
        if asked:
            raise InputError(f"--{next(iter(asked)).replace('_', '-')} is for a URL, and {given['run']} is none.")
        run = toughen.Run.open(given["run"])
        return _Subject(run, run.path, run.path / ATTACKS)
    name = options.get("attack", kind)
    if name not in _WITHOUT_GRADIENT:
        why = "takes the gradient, which no service answers" if name in _BY_GRADIENT else "is for runs"
        raise InputError(f"--{name if kind != 'attack' else f'attack {name}'} {why}; give {_FITTING}.")
    if given["output"] is None:
        raise InputError("a URL has no folder for the results; name one with --output DIR.")
    if "token" in asked:
        asked["token"] = read_token(asked["token"])
    service = toughen.attack.Endpoint(given["run"], **asked)
    return _Subject(service, service.url, None)


_OF_A_URL = ("shape", "requests_per_second", "timeout", "token")
_BY_GRADIENT = ("hotflip", "pgd", "standard")
_WITHOUT_GRADIENT = ("noise", "deepwordbug", "textfooler", "pwws", "beam", "bae")
_FITTING = "--noise, or --attack deepwordbug, textfooler, pwws, beam or bae"


def _is_url(given: str) -> bool:
    return given.startswith(("http://", "https://"))


def _run(kind: Kind, options: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Check where results go, attack, and write them."""
    subject = _open(kind, options, given)
    prefix = f"{options.get('attack', kind)}-"
    parent = subject.attacks or Path()
    folder = output_folder(parent, given["data"], given["output"], result=RESULT, prefix=prefix)
    shared = {name: given[name] for name in ("limit", "seed")}
    shared["batch_size"] = given["batch_size"] or (32 if subject.attacks is None else 64)
    names = ("text", "label", "text_pair")
    shared["columns"] = {name: given[name] for name in names if given[name] is not None}
    files = {f"--{name.replace('_', '-')}": value for name, value in options.items()}
    run = {} if subject.attacks is None else {"RUN": subject.name}
    refuse_input_inside(folder, {**run, "--data": given["data"], **files})
    with sole_writer(folder, "toughen attack", keep=True):
        with show.progress("attacking", given["limit"]) as tell:
            result = _CALLS[kind](subject.model, given["data"], {**shared, **options, "progress": tell})
        written = save_attack(folder, kind, result, run=subject.name, data=given["data"])
    return {"result": result, "folder": folder, "files": written}


def _noise(run: Run | Endpoint, data: str, given: dict[str, Any]) -> Any:
    corruptions = given.pop("corruption", None)
    return toughen.attack.noise_curve(run, data, corruptions=corruptions, **given)


def _attack(run: Run | Endpoint, data: str, given: dict[str, Any]) -> Any:
    if "stop_words" in given:
        given["stop_words"] = _words(given["stop_words"])
    return toughen.attack.attack(run, data, given.pop("attack"), **given)


def _standard(run: Run | Endpoint, data: str, given: dict[str, Any]) -> Any:
    return toughen.attack.standard(run, data, **given)


def _certify(run: Run | Endpoint, data: str, given: dict[str, Any]) -> Any:
    return toughen.attack.certify(run, data, **given)


_CALLS: Mapping[str, Callable[[Any, str, dict[str, Any]], Any]] = {
    "noise": _noise,
    "attack": _attack,
    "standard": _standard,
    "certify": _certify,
}


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").split()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--stop-words {path} cannot be read ({error}); give a UTF-8 file of words.") from error


# ---------------------------------------------------------------- what is shown


def _show_attack(result: Any) -> None:
    from rich.console import Console

    show.print_pairs(result.rows())
    if result.pairs:
        Console(highlight=False).print(toughen.attack.side_by_side(result, most=_PAIRS_SHOWN))


def _show_standard(result: Any) -> None:
    show.print_pairs(result.rows())


def _show_noise(result: Any) -> None:
    rows = [(name, *map(_cell, values)) for name, *values in result.rows()]
    show.print_table(["corruption", "severity", "rate", "changed", result.metric, "low", "high"], rows)
    if result.left_out:
        typer.echo(f"left out, for want of a package: {', '.join(result.left_out)}")


def _show_certificate(result: Any) -> None:
    told = [
        ("certificate", f"{result.rate:.0%} of the words masked, {result.copies} copies, {result.confidence:.0%} each"),
        ("texts", f"{result.n} (seed {result.seed})"),
        ("accuracy before", f"{result.accuracy_before:.3f}"),
        ("accuracy of the vote", f"{result.vote_accuracy:.3f}"),
    ]
    show.print_pairs(told)
    show.print_table(["changed words", "certified", "low", "high"], [tuple(map(_cell, row)) for row in result.rows()])


_SHOWN: Mapping[str, Callable[[Any], None]] = {
    "noise": _show_noise,
    "attack": _show_attack,
    "standard": _show_standard,
    "certify": _show_certificate,
}


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
