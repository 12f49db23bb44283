"""`panglot models convert|import`: models and adapters that were made elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from common.errors import AdapterRefused, InvalidRequest
from speech.wav2vec2.conversion import convert
from speech.wav2vec2.finetuned import import_finetuned
from speech.wav2vec2.mms import LICENCE, import_adapter, open_published

app = typer.Typer(
    no_args_is_help=True,
    help="Bring in models made elsewhere: convert a checkpoint, import MMS's adapters or a head.",
)
errors = Console(stderr=True)


@app.command("convert")
def convert_command(
    checkpoint: Annotated[
        Path, typer.Argument(help="fairseq's .pt, or a folder with a pytorch_model.bin.")
    ],
    out: Annotated[Path, typer.Argument(help="Folder to write; new, or empty.")],
    vocab: Annotated[
        Path | None,
        typer.Option(metavar="dict.ltr.txt", help="The symbols of a fine-tuned model's head."),
    ] = None,
    heads: Annotated[
        int | None,
        typer.Option(min=1, help="Attention heads, where the checkpoint does not say."),
    ] = None,
) -> None:
    """Make a pickled wav2vec 2.0, XLSR, XLS-R or MMS checkpoint one that can be served.

    Writes `config.json`, `model.safetensors`, `preprocessor_config.json` and, where the symbols are
    known, `vocab.json`: the layout that `transformers` reads and `panglot serve --base-model`
    takes. Adapters within an MMS checkpoint are written beside it, ready for `panglot models
    import`. No code from the file is run: objects in it that are neither tensors nor plain values
    are left lifeless.

    Examples:

    `panglot models convert xlsr_53_56k.pt ./xlsr-53`

    `panglot models convert --vocab dict.ltr.txt wav2vec_small_960h.pt ./base-960h`
    """
    with errors.status(f"{checkpoint.name}: reading and writing"):
        done = convert(checkpoint, out, vocab, heads)
    config = done.config
    norms = "before" if config.do_stable_layer_norm else "after"
    typer.echo(
        f"{out}: {config.num_hidden_layers} layers of {config.hidden_size}, "
        f"{config.num_attention_heads} heads, norms {norms} the sub-layers, "
        f"{done.n_parameters / 1e6:.1f} M parameters"
    )
    if done.n_vocab is not None:
        typer.echo(f"head of {done.n_vocab} classes")
    if done.adapters:
        typer.echo(f"{len(done.adapters)} adapters: {_some(done.adapters)}")
    for assumed in done.assumed:
        typer.echo(f"assumed, since the checkpoint does not say: {assumed}", err=True)
    for missing in done.missing:
        typer.echo(f"not written: {missing}", err=True)


@app.command("import")
def import_command(
    published: Annotated[
        str,
        typer.Argument(
            metavar="DIR|HUB_ID", help="MMS as published, or a model fine-tuned for one language."
        ),
    ],
    store: Annotated[
        Path, typer.Option(metavar="DIR", file_okay=False, help="Adapter store to put them in.")
    ],
    languages: Annotated[
        str | None,
        typer.Option(
            metavar="CODE,CODE…|all",
            help="Of MMS: its language codes, such as `fra,deu`; if not given, all.",
            show_default=False,
        ),
    ] = None,
    language: Annotated[
        str | None,
        typer.Option(metavar="TAG", help="Of a fine-tuned model: its language, such as `it`."),
    ] = None,
) -> None:
    """Make what hears a language elsewhere servable: a folder in an adapter store, with its card.

    Of MMS each language is an adapter, and all run on one base model. A file is linked, or copied
    where it cannot be, never changed. Languages that are there already are skipped, so that the
    same command goes on where it was broken off. One that cannot be served is told with its reason
    and does not stop the others; the exit code is then 1.

    From the hub only what is asked for is downloaded: about 9 MB per language, and the base model
    once. The adapters are licensed CC-BY-NC-4.0, for uses that are not commercial.

    With `--language`, a model fine-tuned for one language, such as XLSR-53 on Italian, with a
    `vocab.json` and without adapters. Its head becomes an adapter; the model itself is the base,
    which fits no other adapter and needs workers of its own.

    Examples:

    `panglot models import facebook/mms-1b-all --store ./mms --languages fra,deu,swh`

    `panglot serve --base-model facebook/mms-1b-all --models ./mms`

    `panglot models import ./xlsr-53-italian --store ./heads --language it`

    `PANGLOT_WORKER_SLOTS=1 panglot serve --base-model ./xlsr-53-italian --models ./heads`
    """
    if language is not None:
        if languages is not None:
            raise InvalidRequest("--languages is for MMS, --language for others: give one of them")
        _import_finetuned(published, language, store)
        return
    languages = languages or "all"
    codes = [code.strip() for code in languages.split(",") if code.strip()]
    if not codes:
        raise InvalidRequest("--languages names none: give codes such as fra,deu, or all")
    with errors.status(f"{published}: reading the base model"):
        found = open_published(published, None if codes == ["all"] else codes)
    new, present, refused = 0, 0, 0
    with Progress(console=errors, transient=True) as progress:
        for code in progress.track(found.codes, description="adapters"):
            try:
                fresh = import_adapter(found, code, store)
            except AdapterRefused as error:
                errors.print(f"refused: {error}", markup=False, highlight=False, soft_wrap=True)
                refused += 1
                continue
            new += fresh
            present += not fresh
    typer.echo(
        f"{store}: {new} imported, {present} already there, {refused} refused; licence {LICENCE}"
    )
    if refused:
        raise typer.Exit(1)


def _import_finetuned(name: str, language: str, store: Path) -> None:
    with errors.status(f"{name}: reading the model"):
        done = import_finetuned(name, language, store)
    card = done.card
    said = "imported" if done.fresh else "already there"
    typer.echo(
        f"{store}: {card.id} {said}, {len(card.vocabulary)} classes; it runs on "
        f"--base-model {name} alone ({card.base_fingerprint:.19}…)"
    )


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
