"""``hapctl product lineage``: what a product was made from, as lines, JSON, or a graph in DOT."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click
from hapctl.cli.output import json_option, print_json
from hapctl.cli.product_names import as_known


@click.command()
@click.argument("name", callback=as_known)
@click.option("--dot", is_flag=True, help="Print a graph in the DOT language of Graphviz.")
@json_option
@click.pass_context
def lineage(ctx: click.Context, name: str, dot: bool, as_json: bool) -> None:
    """Show what a product was made from, down to file checksums, fits and Gaia queries.

    \b
    hapctl product lineage hst_9019_09_acs_hrc_total_j8bt09_drz.fits
    hapctl product lineage hst_9019_09_acs_hrc_total_j8bt09_drz.fits --dot | dot -Tsvg > lineage.svg
    """
    from hapctl.archive.product_reports import claimed_inputs, product_lineage
    from hapctl.cli.settings import open_from

    if dot and as_json:
        raise click.UsageError("--dot and --json are two forms of the answer: give one", ctx)
    _, catalog = open_from(ctx)
    with catalog.begin() as connection:
        rows, claims = product_lineage(connection, name), claimed_inputs(connection, name)
    if as_json:
        print_json({"product": name, "inputs": rows, "claimed_inputs": claims})
    elif dot:
        click.echo("\n".join(claim_lines(name, claims) if claims else dot_lines(rows)))
    else:
        lines = [line for row in rows for line in _lineage_lines(row)]
        click.echo("\n".join([*lines, *map(_claim_line, claims)]))


def _lineage_lines(row: Mapping[str, Any]) -> list[str]:
    lines = [
        f"{row['rootname']}_{row['suffix']}  sha256 {row['file_sha256']}",
        f"  solution {row['wcsname']} in {row['frame']}, of run {row['solution_run_id']}",
    ]
    if row["attempt_id"] is not None:
        lines.append(
            f"  fit: {row['nmatches']} stars, rms {row['rms_ra_mas']:.2f} and {row['rms_dec_mas']:.2f} mas"
        )
    if row["reference_query_id"] is not None:
        lines.append(f"  {row['release']} query {row['reference_query_id']}: {row['question']}")
    if row["mask_id"] is not None:
        lines.append(f"  mask sha256 {row['mask_sha256']}, of run {row['mask_run_id']}")
    return lines


def _claim_line(claim: Mapping[str, Any]) -> str:
    """Return what a product of another pipeline says of an input, and whether the catalog knows it."""
    known = "in the catalog" if claim["exposure_known"] else "not in the catalog"
    if claim["exposure_known"] and not claim["solution_known"]:
        known += ", its solution is not"
    part = f"[sci,{claim['extver']}]" if claim["extver"] else ""
    return f"{claim['file']}{part}  {claim['wcsname'] or 'no WCSNAME'}, as it claims ({known})"


def claim_lines(name: str, claims: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the lines of a directed graph, from an imported product to what it claims went in.

    Parameters
    ----------
    name : str
    claims : sequence of mapping
        From `hapctl.archive.product_reports.claimed_inputs`.
    """
    yield "digraph lineage {"
    yield "  rankdir=LR;"
    yield '  node [shape=box, fontname="sans-serif"];'
    yield f"  product [label={_quoted(name)}];"
    for number, claim in enumerate(claims):
        part = f"[sci,{claim['extver']}]" if claim["extver"] else ""
        yield f"  claim{number} [label={_quoted(claim['file'] + part + chr(10) + claim['wcsname'])}];"
        yield f'  product -> claim{number} [label="claims"];'
    yield "}"


def dot_lines(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the lines of a directed graph, from a product to what it was made from and the runs that made it.

    Parameters
    ----------
    rows : sequence of mapping
        Of the view ``product_lineage``, of one product.
    """
    yield "digraph lineage {"
    yield "  rankdir=LR;"
    yield '  node [shape=box, fontname="sans-serif"];'
    nodes = {key: words for row in rows for key, words in _nodes(row)}
    for key, words in nodes.items():
        shape = ", shape=ellipse" if key.startswith("run") else ""
        yield f"  {key} [label={_quoted(words)}{shape}];"
    for start, end, words in dict.fromkeys(edge for row in rows for edge in _edges(row)):
        yield f"  {start} -> {end} [label={_quoted(words)}];"
    yield "}"


def _nodes(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield f"product{row['product_id']}", f"{row['product']}\npixels {row['pixels_sha256'][:12]}"
    yield _file_node(row), f"{row['rootname']}_{row['suffix']}\nsha256 {row['file_sha256'][:12]}"
    yield f"solution{row['solution_id']}", f"{row['wcsname']}\nframe {row['frame']}"
    runs = {row["product_run_id"], row["solution_run_id"]}
    if row["mask_id"] is not None:
        yield f"mask{row['mask_id']}", f"mask of {row['rootname']}\nsha256 {row['mask_sha256'][:12]}"
        runs.add(row["mask_run_id"])
    if row["attempt_id"] is not None:
        rms = f"rms {row['rms_ra_mas']:.2f}, {row['rms_dec_mas']:.2f} mas"
        yield f"attempt{row['attempt_id']}", f"fit {row['attempt_id']}: {row['nmatches']} stars\n{rms}"
    if row["reference_query_id"] is not None:
        words = f"{row['release']} query {row['reference_query_id']}\n{row['service']}"
        yield f"query{row['reference_query_id']}", f"{words}\nsha256 {row['answer_sha256'][:12]}"
        runs.add(row["reference_run_id"])
    for run in sorted(runs):
        yield f"run{run}", f"run {run}"


def _edges(row: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    product, solution = f"product{row['product_id']}", f"solution{row['solution_id']}"
    yield product, _file_node(row), "pixels of"
    yield product, solution, "placed by"
    yield product, f"run{row['product_run_id']}", "made by"
    yield solution, f"run{row['solution_run_id']}", "made by"
    if row["mask_id"] is not None:
        yield product, f"mask{row['mask_id']}", "masked by"
        yield f"mask{row['mask_id']}", f"run{row['mask_run_id']}", "made by"
    if row["attempt_id"] is not None:
        yield solution, f"attempt{row['attempt_id']}", "fitted by"
    if row["reference_query_id"] is not None:
        query = f"query{row['reference_query_id']}"
        yield f"attempt{row['attempt_id']}", query, "against"
        yield query, f"run{row['reference_run_id']}", "made by"


def _file_node(row: Mapping[str, Any]) -> str:
    return f"file{row['rootname']}{row['suffix']}"


def _quoted(words: str) -> str:
    """Return a string of DOT: quotation marks and backslashes escaped, line ends as its own."""
    escaped = words.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
